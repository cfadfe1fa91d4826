from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY, TINY_DRAFT
from torch import nn

from stylize.config import NetworkConfig
from stylize.network import transformer
from stylize.network.architectures import build_network
from stylize.network.johnson import JohnsonNet
from stylize.network.transformer import (
    BINOMIAL,
    BOX_AFTER,
    BOX_BEFORE,
    Conv,
    SubPixel,
    TransformerNet,
    blur,
    convolve,
    halvings,
    white_noise,
)


def network(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    configs = {
        "draft-revise": TINY_DRAFT,
        "quarter": TINY,
        "johnson": NetworkConfig(architecture="johnson"),
    }
    return build_network(configs[architecture]).eval().requires_grad_(False)


every = pytest.mark.parametrize("architecture", ["draft-revise", "quarter", "johnson"])


@every
def test_every_size_from_1_to_70(architecture):
    net = network(architecture)
    for side in range(1, 71):
        for height, width in ((side, side), (side, 71 - side)):
            image = torch.rand(1, 3, height, width)
            out = net(image)
            assert out.shape == image.shape
            assert out.dtype == torch.float32
            assert out.isfinite().all()
            assert 0 <= out.min() <= out.max() <= 1


@every
@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
def test_a_batch_equals_singles(architecture, size):
    net = network(architecture)
    images = torch.rand(4, 3, *size)
    singles = torch.cat([net(image[None]) for image in images])
    assert torch.allclose(net(images), singles, atol=1e-5)


@every
def test_a_batch_equals_singles_in_bf16(architecture):
    net = network(architecture).to(torch.bfloat16)
    images = torch.rand(3, 3, 40, 40)
    singles = torch.cat([net(image[None]) for image in images])
    assert torch.allclose(net(images), singles, atol=1 / 255)


@pytest.mark.parametrize("architecture", ["draft-revise", "quarter"])
def test_a_gain_and_an_offset_of_the_photo_cancel(architecture):
    """Convolution and instance norm take them away before anything else is added."""
    net = network(architecture)
    image = torch.rand(1, 3, 64, 48)
    offset = torch.tensor([0.1, 0.2, 0.05]).view(1, 3, 1, 1)
    assert torch.allclose(net(image), net(image * 0.4 + offset), atol=2e-3)


@every
@pytest.mark.parametrize("size", [(64, 64), (33, 50), (1, 3)])
def test_a_mask_of_ones_is_as_none(architecture, size):
    net = network(architecture)
    images = torch.rand(2, 3, *size)
    assert torch.allclose(net(images, torch.ones(2, 1, *size)), net(images), atol=1e-4)
    assert torch.allclose(net(images, torch.zeros(2, 1, *size)), net(images), atol=1e-4)


@pytest.mark.parametrize("architecture", ["quarter", "johnson"])
def test_what_lies_far_outside_of_the_mask_does_not_count(architecture):
    """Further away than the layers reach (some 60 pixels), it could only come in by statistics."""
    net = network(architecture)
    inside = slice(88, 112)
    mask = torch.zeros(1, 1, 200, 200)
    mask[..., inside, inside] = 1
    photo = torch.rand(1, 3, 200, 200)
    other = torch.rand(1, 3, 1, 1).expand_as(photo).clone()
    other[..., 16:-16, 16:-16] = photo[..., 16:-16, 16:-16]
    one, two = (net(image, mask)[..., inside, inside] for image in (photo, other))
    assert torch.allclose(one, two, atol=1e-5)
    one, two = (net(image)[..., inside, inside] for image in (photo, other))
    assert not torch.allclose(one, two, atol=1e-3)


def test_statistics_are_those_of_the_masked_part():
    """Behind the first norm, before anything is added to it: mean 0, variance 1 under the mask."""
    net = network("quarter")
    net.stem.norm.weight.fill_(1)
    net.stem.norm.bias.zero_()
    x = torch.rand(2, 48, 16, 20)
    mask = (torch.rand(2, 1, 16, 20) > 0.5).float()
    y = net.stem(x, mask=mask)
    share = mask / mask.sum(dim=(2, 3), keepdim=True)
    mean = (share * y).sum(dim=(2, 3))
    assert torch.allclose(mean, torch.zeros(2, 8), atol=1e-4)
    assert torch.allclose((share * y**2).sum(dim=(2, 3)), torch.ones(2, 8), atol=1e-2)


def test_masks_are_halved_by_averaging():
    mask = torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 1, 1]]).view(1, 1, 3, 3)
    full, half, quarter = halvings(mask, (0, 1, 0, 1), times=2)
    assert full[0, 0, :, 3].tolist() == [0, 0, 1, 1]
    assert half[0, 0].tolist() == [[0.25, 0], [1, 1]]
    assert quarter.item() == 0.5625


