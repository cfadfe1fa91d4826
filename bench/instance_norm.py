"""How fast is instance norm, fused with what follows it, compared with what torch offers?

The shapes are the layers of the default network: norm, sum and ReLU at a quarter of the photo's
resolution, norm and ReLU at an eighth and at a half; forward alone (as in `stylize apply`), and
forward with backward. Compared are `torch.nn.InstanceNorm2d` with the same operations after it,
eager and compiled; on a CPU also `group_norm` with one group per channel; and a copy of as many
bytes, which nothing can beat.

The bytes counted are those that must move, however often an implementation moves them. With T
bytes in a tensor of activations:

    forward              read x, write y                    2 T    + 1 T to read the residual
    forward, backward    and read x, dy, write dx           5 T    + 3 T: residual, y, its gradient

The correctness tests run first; nothing is timed while they fail.

On a GPU, `--replayed` starts each from a CUDA graph, as `stylize apply` does. Otherwise small
planes show how long it takes to start kernels from Python.

    python bench/instance_norm.py [--device cpu] [--dtype bf16] [--layout channels_last]
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import machine, record, side_by_side
from rich.console import Console
from rich.table import Table
from torch import Tensor

from stylize.network.instance_norm.layer import EPS, instance_norm
from stylize.network.instance_norm.ops import backend

TESTS = Path(__file__).parent.parent / "tests" / "network" / "instance_norm" / "test_layer.py"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
LAYERS = {"quarter": (64, 4, True), "eighth": (128, 8, False), "half": (32, 2, False)}
SIZES, BATCHES = (256, 512, 1024, 2048), (1, 4, 16)
LARGEST = {"cpu": 20e6, "cuda": 2e9}  # bytes of a tensor
QUANTILES = (0.1, 0.5, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--layout", choices=LAYOUTS, default="channels_last")
    parser.add_argument("--rounds", type=int, default=15, help="on a CPU")
    parser.add_argument("--replayed", action="store_true", help="from CUDA graphs")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    options = parser.parse_args()
    if options.replayed and options.device != "cuda":
        parser.error("--replayed needs a CUDA GPU")
    if subprocess.run([sys.executable, "-m", "pytest", "-q", str(TESTS)], check=False).returncode:
        sys.exit("the correctness tests fail: nothing is timed")
    device = torch.device(options.device)
    console = Console(width=130)
    console.print(machine(device))
    console.print(f"instance norm by {backend(device.type)}, {options.dtype}, {options.layout}")
    for training in (False, True):
        table = Table("layer", "photo px", "batch", "MB", title=title(training))
        worst: dict[str, list[float]] = {}
        for shape in shapes(device, DTYPES[options.dtype]):
            figures = measure(*shape, training, options)
            record("instance_norm", device, figures)
            ratios = figures["times as fast as"]
            if not worst:
                for name in ("ms", "GB/s", *(f"x {name}" for name in ratios)):
                    table.add_column(name, justify="right")
            for name, ratio in ratios.items():
                worst.setdefault(name, []).append(ratio)
            layer, size, batch = shape
            table.add_row(
                layer, f"{size}", f"{batch}", f"{figures['megabytes']:.1f}",
                f"{figures['milliseconds']['stylize'][1]:.3f}", f"{figures['GB/s']:.0f}",
                *(f"{ratio:.2f}" for ratio in ratios.values()),
            )  # fmt: skip
        console.print(table)
        for name, ratios in worst.items():
            middle = statistics.median(ratios)
            console.print(f"{name}: at least {min(ratios):.2f} times as fast, median {middle:.2f}")


def title(training: bool) -> str:
    return "forward and backward" if training else "forward"


def shapes(device: torch.device, dtype: torch.dtype) -> list[tuple[str, int, int]]:
    """Layer, size of the photo and batch, as far as they are not too large for the device."""
    return [
        (layer, size, batch)
        for layer, (channels, fold, _) in LAYERS.items()
        for size in SIZES
        for batch in BATCHES
        if batch * channels * (size // fold) ** 2 * dtype.itemsize < LARGEST[device.type]
    ]


def measure(
    layer: str, size: int, batch: int, training: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds (quantiles) of every way to compute one layer, and what follows from them."""
    channels, fold, has_residual = LAYERS[layer]
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    torch.manual_seed(0)

    def image() -> Tensor:
        values = torch.randn(batch, channels, size // fold, size // fold, device=device)
        return values.to(dtype, memory_format=LAYOUTS[options.layout])

    residual = image().requires_grad_(training) if has_residual else None
    x, dy = image().requires_grad_(training), image()
    norm = torch.nn.InstanceNorm2d(channels, affine=True).to(device)
    weight, bias = norm.weight, norm.bias
    rounded = torch.nn.InstanceNorm2d(channels, affine=True).to(device, dtype)

    def finish(y: Tensor, residual: Tensor | None) -> Tensor:
        return (y if residual is None else y + residual).relu()

    def eager(x: Tensor, residual: Tensor | None) -> Tensor:
        return finish(rounded(x), residual)

    forwards: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
        "stylize": lambda x, residual: instance_norm(x, weight, bias, residual, relu=True),
        "InstanceNorm2d": eager,
    }
    if not options.no_compile:
        torch.compiler.reset()
        forwards["compiled"] = torch.compile(eager, dynamic=False)
    if device.type == "cpu":
        forwards["group_norm"] = lambda x, residual: finish(
            torch.group_norm(x, channels, weight, bias, EPS), residual
        )

    def step(forward: Callable[[Tensor, Tensor | None], Tensor], parameters: list[Tensor]) -> Any:
        if not training:
            with torch.no_grad():
                return forward(x, residual)
        inputs = [x, *parameters] if residual is None else [x, residual, *parameters]
        return torch.autograd.grad(forward(x, residual), inputs, dy)

    functions = {
        name: lambda forward=forward, name=name: step(
            forward,
            [weight, bias] if name in ("stylize", "group_norm") else [*rounded.parameters()],
        )
        for name, forward in forwards.items()
    }
    tensors = (5 + 3 * has_residual) if training else (2 + has_residual)
    moved = tensors * x.numel() * x.itemsize
    source = torch.empty(moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    functions["copy"] = lambda: target.copy_(source)
    if options.replayed:
        functions = {name: recorded(call).replay for name, call in functions.items()}
    times = quantiles(functions, device, options.rounds)
    ours = times["stylize"][1]
    return {
        "layer": layer,
        "pass": title(training),
        "shape": list(x.shape),
        "dtype": options.dtype,
        "layout": options.layout,
        "backend": backend(device.type),
        "replayed": options.replayed,
        "megabytes": moved / 1e6,
        "milliseconds": times,
        "GB/s": moved / ours / 1e6,
        "times as fast as": {name: t[1] / ours for name, t in times.items() if name != "stylize"},
    }


def recorded(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """The kernels that `call` starts."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # compiles what is compiled
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def quantiles(
    functions: dict[str, Callable[[], object]], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Milliseconds: the 10th, 50th and 90th percentile of each."""
    if device.type == "cuda":
        from triton.testing import do_bench  # empties the L2 cache in between

        return {name: do_bench(call, quantiles=QUANTILES) for name, call in functions.items()}
    found = {}
    for name, seconds in side_by_side(functions, rounds, device).items():
        deciles = statistics.quantiles(seconds, n=10)
        found[name] = [1e3 * deciles[0], 1e3 * statistics.median(seconds), 1e3 * deciles[-1]]
    return found


if __name__ == "__main__":
    main()
