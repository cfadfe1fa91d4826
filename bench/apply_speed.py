"""How fast is a photo stylized? Our networks against the paper's, side by side.

The baseline is what people commonly run: the network of Johnson et al. 2016 in eager fp32, NCHW,
with `torch.nn.InstanceNorm2d`. Ours runs as in `stylize apply`, on the same machine and threads, in
turn. With --large-pages, all have large pages for their tensors, as `stylize apply` has; commonly,
they have not. torch counts the GMAC. The machine's limit is its best square matrix product in the
same precision.

    python bench/apply_speed.py [--device cpu] [--sizes 512 1024 2048] [--large-pages]
"""

import argparse
import os
import statistics

import torch
from common import machine, median_ratio, record, replace_norms, side_by_side
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stylize.config import DRAFT_REVISE, NetworkConfig
from stylize.network.architectures import build_network, ready
from stylize.network.device import Compute, choose

SIZES = (512, 1024, 2048)
ROUNDS = 15  # at the smallest size; fewer at larger ones
BASELINE = "Johnson, eager fp32"


def johnson_as_commonly_written() -> nn.Module:
    network = build_network(NetworkConfig(architecture="johnson"))
    replace_norms(network, nn.InstanceNorm2d.forward)
    return network


def as_applied(architecture: str, compute: Compute) -> nn.Module:
    return ready(build_network(NetworkConfig(architecture=architecture)), compute)


def macs(network: nn.Module, image: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() / 2


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the best square product from 1024 to 4096."""
    best = 0.0
    for side in (1024, 2048, 4096):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        seconds = side_by_side({"matmul": lambda a=a, b=b: a @ b}, 5, device)["matmul"]
        best = max(best, 2 * side**3 / min(seconds))
    return best


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--large-pages", action="store_true")
    options = parser.parse_args()
    if options.large_pages:
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # torch reads it when it makes the first tensor
    compute = choose(options.device)
    device = compute.device
    networks = {BASELINE: johnson_as_commonly_written()} | {
        f"{name}, {compute.precision}": as_applied(name, compute)
        for name in (DRAFT_REVISE, "quarter")
    }
    for network in networks.values():
        network.eval().requires_grad_(False).to(device)
    peak = matmul_peak(device, compute.dtype)

    console = Console(width=110)
    console.print(machine(device))
    console.print(f"best matrix product in {compute.precision}: {peak / 1e12:.3f} TFLOP/s")
    table = Table("size", "network", "median ms", "min ms", "GMAC", "TFLOP/s", "of peak", "faster")
    figures = {"peak_tflops": peak / 1e12, "precision": compute.precision}
    figures["large_pages"] = options.large_pages
    for size in options.sizes:
        image = torch.rand(1, 3, size, size, device=device)
        functions = {
            name: lambda network=network, image=image: network(image)
            for name, network in networks.items()
        }
        rounds = max(3, ROUNDS * min(options.sizes) ** 2 // size**2)
        seconds = side_by_side(functions, rounds, device)
        for name, times in seconds.items():
            gmac = macs(networks[name], image) / 1e9
            median = statistics.median(times)
            tflops = 2 * gmac / 1e3 / median
            ratio = median_ratio(seconds[BASELINE], times)
            # The baseline runs in fp32: this peak is not its own.
            fraction = "" if name == BASELINE else f"{tflops * 1e12 / peak:.0%}"
            table.add_row(
                str(size),
                name,
                f"{median * 1e3:.1f}",
                f"{min(times) * 1e3:.1f}",
                f"{gmac:.2f}",
                f"{tflops:.3f}",
                fraction,
                f"{ratio:.1f}x",
            )
            figures[f"{name} {size}"] = {
                "median_ms": median * 1e3,
                "gmac": gmac,
                "tflops": tflops,
                "ratio": ratio,
            }
    console.print(table)
    record("apply_speed", device, figures)


if __name__ == "__main__":
    main()