def test_in_training_a_network_cannot_tell_where_the_border_is():
    """A photo moved around the torus by steps of the network's own grid is painted the same."""
    net = network("quarter").train()
    nn.init.zeros_(net.noise.weight)
    photo = torch.rand(1, 3, 64, 48)
    by = {"shifts": (3 * net.FOLD, -2 * net.FOLD), "dims": (2, 3)}
    assert torch.allclose(net(photo.roll(**by)), net(photo).roll(**by), atol=1e-5)
    net.eval()
    assert (net(photo.roll(**by)) - net(photo).roll(**by)).abs().max() > 0.01


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_convolution_over_borders(stride, training):
    layer = Conv(3, 5, stride, bias=True).train(training)
    same = nn.Conv2d(3, 5, 3, stride, padding=1, padding_mode="circular" if training else "reflect")
    same.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 8, 6)
    assert torch.equal(layer(x), same(x))


def test_output_depends_on_the_photo():
    net = network("quarter")
    one, two = net(torch.rand(1, 3, 64, 64)), net(torch.rand(1, 3, 64, 64))
    assert (one - two).abs().max() > 0.01


def test_noise_is_chosen_by_the_seed_of_each_image_and_fixed_without():
    net = network("quarter")
    image = torch.rand(1, 3, 64, 64).expand(3, -1, -1, -1)
    assert torch.equal(net(image)[0], net(image)[1])
    one, two, three = net(image, seeds=torch.tensor([1, 2, 1]))
    assert torch.equal(one, three)
    assert not torch.equal(one, two)


def test_noise_of_different_seeds_is_unrelated():
    like = torch.empty(4, 1, 64, 64)
    noise = white_noise(like, 2, seeds=torch.tensor([0, 1, 2, 10**12])).flatten(1)
    correlation = torch.corrcoef(noise) - torch.eye(4)
    assert correlation.abs().max() < 4 / 8192**0.5  # four standard deviations


def test_a_flat_photo_is_painted():
    """White has no structure of its own; the noise gives the strokes something to grow from."""
    out = network("quarter")(torch.ones(1, 3, 96, 96))
    assert out.std(dim=(2, 3)).min() > 1e-3


def test_noise_is_the_same_at_a_place_whatever_the_size():
    large = white_noise(torch.empty(1, 1, 40, 50), 3)
    small = white_noise(torch.empty(1, 1, 7, 9), 2)
    assert torch.equal(large[:, :2, :7, :9], small)
    assert torch.equal(white_noise(torch.empty(2, 9, 5, 50), 3, top=20), large[:, :, 20:25])


def test_noise_is_white_with_unit_variance():
    noise = white_noise(torch.empty(1, 1, 256, 256), 2).double()
    assert noise.mean().abs() < 0.01
    assert abs(noise.var() - 1) < 0.01
    neighbours = [
        noise[..., 1:, :] * noise[..., :-1, :],
        noise[..., :, 1:] * noise[..., :, :-1],
        noise[:, 1] * noise[:, 0],
    ]
    for product in neighbours:
        assert product.mean().abs() < 0.015  # sd 1 / 256 for independent values


def test_first_noise_values():
    """The hash, worked out with Python's integers."""

    def value(channel: int, row: int, column: int) -> float:
        bits = (row * 0x9E3779B1 + column * 0x85EBCA77 + channel * 0xC2B2AE3D + 0x27D4EB2F) % 2**32
        bits = (bits ^ bits >> 15) * 0x2C1B3C6D % 2**32
        bits = (bits ^ bits >> 12) * 0x297A2D39 % 2**32
        bits ^= bits >> 15
        return 12**0.5 * (bits / (2**32 - 1) - 0.5)

    noise = white_noise(torch.empty(1, 1, 300, 300), 2)
    for place in ((0, 0, 0), (1, 2, 3), (1, 299, 17)):
        assert noise[0][place].item() == pytest.approx(value(*place), rel=1e-6)


def test_sub_pixel_stage_starts_as_nearest_neighbour():
    stage = SubPixel(5, 7)
    x = torch.randn(1, 5, 6, 6)
    out = stage(x)
    assert out.shape == (1, 7, 12, 12)
    assert torch.allclose(out, F.interpolate(out[..., ::2, ::2], scale_factor=2), atol=1e-6)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [(2, 2), (2, 7), (5, 3), (8, 8)])
