"""The layer and its functions, by every backend that runs here, against the formula in fp64.

Triton's kernels run in its interpreter where there is no GPU (see conftest). Rule for errors: at
most twice that of `torch.instance_norm` in the same dtype, plus a floor: one rounding of the
largest value to the dtype, and 32 roundings in fp32 of (1 + |mean| / standard deviation) times it
and the weight, since that many digits cancel in x - mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from conftest import DEVICE, forget_the_choice
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stylize.network.instance_norm import ops
from stylize.network.instance_norm.layer import (
    EPS,
    InstanceNorm2d,
    blend,
    combine,
    instance_norm,
    moments,
    normalize,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LAYOUTS = ("contiguous", "channels_last", "odd", "neither")


@pytest.fixture(autouse=True, params=["torch", "triton"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each in turn. New tensors are filled with NaN, so that nothing can stay unwritten."""
    if request.param == "triton":
        pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STYLIZE_NORM", request.param)
        forget_the_choice()
        torch.use_deterministic_algorithms(True)
        yield request.param
        torch.use_deterministic_algorithms(False)
    forget_the_choice()


def arrange(x: Tensor, layout: str) -> Tensor:
    """The same values in that layout.

    `odd` is channels_last with strides where sizes are 1 as slices and permutations leave them;
    `neither` has gaps between its rows.
    """
    if layout == "odd":
        x = x.contiguous(memory_format=torch.channels_last)
        size = x.stride(0) if len(x) > 1 else x.shape[1]
        return x.as_strided(x.shape, (size, *x.stride()[1:]))
    if layout == "neither":
        return x.repeat_interleave(2, dim=3)[..., ::2]
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    return x.contiguous(memory_format=formats[layout])


@dataclass
class Case:
    """Input of one call, and the gradient from above."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    residual: Tensor | None
    relu: bool
    dy: Tensor

    @staticmethod
    def draw(
        shape: tuple[int, int, int, int],
        dtype: torch.dtype = torch.float32,
        layout: str = "contiguous",
        residual: str = "none",
        relu: bool = False,
        mean: float = 1.0,
        std: float = 2.0,
    ) -> "Case":
        generator = torch.Generator().manual_seed(hash((shape, relu)) % 2**31)
        channels = shape[1]

        def normal(*size: int) -> Tensor:
            return arrange(torch.randn(size, generator=generator).to(DEVICE, dtype), layout)

        x = arrange((normal(*shape).float() * std + mean).to(dtype), layout)
        added = {"none": None, "full": normal(*shape), "shared": normal(1, *shape[1:])}[residual]
        # Weights that every dtype can represent; one is 0, one negative.
        weight = (torch.arange(channels, device=DEVICE) % 5 - 1) / 4
        bias = (torch.arange(channels, device=DEVICE) % 3 - 1) / 2
        case = Case(x, weight, bias, added, relu, normal(*shape))
        if relu:  # on which side of the bend a value near it falls is no matter of correctness
            case.relu = False
            case.dy = torch.where(case.exact()[0].abs() > 0.05, case.dy, 0)
            case.relu = True
        return case

    def inputs(self, dtype: torch.dtype | None = None) -> list[Tensor]:
        tensors = [t for t in (self.x, self.weight, self.bias, self.residual) if t is not None]
        return [t.detach().to(dtype or t.dtype).requires_grad_() for t in tensors]

    def ours(self) -> list[Tensor]:
        """Result, and the gradients of x, weight, bias and residual."""
        x, weight, bias, *residual = inputs = self.inputs()
        y = instance_norm(x, weight, bias, *residual, relu=self.relu)
        return [y.detach(), *torch.autograd.grad(y, inputs, self.dy)]

    def exact(self) -> list[Tensor]:
        """The same by the definition in fp64."""
        x, weight, bias, *residual = inputs = self.inputs(torch.float64)
        mean = x.mean(dim=(2, 3), keepdim=True)
        var = (x - mean).square().mean(dim=(2, 3), keepdim=True)
        y = (x - mean) / (var + EPS).sqrt() * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
        return self._finish(y, inputs, residual, self.dy.double())

    def of_torch(self) -> list[Tensor]:
        """The same by torch's instance norm, all in the dtype of x."""
        x, weight, bias, *residual = inputs = self.inputs(self.x.dtype)
        y = torch.instance_norm(x, weight, bias, None, None, True, 0.0, EPS, False)
        return self._finish(y, inputs, residual, self.dy)

    def _finish(
        self, y: Tensor, inputs: list[Tensor], residual: list[Tensor], dy: Tensor
    ) -> list[Tensor]:
        for added in residual:
            y = y + added
        y = y.relu() if self.relu else y
        return [y.detach(), *torch.autograd.grad(y, inputs, dy)]

    def check(self) -> None:
        exact_x = self.x.double()
        std = (exact_x.var(dim=(2, 3), correction=0) + EPS).sqrt()
        digits_lost = 1 + (exact_x.mean(dim=(2, 3)).abs() / std).max().item()
        fp32 = 32 * torch.finfo(torch.float32).eps * digits_lost
        terms = self.x[0, 0].numel() * len(self.x)
        names = ("y", "dx", "dweight", "dbias", "dresidual")
        results = zip(self.ours(), self.exact(), self.of_torch(), strict=True)
        for name, (ours, exact, torchs) in zip(names, results, strict=False):
            scale = exact.abs().max().item()
            if name in ("dweight", "dbias"):  # sums, whose terms may cancel
                floor = fp32 * (scale + terms**0.5 * 3)
            else:
                scale += self.weight.abs().max().item() if name == "y" else 0
                floor = (torch.finfo(self.x.dtype).eps / 2 + fp32) * scale
            error = (ours.double() - exact).abs().max().item()
            reference = (torchs.double() - exact).abs().max().item()
            assert error <= 2 * reference + floor, (name, error, reference, floor)


