"""The operators of instance norm, registered with torch, and the choice of their backend.

`torch_backend` and `triton_backend` are modules with the same functions: `forward`, `backward`,
`moments` and `normalize`. As registered operators these work with `torch.compile` and
`torch.export`. `layer` has checked shapes, and all activations of a call share one layout.
"""

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from stylize.config import NORM_BACKENDS, NORM_VARIABLE
from stylize.errors import DeviceError, UsageError
from stylize.network.instance_norm import torch_backend
from stylize.network.instance_norm.torch_backend import statistics_dtype


def layout(x: Tensor) -> torch.memory_format:
    """Contiguous or channels_last, whichever is closer to the layout of x."""
    if x.is_contiguous() or x.stride(1) != 1:
        return torch.contiguous_format
    return torch.channels_last


def arrange(x: Tensor, form: torch.memory_format) -> Tensor:
    """x in that layout, with the exact strides even where sizes are 1, as torch's kernels expect.
    Copies only if the values lie in another order."""
    images, channels, height, width = x.shape
    if form == torch.contiguous_format:
        return x.contiguous().view(-1).view(x.shape)
    if x.stride() == (channels * height * width, 1, channels * width, channels):
        return x
    pixels = x.permute(0, 2, 3, 1).contiguous().view(-1)
    return pixels.view(images, height, width, channels).permute(0, 3, 1, 2)


@cache
def _wanted() -> str:
    return os.environ.get(NORM_VARIABLE, "auto")


@cache
def backend(device: str, dtype: torch.dtype = torch.float32) -> str:
    """The backend for a type of device ("cpu", "cuda"): "torch" or "triton".

    The environment variable STYLIZE_NORM, read once per process, can force it; `auto` takes the
    Triton kernels on a GPU that runs them.

    Raises:
        UsageError: the variable has an unknown value.
        DeviceError: it asks for Triton, which cannot run here.
    """
    wanted = _wanted()
    if wanted not in NORM_BACKENDS:
        raise UsageError(
            f"instance norm backend is {wanted!r}",
            f"choose one of {', '.join(NORM_BACKENDS)} with --norm or {NORM_VARIABLE}",
        )
    if wanted == "torch" or (wanted == "auto" and device == "cpu"):
        return "torch"
    obstacle = _triton_obstacle(device, dtype)
    if wanted == "triton" and obstacle:
        raise DeviceError(f"the Triton kernels cannot run: {obstacle}", "use --norm auto or torch")
    return "torch" if obstacle else "triton"


def _triton_obstacle(device: str, dtype: torch.dtype) -> str:
    """Why the Triton kernels cannot run there; empty if they can."""
    if find_spec("triton") is None:
        return "triton is not installed"
    if dtype == torch.float64:
        return "they compute in fp32, not in fp64"
    if device == "cpu":
        import triton

        return "" if triton.knobs.runtime.interpret else "they need a GPU"
    if device != "cuda":
        return f"they need a CUDA GPU, not {device}"
    return "" if torch.cuda.get_device_capability() >= (7, 0) else "this GPU is too old"


def compute(function: str, x: Tensor, *arguments: Any) -> Any:
    """Call that function of the backend, without the operator around it."""
    return getattr(_implementation(x), function)(x, *arguments)


def _implementation(x: Tensor) -> ModuleType:
    if backend(x.device.type, x.dtype) == "torch":
        return torch_backend
    from stylize.network.instance_norm import triton_backend

    return triton_backend


def _operator(name: str, function: str, schema: str, fake: Callable[..., Any]) -> Any:
    """Register that function of the backend as `stylize::name`; its first argument is x."""

    def run(x: Tensor, *arguments: Any) -> Any:
        for tensor in (x, *arguments):  # an exported program accepts any layout
            if isinstance(tensor, Tensor) and tensor.shape[1:] == x.shape[1:]:
                _check_layout(tensor, layout(x))
        return compute(function, x, *arguments)

    operator = torch.library.custom_op(f"stylize::{name}", run, mutates_args=(), schema=schema)
    operator.register_fake(fake)
    return operator


def _check_layout(x: Tensor, form: torch.memory_format) -> None:
    if not x.is_contiguous(memory_format=form):
        raise ValueError(f"activations have strides {x.stride()}, which is not {form} throughout")


def _empty_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, var = (x.new_empty(x.shape[:2], dtype=statistics_dtype(x)) for _ in range(2))
    return mean, var


def _empty_gradients(x: Tensor, dy: Tensor, y: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    residual = rest[-1]
    dweight, dbias = (x.new_empty(x.shape[1], dtype=statistics_dtype(x)) for _ in range(2))
    dz = torch.empty_like(x) if residual and y is not None else x.new_empty(0)
    return torch.empty_like(x), dweight, dbias, dz


moments = _operator(
    "moments",
    "moments",
    "(Tensor x, Tensor? mask) -> (Tensor, Tensor)",
    lambda x, mask: _empty_moments(x),
)
normalize = _operator(
    "normalize",
    "normalize",
    "(Tensor x, Tensor mean, Tensor var, Tensor weight, Tensor bias, Tensor? residual, float eps,"
    " bool relu) -> Tensor",
    lambda x, *rest: torch.empty_like(x),
)
# Result, mean and 1 / sqrt(variance + eps).
instance_norm = _operator(
    "instance_norm",
    "forward",
    "(Tensor x, Tensor weight, Tensor bias, Tensor? residual, float eps, bool relu)"
    " -> (Tensor, Tensor, Tensor)",
    lambda x, *rest: (torch.empty_like(x), *_empty_moments(x)),
)
# `y` is the result, where there was a ReLU. Gradients of x, weight and bias, and that behind the
# ReLU: the residual's, if there were both (else it is an empty tensor).
instance_norm_backward = _operator(
    "instance_norm_backward",
    "backward",
    "(Tensor x, Tensor dy, Tensor? y, Tensor weight, Tensor bias, Tensor mean, Tensor rstd,"
    " bool residual) -> (Tensor, Tensor, Tensor, Tensor)",
    _empty_gradients,
)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, residual, _, relu = inputs
    y, mean, rstd = output
    ctx.mark_non_differentiable(mean, rstd)
    ctx.residual_images = 0 if residual is None else len(residual)
    ctx.save_for_backward(x, y if relu else None, weight, bias, mean, rstd)


def _backward(ctx: Any, dy: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    x, y, weight, bias, mean, rstd = ctx.saved_tensors
    dy = arrange(dy, layout(x))
    residual = ctx.residual_images > 0
    dx, dweight, dbias, dz = instance_norm_backward(x, dy, y, weight, bias, mean, rstd, residual)
    dresidual = None
    if residual:
        dresidual = dy if y is None else dz
        if ctx.residual_images < len(x):
            dresidual = dresidual.sum(dim=0, keepdim=True)
    return dx, dweight.to(weight.dtype), dbias.to(bias.dtype), dresidual, None, None


instance_norm.register_autograd(_backward, setup_context=_save_for_backward)
