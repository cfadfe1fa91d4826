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

GPUS = {"cuda": "CUDA GPU", "xpu": "Intel GPU", "mps": "Apple GPU"}  # the preferred kind first

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
        if self.device.type == "mps":
            return "Apple GPU"
        if self.device.type != "cpu":
            name: str = torch.get_device_module(self.device).get_device_name(self.device)
            return name
        return f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"

    def describe(self) -> Backend:
        """The event that says what the work runs on."""
        norm = backend(self.device.type)
        return Backend(str(self.device), self.precision, self.detail, norm)

    def peak_memory(self) -> int:
        """The peak memory of this process so far, in bytes: on the GPU, or resident on the host."""
        if self.device.type == "mps":
            return torch.mps.driver_allocated_memory()
        if self.device.type != "cpu":
            on_gpu: int = torch.get_device_module(self.device).max_memory_allocated(self.device)
            return on_gpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def choose(device: str = "auto", precision: str = "auto") -> Compute:
    """Turn `--device` and `--precision` into a `Compute`.

    `auto` takes the best GPU (`available`), and bf16 where the hardware computes in it.

    Raises DeviceError: the device is not available here, or a name is unknown.
    """
    if precision not in ("auto", *_DTYPES):
        raise DeviceError(f"precision is {precision!r}", f"choose auto, {', '.join(_DTYPES)}")
    here = available()
    chosen = torch.device(here[0].type) if device == "auto" else _parse(device)
    same_kind = [each for each in here if each.type == chosen.type]
    if not same_kind:
        hint = "use --device cpu, or auto; `stylize info` lists the devices"
        raise DeviceError(f"no {GPUS[chosen.type]} here", hint)
    if chosen.index is not None and chosen not in same_kind:
        raise DeviceError(
            f"no GPU {chosen.index}: there are {len(same_kind)}",
            f"GPUs are counted from {chosen.type}:0",
        )
    if precision == "auto":
        precision = "bf16" if has_bf16_units(chosen) else "fp32"
    return Compute(chosen, _DTYPES[precision])


def available() -> list[torch.device]:
    """Every device that can be chosen here: the preferred kind of GPU first, the CPU last."""
    found = [
        torch.device(kind, index)
        for kind in GPUS
        if torch.get_device_module(kind).is_available()
        for index in range(torch.get_device_module(kind).device_count())
    ]
    return [*found, torch.device("cpu")]


def has_own_memory(device: torch.device) -> bool:
    """Whether `device` has memory beside the host's. Apple's GPUs share it, as the CPU does."""
    return device.type not in ("cpu", "mps")


def has_bf16_units(device: torch.device) -> bool:
    """Whether `device` computes bf16 in hardware (emulation is slow).

    Of an Apple GPU, torch does not say; the first generation has none.
    """
    if device.type in ("cuda", "xpu"):
        module = torch.get_device_module(device)
        return bool(module.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _parse(device: str) -> torch.device:
    hint = "choose auto, cpu, cuda, cuda:N, xpu or mps"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"no device is called {device!r}", hint) from error
    if parsed.type not in ("cpu", *GPUS) or (parsed.type == "cpu" and parsed.index):
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
