"""What the benchmarks share: sample photos, the machine in words, fair timing, a log of results."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylize.files import digest, find_photos
from stylize.network.instance_norm.layer import InstanceNorm2d

BENCH = Path(__file__).parent
RESULTS = BENCH / "results.jsonl"
PHOTOS = BENCH.parent / "samples" / "photos"
COFFEE = PHOTOS / "kitchen" / "coffee.png"


def machine(device: torch.device) -> dict[str, Any]:
    """The hardware and the versions that figures depend on."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        units = [
            name
            for name, there in (
                ("AMX-bf16", torch.cpu._is_amx_tile_supported()),
                ("AVX512-bf16", torch.cpu._is_avx512_bf16_supported()),
            )
            if there
        ]
        hardware = f"{_cpu_model()}, bf16 units: {' '.join(units) or 'none'}"
    return {
        "hardware": hardware,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    where = BENCH
    result = subprocess.run(command, capture_output=True, text=True, cwd=where, check=False)
    return result.stdout.strip()


def some_photos(folder: Path, count: int) -> list[Path]:
    """Up to `count` photos below `folder`, evenly spread over their names."""
    photos, *_ = find_photos(folder)
    return photos[:: max(1, len(photos) // count)][:count]


def by_digest(folders: Iterable[Path]) -> dict[str, Path]:
    """The sha256 of each picture below `folders`, as in the headers of styles -> its path."""
    return {digest(path): path for folder in folders for path in find_photos(folder)[0]}


def side_by_side(
    functions: dict[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each function, called in turn A B A B ... after two rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for index in range(-2, rounds):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if index >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Median of the ratios round by round: a machine that drifts slows both."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def replace_norms(network: nn.Module, compute: Callable[[nn.Module, Tensor], Tensor]) -> None:
    """Let `compute(layer, x)` be the network's instance norm, with sum and ReLU by themselves."""

    def forward(
        layer: nn.Module,
        x: Tensor,
        residual: Tensor | None = None,
        relu: bool = False,
        mask: None = None,
    ) -> Tensor:
        y = compute(layer, x)
        y = y if residual is None else y + residual
        return y.relu() if relu else y

    for module in network.modules():
        if isinstance(module, InstanceNorm2d):
            module.forward = partial(forward, module)


def record(benchmark: str, device: torch.device, figures: dict[str, Any]) -> None:
    """Append one line to results.jsonl."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"benchmark": benchmark, "time": now, **machine(device), "figures": figures}
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")
