"""Buffers for activations of a whole photo: on the device, on the host, on disk."""

import tempfile
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from stylize.network.memory import Way


class Buffer(Protocol):
    """Holds a tensor (1, C, H, W), written and read by rows."""

    def write(self, top: int, strip: Tensor) -> None: ...
    def read(self, top: int, bottom: int) -> Tensor: ...


class InMemory:
    """On the device, or on the host; strips move to `device` when they are read."""

    def __init__(
        self, shape: tuple[int, ...], dtype: torch.dtype, place: torch.device, device: torch.device
    ) -> None:
        self._device = device
        pinned = place.type == "cpu" and device.type == "cuda"
        self._tensor = torch.empty(
            shape,
            dtype=dtype,
            device=place,
            pin_memory=pinned,
            memory_format=torch.channels_last,
        )

    def write(self, top: int, strip: Tensor) -> None:
        self._tensor[:, :, top : top + strip.shape[2]] = strip

    def read(self, top: int, bottom: int) -> Tensor:
        return self._tensor[:, :, top:bottom].to(self._device)


class OnDisk:
    """In an unnamed file that disappears with the process, whatever happens.

    It is read and written, not mapped: mapped pages count as memory of the process, and a full disk
    would end it by a signal.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: torch.dtype, folder: Path, device: torch.device
    ) -> None:
        _, self._channels, _, self._width = shape
        self._dtype = dtype
        self._device = device
        self._row = self._channels * self._width * dtype.itemsize
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 as long as this

    def write(self, top: int, strip: Tensor) -> None:
        rows = strip.permute(0, 2, 3, 1).contiguous().cpu()
        self._file.seek(top * self._row)
        data = rows.view(-1).view(torch.uint8).numpy().data
        while data:
            data = data[self._file.write(data) :]

    def read(self, top: int, bottom: int) -> Tensor:
        rows = torch.empty(1, bottom - top, self._width, self._channels, dtype=self._dtype)
        self._file.seek(top * self._row)
        data = rows.view(-1).view(torch.uint8).numpy().data
        while data:
            count = self._file.readinto(data)
            if not count:  # or this would loop forever
                raise OSError("a temporary file has become shorter")
            data = data[count:]
        return rows.permute(0, 3, 1, 2).to(self._device)


def make_buffer(
    way: Way, device: torch.device, folder: Path | None, shape: tuple[int, ...], dtype: torch.dtype
) -> Buffer:
    """A buffer in the place that `way` uses; raises OSError if the disk is full."""
    if way is Way.FROM_DISK:
        return OnDisk(shape, dtype, folder or Path(tempfile.gettempdir()), device)
    place = torch.device("cpu") if way is Way.FROM_HOST else device
    return InMemory(shape, dtype, place, device)