SHAPES = {
    "one pixel": (3, 20, 1, 1),
    "one row": (1, 3, 1, 50),
    "small": (2, 5, 7, 9),
    "many planes": (4, 70, 5, 6),
    "parts": (2, 3, 130, 131),
    "parts, many channels": (1, 40, 33, 47),
    "parts, more channels than a tile": (1, 131, 6, 180),
}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_shapes(shape, layout):
    Case.draw(shape, layout=layout, residual="full", relu=True).check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("residual", ["none", "full", "shared"])
def test_dtypes_layouts_and_what_is_fused(dtype, layout, relu, residual):
    Case.draw((2, 20, 9, 11), dtype, layout, residual, relu).check()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 5, 12, 13), (1, 3, 130, 140), (1, 33, 40, 40)])
@pytest.mark.parametrize("mean", [100.0, 1000.0])
def test_large_means(shape, layout, mean):
    """E[x^2] - E[x]^2 would have no digit left."""
    for dtype in (torch.float32, torch.bfloat16):
        Case.draw(shape, dtype, layout, mean=mean, std=1.0).check()


@pytest.mark.parametrize("mean", [0.5, 0.9, 1.5, 4.0])
@pytest.mark.parametrize("side", [64, 180, 255, 512])
def test_flat_ground_is_exact_enough_for_bf16(side, mean):
    """A textured product on a flat ground, and two values only: all sums round the same way."""
    texture = torch.randn(1, 2, side, side, generator=torch.Generator().manual_seed(0))
    ground = torch.full((1, 2, side, side), mean)
    ground[..., side // 3 : 2 * side // 3, :] += texture[..., side // 3 : 2 * side // 3, :]
    two = mean + torch.sign(texture)
    weight, bias = torch.ones(2, device=DEVICE), torch.zeros(2, device=DEVICE)
    for plane in (ground, two):
        x = arrange(plane.to(DEVICE, torch.bfloat16), "channels_last")
        rstd = ops.instance_norm(x, weight, bias, None, EPS, False)[2]
        exact = (x.double().var(dim=(2, 3), correction=0) + EPS).rsqrt()
        assert (rstd / exact - 1).abs().max() < 2**-9


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 8, 6, 7), (1, 8, 130, 131)])
def test_weights_with_gaps(layout, dtype, shape):
    case = Case.draw(shape, dtype, layout, relu=True)
    case.weight, case.bias = (value.repeat_interleave(3)[::3] for value in (case.weight, case.bias))
    x = case.x.detach().requires_grad_()
    y = instance_norm(x, case.weight, case.bias, relu=True)
    expected = case.ours()
    assert torch.equal(y, expected[0])
    assert torch.equal(torch.autograd.grad(y, x, case.dy)[0], expected[1])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(2, 4, 1, 1), (2, 4, 5, 5), (1, 3, 129, 130)])
@pytest.mark.parametrize("value", [0.0, 0.7, 2.0])
def test_a_constant_plane_comes_out_as_bias(shape, layout, value):
    case = Case.draw(shape, layout=layout)
    case.x = arrange(torch.full(shape, value, device=DEVICE), layout)
    case.check()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_nan_is_not_hidden_by_the_relu(layout):
    case = Case.draw((1, 3, 4, 4), layout=layout, relu=True)
    case.x[0, 1, 2, 3] = torch.nan
    y = case.ours()[0]
    assert y[0, 1].isnan().all()
    assert y[0, [0, 2]].isfinite().all()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(3, 5, 8, 9), (2, 3, 130, 131), (2, 40, 33, 47)])