def test_convolution_of_a_large_plane_is_reflected_at_its_borders(groups, size, monkeypatch):
    monkeypatch.setattr(transformer, "LARGE", 1)
    padded, pad = [], F.pad
    weight, bias = torch.randn(8, 4 // groups, 3, 3), torch.randn(8)
    for layout in (torch.contiguous_format, torch.channels_last):
        plane = torch.randn(2, 4, *size).to(memory_format=layout)
        expected = F.conv2d(pad(plane, (1, 1, 1, 1), "reflect"), weight, bias, groups=groups)
        with monkeypatch.context() as patched:
            patched.setattr(F, "pad", lambda x, *how: padded.append(x.shape) or pad(x, *how))
            found = convolve(plane, weight, bias, groups=groups, wrap=False)
        assert torch.allclose(found, expected, atol=1e-5)
    assert all(2 in shape[2:] for shape in padded)  # only the borders are
    assert len(padded) == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blur_on_paper(dtype):
    x = torch.tensor([[1.0, 2, 4], [1, 2, 4], [1, 2, 4]], dtype=dtype).expand(1, 5, 3, 3)
    middle = partial(blur, taps=BINOMIAL)
    assert blur(x, BOX_BEFORE, wrap=False)[0, 4, 1].tolist() == [1.5, 1.5, 3]
    assert blur(x, BOX_AFTER, wrap=False)[0, 4, 1].tolist() == [1.5, 3, 3]
    assert blur(x, BOX_AFTER, wrap=True)[0, 4, 1].tolist() == [1.5, 3, 2.5]
    assert middle(x, wrap=False)[0, 0, 1].tolist() == [1.5, 2.25, 3]
    assert middle(x, wrap=True)[0, 0, 1].tolist() == [2, 2.25, 2.75]
    assert middle(x.mT, wrap=False)[0, 0, :, 1].tolist() == [1.5, 2.25, 3]


@pytest.mark.parametrize("taps", [BOX_BEFORE, BOX_AFTER, BINOMIAL])
def test_blur_takes_a_checkerboard_away(taps):
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    for board in ((rows + columns) % 2, rows % 2, columns % 2):
        picture = board.float().view(1, 1, 8, 8)
        assert torch.allclose(blur(picture, taps, wrap=True), torch.tensor(0.5))
        inside = blur(picture, taps, wrap=False)[..., 1:-1, 1:-1]
        assert torch.allclose(inside, torch.tensor(0.5))


def test_johnson_has_the_names_of_the_pytorch_example():
    keys = JohnsonNet().state_dict()
    layers = ["conv1", "conv2", "conv3", "deconv1", "deconv2", "deconv3"]
    names = [f"{name}.conv2d" for name in layers] + [f"in{i}" for i in range(1, 6)]
    for block in range(1, 6):
        names += [f"res{block}.{part}" for part in ("conv1.conv2d", "conv2.conv2d", "in1", "in2")]
    assert set(keys) == {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert keys["conv1.conv2d.weight"].shape == (32, 3, 9, 9)
    assert keys["res5.conv2.conv2d.weight"].shape == (128, 128, 3, 3)
    assert keys["deconv3.conv2d.weight"].shape == (3, 32, 9, 9)


@pytest.mark.parametrize("size", [(32, 40), (33, 43), (30, 45), (9, 8)])
def test_johnson_against_its_layers_written_out(size):
    net = network("johnson")
    weights = net.state_dict()

    def conv(x, name, stride=1):
        kernel = weights[f"{name}.conv2d.weight"]
        x = F.pad(x, (kernel.shape[-1] // 2,) * 4, mode="reflect")
        return F.conv2d(x, kernel, weights[f"{name}.conv2d.bias"], stride)

    def norm(x, name):
        return F.instance_norm(x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"])

    image = torch.rand(1, 3, *size)
    x = image * 255
    for index, stride in ((1, 1), (2, 2), (3, 2)):
        x = norm(conv(x, f"conv{index}", stride), f"in{index}").relu()
    for block in range(1, 6):
        y = norm(conv(x, f"res{block}.conv1"), f"res{block}.in1").relu()
        x = x + norm(conv(y, f"res{block}.conv2"), f"res{block}.in2")
    for index in (1, 2):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = norm(conv(x, f"deconv{index}"), f"in{index + 3}").relu()
    expected = (conv(x, "deconv3") / 255).clamp(0, 1)
    # Sides that are no multiples of 4 grow.
    assert expected.shape[2:] == tuple(side + -side % 4 for side in size)
    assert torch.allclose(net(image), expected[..., : size[0], : size[1]], atol=1e-5)


def test_default_network_is_the_documented_one():
    net = TransformerNet(NetworkConfig())
    assert net.stem.conv.weight.shape == (64, 48, 3, 3)
    assert len(net.body) == 4
    assert net.body[0].conv1.conv.weight.shape == (128, 128, 3, 3)
