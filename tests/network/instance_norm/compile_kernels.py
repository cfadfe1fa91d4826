"""Compile every kernel for a GPU that need not be there; print what memory accesses it has.

python tests/network/instance_norm/compile_kernels.py 90
"""

import re
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from stylize.network.instance_norm import triton_kernels as kernels

FLAGS = {
    kernels.part_moments: {"MASKED": True},
    kernels.normalize: {"RELU": True, "RESIDUAL": True, "WHOLE": False},
    kernels.part_sums: {"RELU": True, "RESIDUAL": True},
    kernels.input_gradient: {"RELU": True, "RESIDUAL": False, "WHOLE": False},
}
WHOLE = {
    kernels.normalize: {"RELU": True, "RESIDUAL": False, "WHOLE": True},
    kernels.input_gradient: {"RELU": True, "RESIDUAL": True, "WHOLE": True},
}
ACTIVATIONS = ("x", "dy", "y", "dx", "dresidual", "residual")
SIZES = (
    *("channels", "pixels", "channel_stride", "pixel_stride"),
    *("parts", "part_pixels", "table", "shared"),
)


def compile_kernel(
    kernel: triton.JITFunction, dtype: str, capability: int, constants: dict[str, int], warps: int
) -> str:
    """PTX for pointers and sizes that are multiples of 16, as they are in practice."""
    names = kernel.arg_names
    types = dict.fromkeys(SIZES, "i32") | dict.fromkeys(ACTIVATIONS, f"*{dtype}") | {"eps": "fp32"}
    signature = {
        name: "constexpr" if name in constants else types.get(name, "*fp32") for name in names
    }
    values = {(names.index(name),): value for name, value in constants.items()}
    multiples = {
        (names.index(name),): [["tt.divisibility", 16]]
        for name, kind in signature.items()
        if kind not in ("constexpr", "fp32")
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=multiples)
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={"num_warps": warps})
    return compiled.asm["ptx"]


def main() -> None:
    capability = int(sys.argv[1])
    for dtype in ("bf16", "fp32"):
        for contiguous, tile, plane in (
            (True, (1, 4096), (1, 16384)),
            (False, (64, 64), (16, 1024)),
        ):
            stride = {"pixel_stride" if contiguous else "channel_stride": 1}
            jobs = [(kernel, flags, tile, 4) for kernel, flags in FLAGS.items()]
            jobs += [(kernel, flags, plane, 16) for kernel, flags in WHOLE.items()]
            for kernel, flags, (channels, pixels), warps in jobs:
                constants = {**flags, **stride, "C": channels, "P": pixels}
                ptx = compile_kernel(kernel, dtype, capability, constants, warps)
                accesses = sorted(set(re.findall(r"(?:ld|st)\.global[\w.:]*", ptx)))
                print(kernel.__name__, dtype, constants, *accesses)
    compile_kernel(kernels.combine_moments, "fp32", capability, {"RSTD": 1, "C": 16, "P": 256}, 4)


if __name__ == "__main__":
    main()