def test_same_bits_every_time_and_in_every_batch(shape, layout, backend):
    # On a GPU, torch adds up in an order that depends on the number of photos.
    exact = backend == "triton" or DEVICE.type == "cpu"
    same = torch.equal if exact else partial(torch.allclose, rtol=1e-4, atol=1e-5)
    case = Case.draw(shape, layout=layout, relu=True)
    first, second = case.ours(), case.ours()
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    for index in range(shape[0]):
        image = slice(index, index + 1)
        single = Case(case.x[image], case.weight, case.bias, None, case.relu, case.dy[image]).ours()
        assert same(single[0], first[0][image])
        assert same(single[1], first[1][image])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_layout_stays(layout):
    case = Case.draw((2, 5, 7, 9), layout=layout, residual="full", relu=True)
    y, dx, *_, dresidual = case.ours()
    assert y.stride() == dx.stride() == dresidual.stride() == case.x.stride()


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 20, 12, 40))),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    residual=st.sampled_from(["none", "full", "shared"]),
    relu=st.booleans(),
    mean=st.sampled_from([0.0, -3.0, 50.0]),
    std=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_any_shape_layout_and_dtype(shape, dtype, layout, residual, relu, mean, std):
    Case.draw(shape, dtype, layout, residual, relu, mean, std).check()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 5, 7), (1, 3, 131, 130)])
def test_normalize_of_moments_is_instance_norm(shape, relu):
    case = Case.draw(shape, layout="channels_last", relu=relu)
    y = normalize(case.x, *moments(case.x), case.weight, case.bias, relu=relu)
    expected = instance_norm(case.x, case.weight, case.bias, relu=relu)
    assert torch.allclose(y, expected, atol=1e-5)


def test_normalize_on_paper():
    x = torch.tensor([[1.0, 3.0], [5.0, 7.0]], device=DEVICE).view(1, 1, 2, 2)
    mean, var = moments(x)
    assert mean.tolist() == [[4.0]]
    assert var.tolist() == [[5.0]]  # (9 + 1 + 1 + 9) / 4
    four = torch.full((1, 1), 4.0, device=DEVICE)
    found = normalize(x, mean, four, eps=0.0).flatten().tolist()
    assert found == pytest.approx([-1.5, -0.5, 0.5, 1.5])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (2, 3, 131, 129), (1, 40, 33, 47)])
def test_moments_of_masked_regions(dtype, layout, shape):
    """Against numpy's weighted average and covariance; one mask for all, hard or soft."""
    x = Case.draw(shape, dtype, layout).x
    soft = torch.rand(1, 1, *shape[2:], generator=torch.Generator().manual_seed(0)).to(DEVICE)
    soft[..., : shape[2] // 2, :] = 0  # whole strips and parts without a pixel
    for mask in (soft, soft * 1e-3, soft > 0.5):
        mean, var = moments(x, mask)
        weights = mask[0, 0].flatten().double().cpu().numpy()
        for image in range(shape[0]):
            pixels = x[image].flatten(1).double().cpu().numpy()
            expected = np.average(pixels, axis=1, weights=weights)
            assert mean[image].cpu().numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)
            spread = np.diag(np.cov(pixels, aweights=weights, ddof=0))
            assert var[image].cpu().numpy() == pytest.approx(spread, rel=1e-5)


def test_an_empty_mask_is_no_mask():
    x = Case.draw((2, 3, 8, 8)).x
    mask = torch.zeros(2, 1, 8, 8, device=DEVICE)
    mask[1, :, 2:5] = 1
    mean, var = moments(x, mask)
    for found, whole in zip((mean, var), moments(x), strict=True):
        assert torch.allclose(found[0], whole[0])
        assert not torch.allclose(found[1], whole[1])


