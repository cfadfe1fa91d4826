"""What a process of a Ray cluster does: paint photos, with the style loaded once."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ray
import torch
from PIL import Image

from stylize.batch.fetcher import fetch
from stylize.batch.painter import Encoded, Painter
from stylize.batch.reader import Reader
from stylize.batch.tasks import Recipe, Task
from stylize.config import ApplyConfig
from stylize.events import Backend, PhotoBegun, PhotoFailed
from stylize.network.device import free_memory
from stylize.network.memory import SHARE, make_budget
from stylize.network.mixture import Mixture, Part
from stylize.style import Style

Painted = tuple[PhotoBegun | None, Encoded | PhotoFailed]


class Worker:
    """Paints one photo at a time, on one core or with one GPU."""

    def __init__(
        self,
        style: Sequence[tuple[Part, bytes]],
        anchors: Sequence[tuple[str, bytes]],
        recipe: Recipe,
        config: ApplyConfig,
        resource: str,
    ) -> None:
        """`style` is each part of a `Mixture` with the content of its file, `anchors` are suffixes
        and contents of photos.

        Workers of a node share its memory; `resource` is what each of them has one of. Raises what
        `Style.load` raises.
        """
        Image.MAX_IMAGE_PIXELS = None  # as in the command: --max-megapixels is the limit instead
        torch.set_num_threads(1)
        self._folder = tempfile.TemporaryDirectory(prefix="stylize-")
        folder = Path(self._folder.name)
        parts = []
        for part, content in style:
            parts.append(replace(part, path=folder / part.path.name))
            parts[-1].path.write_bytes(content)
        self._style = Style.load(str(Mixture(tuple(parts))), config.device, config.precision)
        if anchors:
            paths = [folder / f"anchor-{n}{suffix}" for n, (suffix, _) in enumerate(anchors)]
            for place, (_, content) in zip(paths, anchors, strict=True):
                place.write_bytes(content)
            self._style.hold(paths, config)
        here = ray.get_runtime_context().get_node_id()
        workers = next(n["Resources"][resource] for n in ray.nodes() if n["NodeID"] == here)
        most = config.max_memory or SHARE * free_memory() / workers
        self._budget = make_budget(most, self._style.compute.device)
        self._reader = Reader(self._style, config, self._budget, 1)
        self._painter = Painter(self._style, recipe, config, self._budget, folder)

    def describe(self) -> Backend:
        """What this worker computes on."""
        return self._style.compute.describe()

    def paint(self, task: Task) -> Painted:
        """The painting, or the reason why there is none, for the caller to write."""
        (found,) = self._reader.batches(fetch([task], self._budget.host))
        if isinstance(found, PhotoFailed):
            return None, found
        (work,) = found
        try:
            (part,) = self._painter.paint(found)
        finally:
            self._reader.memory.release(work.need.host)
        return self._painter.begun(work), part
