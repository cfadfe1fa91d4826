"""CUDA graphs: all kernels of a network started at once, for sizes that come again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 2**22  # pixels: beyond these, computing takes longer than starting kernels
MOST = 8  # graphs that are kept


@dataclass(frozen=True)
class Recording:
    """A graph, what it reads and what it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor

    def __call__(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given)
        self.graph.replay()
        return self.output.clone()


class Replay:
    """A network that is called from several threads.

    To start its several hundred kernels one by one from Python takes longer than to compute a photo
    of a few megapixels. So on a CUDA GPU they are recorded in a graph the second time they are
    called for images of a size, and replayed from then on: the same kernels, the same bits. Memory
    is kept for the largest recording; the least recently used of MOST gives way.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        # Threads that start kernels at the same time would mostly wait for Python's lock, which
        # torch gives up for every kernel.
        self._lock = threading.Lock()
        self._recordings: OrderedDict[object, Recording | None] = OrderedDict()

    def forget(self) -> None:
        """Start over, as the network has changed."""
        with self._lock:
            self._recordings.clear()

    def __call__(self, image: Tensor, mask: Tensor | None = None, **options: Any) -> Tensor:
        """The network's result; `options` are numbers and tensors."""
        result: Tensor
        if image.device.type != "cuda":
            result = self._network(image, mask, **options)
            return result
        with self._lock, torch.cuda.device(image.device):
            inputs = (image,) if mask is None else (image, mask)
            varies = any(isinstance(value, Tensor) for value in options.values())
            if varies or image[:, 0].numel() > LARGEST:
                result = self._network(image, mask, **options)
                return result
            key = (*(tensor.shape for tensor in inputs), *options.items())
            if key not in self._recordings:
                self._recordings[key] = None
                if len(self._recordings) > MOST:
                    self._recordings.popitem(last=False)
                result = self._network(image, mask, **options)
                return result
            try:
                recording = self._recordings.pop(key) or self._record(inputs, options)
            except RuntimeError:  # such as no room for what is kept: that must not cost a photo
                result = self._network(image, mask, **options)
                return result
            self._recordings[key] = recording  # the latest
            return recording(inputs)

    def _record(self, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> Recording:
        pools = [each.graph.pool() for each in self._recordings.values() if each]
        own = tuple(tensor.clone() for tensor in inputs)
        # What libraries prepare at their first call in a thread cannot be recorded.
        self._network(*own, **options)
        graph = torch.cuda.CUDAGraph()
        # One at a time is replayed, and its output copied: all can share their memory. Other
        # threads may go on using the GPU.
        pool = pools[0] if pools else None
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = self._network(*own, **options)
        return Recording(graph, own, output)
