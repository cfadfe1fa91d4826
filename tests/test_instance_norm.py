import pytest
import torch

from stylize.instance_norm import InstanceNorm2d


def layer(channels: int) -> InstanceNorm2d:
    norm = InstanceNorm2d(channels)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1, 2, channels))
        norm.bias.copy_(torch.linspace(3, -3, channels))
    return norm


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_against_the_definition_in_fp64(memory_format):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 9) * 3 + 1
    norm = layer(5)
    exact = x.double()
    mean = exact.mean(dim=(2, 3), keepdim=True)
    var = (exact - mean).square().mean(dim=(2, 3), keepdim=True)
    exact = (exact - mean) / (var + norm.eps).sqrt()
    exact = exact * norm.weight.double().view(-1, 1, 1) + norm.bias.double().view(-1, 1, 1)
    out = norm(x.contiguous(memory_format=memory_format))
    assert out.is_contiguous(memory_format=memory_format)
    assert torch.allclose(out.double(), exact, atol=1e-5)


def test_state_dict_is_interchangeable_with_torch():
    ours, theirs = layer(4), torch.nn.InstanceNorm2d(4, affine=True)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 4, 6, 6)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    ours.load_state_dict(theirs.state_dict())


def test_gain_and_offset_cancel():
    x = torch.rand(1, 3, 16, 16)
    assert torch.allclose(layer(3)(x), layer(3)(x * 0.25 + 7), atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (4, 3, 1, 1), (2, 3, 5, 5)])
def test_a_flat_plane_comes_out_as_bias(shape):
    norm = layer(3)
    out = norm(torch.full(shape, 0.7))
    assert torch.allclose(out, norm.bias.view(1, 3, 1, 1).expand(shape), atol=1e-4)
