"""The definition written out, against torch's own layers; gradients against finite differences.

How the CPU's way of computing it compares with the formula is in test_instance_norm.py.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from stylize.network.instance_norm import torch_backend
from stylize.network.instance_norm.layer import instance_norm, moments, normalize


def double(*shape: int, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if len(shape) == 4:
        values = values.contiguous(memory_format=layout)
    return values.requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("images", [0, 1, 2])
def test_gradients_of_instance_norm(layout, relu, images):
    """In fp64; `images` of the residual: none, one for all, one for each."""
    x, weight, bias = double(2, 3, 4, 5, layout=layout), double(3), double(3)
    residual = [double(images, 3, 4, 5, layout=layout)] if images else []
    assert gradcheck(
        lambda *inputs: instance_norm(*inputs, relu=relu), (x, weight, bias, *residual)
    )


def test_gradients_of_moments():
    mask = torch.rand(2, 1, 4, 5, dtype=torch.float64)
    assert gradcheck(moments, double(2, 3, 4, 5))
    assert gradcheck(lambda x: moments(x, mask), double(2, 3, 4, 5))


def test_gradients_of_normalize():
    mean, var = double(2, 3), double(2, 3).detach().exp().requires_grad_()
    inputs = (double(2, 3, 4, 5), mean, var, double(3), double(3), double(2, 3, 4, 5))
    assert gradcheck(lambda *inputs: normalize(*inputs, relu=True), inputs)


@pytest.mark.parametrize("pixels", [(1, 1), (6, 7)])
def test_definition_against_torch_layers(pixels):
    x, weight, bias = double(2, 3, *pixels), double(3), double(3)
    mean, var = torch_backend.moments_definition(x)
    y = torch_backend.normalize_definition(x, mean, var, weight, bias, None, 1e-5, True)
    expected = F.group_norm(x, 3, weight, bias, 1e-5).relu()
    assert torch.allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_backward_definition_is_what_autograd_finds(layout):
    """The closed form against the chain rule, step by step."""
    x, weight, bias = double(2, 3, 6, 7, layout=layout), double(3), double(3)
    mean, var = torch_backend.moments_definition(x)
    y = torch_backend.normalize_definition(x, mean, var, weight, bias, None, 1e-5, False)
    dy = torch.randn_like(y)
    expected = torch.autograd.grad(y, (x, weight, bias), dy)
    with torch.no_grad():
        rstd = (var + 1e-5).rsqrt()
        found = torch_backend.backward_definition(dy, x, weight, mean, rstd)
    for ours, exact in zip(found, expected, strict=True):
        assert torch.allclose(ours, exact, atol=1e-12)


def test_channels_last_is_never_copied():
    """No operator that changes the layout runs, neither forward nor backward."""
    x = torch.randn(2, 8, 40, 40, dtype=torch.bfloat16).contiguous(
        memory_format=torch.channels_last
    )
    weight, bias = torch.ones(8).requires_grad_(), torch.zeros(8).requires_grad_()
    x.requires_grad_()
    with torch.profiler.profile() as profiler:
        y = instance_norm(x, weight, bias, relu=True)
        y.backward(torch.ones_like(y))
    ran = {event.key for event in profiler.key_averages()}
    assert "aten::native_batch_norm_backward" in ran
    assert not ran & {"aten::instance_norm", "aten::contiguous", "aten::clone"}
