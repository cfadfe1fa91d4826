"""The device and precision: chosen once per run, can be forced, always reported. Free memory."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from stylize.errors import DeviceError
from stylize.events import Backend
from stylize.network.instance_norm.ops import backend

CGROUP = Path("/sys/fs/cgroup")  # version 2: the limit of a container

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Compute:
    """The device and precision of a run."""

    device: torch.device
    dtype: torch.dtype

    @property
    def precision(self) -> str:
        return next(name for name, dtype in _DTYPES.items() if dtype == self.dtype)

    @property
    def detail(self) -> str:
        """The hardware in words."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"

    def describe(self) -> Backend:
        """The event that says what the work runs on."""
        norm = backend(self.device.type)
        return Backend(str(self.device), self.precision, self.detail, norm)

    def peak_memory(self) -> int:
        """The peak memory of this process so far, in bytes: on the GPU, or resident on the host."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def choose(device: str = "auto", precision: str = "auto") -> Compute:
    """Turn `--device` and `--precision` into a `Compute`.

    `auto` takes a CUDA GPU if there is one, and bf16 where the hardware computes in it.

    Raises DeviceError: the device is not available here, or a name is unknown.
    """
    if precision not in ("auto", *_DTYPES):
        raise DeviceError(f"precision is {precision!r}", f"choose auto, {', '.join(_DTYPES)}")
    if device == "auto":
        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    else:
        chosen = _parse(device)
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError("no CUDA GPU here", "use --device cpu, or auto")
        if chosen.index is not None and chosen.index >= torch.cuda.device_count():
            raise DeviceError(
                f"no GPU {chosen.index}: there are {torch.cuda.device_count()}",
                "GPUs are counted from cuda:0",
            )
    if precision == "auto":
        precision = "bf16" if has_bf16_units(chosen) else "fp32"
    return Compute(chosen, _DTYPES[precision])


def has_bf16_units(device: torch.device) -> bool:
    """Whether `device` computes bf16 in hardware (emulation is slow)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _parse(device: str) -> torch.device:
    hint = "choose auto, cpu, cuda or cuda:N"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"no device is called {device!r}", hint) from error
    if parsed.type not in ("cpu", "cuda") or (parsed.type == "cpu" and parsed.index):
        raise DeviceError(f"device {device!r} is not supported", hint)
    return parsed


def free_memory(groups: Path = CGROUP, membership: Path = Path("/proc/self/cgroup")) -> float:
    """Bytes that this process can still use on the host, within the limits of its container."""
    free: float = psutil.virtual_memory().available
    try:
        own = membership.read_text().partition("0::/")[2].strip()
        folders = [groups / own, *(groups / own).parents]
        for folder in folders[: folders.index(groups) + 1]:
            limit = folder / "memory.max"
            if limit.exists() and (most := limit.read_text().strip()) != "max":
                statistics = dict(line.split() for line in (folder / "memory.stat").open())
                # Cached file pages are released when something else needs the memory.
                used = int((folder / "memory.current").read_text())
                free = min(free, int(most) - used + int(statistics["inactive_file"]))
    except (OSError, ValueError, KeyError):  # another system, or another version of it
        return free
    return max(free, 0)
