"""The processes that train one style together, as `torchrun` starts them; usually one."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stylize.errors import UsageError
from stylize.network.device import choose


@dataclass(frozen=True)
class Workers:
    """This process is `rank` of `count`; the first one writes and reports for all."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """This process's part of a batch; raises UsageError if it cannot be shared evenly."""
        if batch_size % self.count:
            raise UsageError(
                f"a batch of {batch_size} cannot be shared by {self.count} processes",
                f"give --batch-size a multiple of {self.count}",
            )
        part = batch_size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, network: nn.Module, *, in_part: bool) -> nn.Module:
        """`network` with gradients averaged over all processes; `in_part` if a step uses only a
        part of it."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, find_unused_parameters=in_part)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes; the same bits in each."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is set in any process."""
        return bool(self.mean(torch.tensor(float(flag), device=device)))

    def together(self, found: dict[Path, str]) -> dict[Path, str]:
        """The union of what the processes have found."""
        if self.count == 1:
            return found
        of_each: list[dict[Path, str]] = [{} for _ in range(self.count)]
        dist.all_gather_object(of_each, dict(found))
        return {path: reason for of_one in of_each for path, reason in of_one.items()}

    def agree(self, text: str, what: str) -> None:
        """Wait for all processes; raises UsageError in each if `text` differs between them."""
        if self.count > 1:
            of_each = [""] * self.count
            dist.all_gather_object(of_each, text)
            if len(set(of_each)) > 1:
                raise UsageError(f"{what} are not the same for all processes")


ALONE = Workers()


def join(device: str) -> tuple[Workers, str]:
    """Join the other processes, if any; returns this process's device, a GPU of its own if any.

    Call `leave` at the end.

    Raises DeviceError: there are more processes than GPUs.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ALONE, device
    on_gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(choose(device).device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return Workers(dist.get_rank(), dist.get_world_size()), device


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
