"""The processes that train one style together, as `torchrun` starts them; most often, one."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stylize.errors import UsageError


@dataclass(frozen=True)
class Workers:
    """This process is number `rank` of `count`; the first writes and reports for all."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """This process's photos of a batch; raises UsageError if it cannot be shared evenly."""
        if batch_size % self.count:
            raise UsageError(
                f"a batch of {batch_size} cannot be shared by {self.count} processes",
                f"give --batch-size a multiple of {self.count}",
            )
        part = batch_size // self.count
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, network: nn.Module, *, in_part: bool) -> nn.Module:
        """`network` with gradients that are the mean over all processes; `in_part` if a step does
        not use all of it."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, find_unused_parameters=in_part)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes; the same bits in each."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether it is so in any of the processes."""
        return bool(self.mean(torch.tensor(float(flag), device=device)))

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            dist.barrier()


ALONE = Workers()


def started_by_torchrun() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> tuple[Workers, str]:
    """Join the other processes; also the device of this one, which has a GPU of its own if any.

    Without others, nothing happens. Call `leave` at the end.
    """
    if not started_by_torchrun():
        return ALONE, device
    on_gpu = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    return Workers(dist.get_rank(), dist.get_world_size()), device


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