def test_pixels_outside_the_mask_do_not_count():
    """The layer gives a product the same look on a white and on a black ground."""
    norm = layer(3)
    x = Case.draw((1, 3, 12, 12)).x
    mask = torch.zeros(1, 1, 12, 12, device=DEVICE)
    mask[..., 3:9, 2:8] = 1
    white, black = torch.where(mask > 0, x, 9.0), torch.where(mask > 0, x, -9.0)
    inside = mask.expand_as(x) > 0
    results = [norm(ground, mask=mask)[inside] for ground in (white, black)]
    assert torch.allclose(*results, atol=1e-6)
    results = [norm(ground)[inside] for ground in (white, black)]
    assert not torch.allclose(*results, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("rows", [1, 5, 24])
def test_strips_equal_the_whole(dtype, layout, rows):
    norm = layer(4)
    x = Case.draw((2, 4, 24, 50), dtype, layout, mean=30.0).x
    strips = x.split(rows, dim=2)
    parts = [moments(strip) for strip in strips]
    counts = torch.tensor([strip.shape[2] for strip in strips], device=DEVICE).view(-1, 1, 1)
    whole = combine(*(torch.stack(part) for part in zip(*parts, strict=True)), counts)
    for found, expected in zip(whole, moments(x), strict=True):
        assert torch.allclose(found, expected, rtol=1e-5)
    y = torch.cat([norm(strip, relu=True, given=whole) for strip in strips], dim=2)
    tolerance = 1e-4 if dtype == torch.float32 else 2**-7
    assert torch.allclose(y, norm(x, relu=True), rtol=tolerance, atol=tolerance)


def test_combine_on_paper():
    """The moments of 1, 3 and of 5, 7, 9, and of a part without weight."""
    means = torch.tensor([2.0, 7.0, 100.0]).view(3, 1, 1)
    variances = torch.tensor([1.0, 8 / 3, 0.0]).view(3, 1, 1)
    mean, var = combine(means, variances, torch.tensor([2, 3, 0]).view(3, 1, 1))
    assert mean.item() == pytest.approx(5)
    assert var.item() == pytest.approx(8)  # (16 + 4 + 0 + 4 + 16) / 5


def test_blend_on_paper():
    own = (torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 1e-6]]))
    given_ones = (torch.tensor([[2.0, 1.0]]), torch.tensor([[9.0, 1e-6]]))
    mean, var = blend(own, given_ones, 0.5, floor=0.01)
    assert mean.tolist() == [[1.0, 1.0]]
    assert var[0].tolist() == pytest.approx([4.0, 0.01])  # ((1 + 3) / 2)^2, and the floor
    for weight, expected in ((0.0, own), (1.0, given_ones)):
        for found, value in zip(blend(own, given_ones, weight), expected, strict=True):
            assert torch.allclose(found, value)


def test_statistics_from_another_photo():
    """With a reference's statistics, the reference comes out as with its own."""
    norm = layer(4)
    reference, photo = Case.draw((1, 4, 9, 9)).x, Case.draw((1, 4, 9, 8)).x
    theirs = moments(reference)
    assert torch.allclose(norm(reference, given=theirs), norm(reference), atol=1e-5)
    mean, var = (value[..., None, None] for value in theirs)
    expected = (photo - mean) / (var + EPS).sqrt() * norm.weight.view(-1, 1, 1)
    expected = expected + norm.bias.view(-1, 1, 1)
    assert torch.allclose(norm(photo, given=theirs), expected, atol=1e-5)
    for needs_grad in (False, True):
        found = norm(photo.requires_grad_(needs_grad), photo, relu=True, given=theirs)
        assert torch.allclose(found, (expected + photo).relu(), atol=1e-5)
    batch = photo.detach().expand(2, -1, -1, -1)
    assert torch.allclose(norm(batch, given=theirs), expected, atol=1e-5)


def layer(channels: int) -> InstanceNorm2d:
    norm = InstanceNorm2d(channels).to(DEVICE).requires_grad_(False)
    norm.weight.copy_(torch.linspace(-1, 2, channels))
    norm.bias.copy_(torch.linspace(3, -3, channels))
    return norm


def test_state_dict_is_interchangeable_with_torch():
    ours, theirs = layer(4), torch.nn.InstanceNorm2d(4, affine=True).to(DEVICE)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 4, 6, 6, device=DEVICE)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    ours.load_state_dict(theirs.state_dict())


def test_gain_and_offset_cancel():
    x = torch.rand(1, 3, 16, 16, device=DEVICE)
    assert torch.allclose(layer(3)(x), layer(3)(x * 0.25 + 7), atol=1e-2)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x, c: instance_norm(x[0], c, c), "x is"),
        (lambda x, c: instance_norm(x[:0], c, c), "x is"),
        (lambda x, c: instance_norm(x.int(), c, c), "x is"),
        (lambda x, c: instance_norm(x, c[:2], c), "weight is"),
        (lambda x, c: instance_norm(x, c, c[:2]), "bias is"),
        (lambda x, c: instance_norm(x, c, c, x[..., 1:]), "residual is"),
        (lambda x, c: moments(x, x), "mask is"),
        (lambda x, c: moments(x, torch.cat([x, x])[:, :1]), "mask is"),
        (lambda x, c: layer(3)(x, mask=x[:, :1], given=(c, c)), "exclude each other"),
        (lambda x, c: normalize(x, c, c), "mean is"),
    ],
)
def test_what_does_not_fit_is_said(call, named):
    with pytest.raises(ValueError, match=named):
        call(torch.zeros(2, 3, 4, 4, device=DEVICE), torch.ones(3, device=DEVICE))
