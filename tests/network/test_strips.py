"""In strips and in one pass: the same picture, to a rounding."""

import gc
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import DEVICE, TINY_DRAFT, draw_picture

from stylize.config import NetworkConfig
from stylize.network.architectures import build_network
from stylize.network.buffers import InMemory, OnDisk
from stylize.network.draft_revise import standardized
from stylize.network.strip_stages import Run, cut
from stylize.network.strips import Strips
from stylize.photos.photo import to_tensor

AWKWARD = [  # height, width, strips
    *((64, 64, 2), (65, 67, 3), (71, 200, 4), (96, 1, 3), (97, 3, 5), (100, 8, 6), (121, 33, 7)),
    *((127, 129, 2), (128, 95, 16), (131, 131, 4), (149, 61, 9), (160, 250, 5), (181, 77, 11)),
    *((200, 2, 12), (211, 113, 3), (229, 40, 14), (255, 257, 6), (256, 31, 8), (263, 90, 10)),
    (301, 199, 13),
]


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def quarter(precision: str) -> torch.nn.Module:
    """Untrained, of the default widths."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(architecture="quarter")).eval()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return network.to(DEVICE, dtype, memory_format=torch.channels_last)


def johnson() -> torch.nn.Module:
    """Untrained, but with results that cover the whole range."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(architecture="johnson")).eval().to(DEVICE)
    network.deconv3.conv2d.weight *= 100
    network.deconv3.conv2d.bias += 128
    return network


def drafting() -> torch.nn.Module:
    """Untrained; its draft is smaller than most of the pictures here."""
    torch.manual_seed(0)
    return build_network(TINY_DRAFT).eval().to(DEVICE)


def photo(height: int, width: int) -> torch.Tensor:
    return to_tensor(draw_picture(height * width, width, height))[None].to(DEVICE)


def lazy(tensor: torch.Tensor, run: Run) -> Strips:
    return Strips(run, tensor.shape, tensor.dtype, lambda top, bottom: tensor[:, :, top:bottom])


def in_memory(shape: tuple[int, ...], dtype: torch.dtype) -> InMemory:
    return InMemory(shape, dtype, DEVICE, DEVICE)


def collect(result: Strips) -> torch.Tensor:
    return torch.cat([result.advance(*rows) for rows in result.run.strips(result.shape[2])], dim=2)


def in_strips(network, image, count, mask=None, allocate=in_memory):
    run = Run(DEVICE, count, allocate)
    mask = None if mask is None else lazy(mask, run)
    return collect(network(lazy(image, run), mask))


def difference(one: torch.Tensor, two: torch.Tensor) -> float:
    """The largest, in levels of 255."""
    return 255 * float((one - two).abs().max())


def test_there_are_twenty_sizes():
    assert len(AWKWARD) == 20


def test_as_in_one_pass():
    """The promise is one level; what is left in fp32 is a rounding in the last digits."""
    network = quarter("fp32")
    for height, width, count in AWKWARD:
        image = photo(height, width)
        assert difference(in_strips(network, image, count), network(image)) < 0.01


def test_as_in_one_pass_in_bf16():
    network = quarter("bf16")
    worst, mean = 0.0, 0.0
    for height, width, count in AWKWARD:
        image = photo(height, width)
        found, whole = in_strips(network, image, count), network(image)
        worst = max(worst, difference(found, whole))
        mean = max(mean, 255 * float((found - whole).abs().mean()))
    assert worst <= 6
    assert mean <= 0.25


def test_the_network_of_the_paper():
    network = johnson()
    assert 0.1 < network(photo(64, 64)).std() < 0.4
    for height, width, count in AWKWARD[:7]:
        image = photo(height, width)
        assert difference(in_strips(network, image, count), network(image)) < 0.01


def test_a_draft_and_its_revisions():
    network = drafting()
    for height, width, count in [*AWKWARD, (600, 400, 9), (1000, 300, 16)]:
        image = photo(height, width)
        assert difference(in_strips(network, image, count), network(image)) < 0.01
    # A draft of more than one strip, with a mask.
    network.draft_size = 400
    image, mask = photo(450, 300), torch.rand(1, 1, 450, 300, device=DEVICE)
    assert difference(in_strips(network, image, 8, mask), network(image, mask)) < 0.01


@pytest.mark.parametrize(
    "make", [lambda: quarter("fp32"), johnson, drafting], ids=["quarter", "johnson", "draft"]
)
def test_with_a_mask_that_leaves_strips_empty(make):
    network, image = make(), photo(150, 90)
    mask = torch.zeros(1, 1, 150, 90, device=DEVICE)
    mask[:, :, 70:101, 20:50] = torch.rand(31, 30, device=DEVICE)
    found = in_strips(network, image, 7, mask)
    assert difference(found, network(image, mask)) < 0.05
    assert difference(found, network(image)) > 5


def test_an_empty_mask_is_as_none():
    network, image = quarter("fp32"), photo(90, 70)
    mask = torch.zeros(1, 1, 90, 70, device=DEVICE)
    assert difference(in_strips(network, image, 4, mask), network(image)) < 0.05


def seam_score(picture: torch.Tensor, borders: list[int]) -> float:
    """Steps from row to row where strips meet, over steps everywhere else."""
    steps = picture.diff(dim=2).abs().mean(dim=(0, 1, 3))
    there = torch.zeros(len(steps), dtype=torch.bool)
    there[[border - 1 for border in borders]] = True
    return float(steps[there].mean() / steps[~there].mean())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_seams(precision):
    network, image = quarter(precision), photo(520, 300)
    borders = [top for top, _ in cut(520, 13)][1:]
    whole, found = network(image), in_strips(network, image, 13)
    assert seam_score(found, borders) == pytest.approx(seam_score(whole, borders), rel=0.01)
    # And it would see one: two levels of brightness from strip to strip.
    seamed = whole.clone()
    for index, (top, bottom) in enumerate(cut(520, 13)):
        seamed[:, :, top:bottom] += (index % 2) * 2 / 255
    assert seam_score(seamed, borders) > 1.02 * seam_score(whole, borders)


@pytest.mark.parametrize("make", [lambda: quarter("fp32"), johnson], ids=["quarter", "johnson"])
def test_what_is_kept_is_what_memory_reckons_with(make):
    network, image = make(), photo(512, 512)
    alive = most = 0
    sizes = []

    def counting(shape, dtype):
        nonlocal alive, most

        def free():
            nonlocal alive
            alive -= size

        buffer = in_memory(shape, dtype)
        size = torch.Size(shape).numel()
        sizes.append(size)
        alive += size
        most = max(most, alive)
        weakref.finalize(buffer, free)
        return buffer

    gc.disable()  # what holds on to a buffer in a cycle counts as well
    try:
        in_strips(network, image, 8, allocate=counting)
    finally:
        gc.enable()
    assert alive == 0
    kept = network.values_per_pixel[1] * 512**2
    assert 0.9 * kept <= most <= 1.05 * kept
    largest = sorted(sizes)[-2:]
    assert most <= 1.5 * sum(largest)


def test_on_disk(tmp_path):
    network, image = quarter("bf16"), photo(200, 120)

    def allocate(shape, dtype):
        return OnDisk(shape, dtype, tmp_path, DEVICE)

    found = in_strips(network, image, 5, allocate=allocate)
    assert torch.equal(found, in_strips(network, image, 5))
    assert not list(tmp_path.iterdir())


def test_with_its_own_statistics_given_only_a_few_rows_are_kept():
    network, image = quarter("fp32"), photo(640, 96)
    first = Run(DEVICE, 1, in_memory)
    network(lazy(image, first), None).rows(0, 1)
    assert len(first.found) == 12

    def nothing(shape, dtype):
        raise AssertionError("a buffer for a whole picture")

    rows = []
    run = Run(DEVICE, 10, nothing, first.found)

    def source(top, bottom):
        rows.append((top, bottom))
        return image[:, :, top:bottom]

    result = network(Strips(run, image.shape, image.dtype, source), None)
    assert difference(collect(result), network(image)) < 0.01
    # Every row is asked for once, but for the few that neighbouring convolutions share.
    assert sum(bottom - top for top, bottom in rows) < 1.5 * 640
    # Strips may overlap, as those do whose borders are looked at again.
    run = Run(DEVICE, 10, nothing, first.found)
    result = network(lazy(image, run), None)
    for top, bottom in cut(640, 10):
        upper, lower = max(0, top - 24), min(640, bottom + 24)
        found = result.advance(upper, lower)
        assert difference(found, network(image)[:, :, upper:lower]) < 0.01


@pytest.mark.parametrize("mode", ["replicate", "reflect"])
def test_padding_by_rows(mode):
    image = photo(9, 7)
    padded = F.pad(image, (2, 3, 4, 5), mode)
    source = lazy(image, Run(DEVICE, 3, in_memory))
    strips = F.pad(source, (2, 3, 4, 5), mode)
    assert strips.shape == padded.shape
    for top in range(18):
        for bottom in range(top + 1, 19):
            assert torch.equal(strips.rows(top, bottom), padded[:, :, top:bottom])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.pixel_unshuffle(x, 4),
        lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 4), 2),
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: F.conv2d(x, torch.ones(2, 3, 3, 3, device=DEVICE), stride=2),
        lambda x: torch.sigmoid((x - 0.5) * 3 / 2).clamp(0.4, 0.6),
        lambda x: x[..., 3:20, 1:9],
        lambda x: x[..., 3:-2, :-1],
    ],
)
def test_functions_by_rows(function):
    image = photo(24, 16)
    whole, strips = function(image), function(lazy(image, Run(DEVICE, 3, in_memory)))
    height = whole.shape[2]
    assert strips.shape == whole.shape
    assert strips.dtype == whole.dtype
    for top in range(height):
        for bottom in range(top + 1, height + 1):
            assert torch.allclose(strips.rows(top, bottom), whole[:, :, top:bottom], atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_a_photo_standardized_by_rows(masked):
    image, run = photo(24, 16), Run(DEVICE, 3, in_memory)
    mask = torch.rand(1, 1, 24, 16, device=DEVICE) if masked else None
    whole = standardized(image, mask)
    strips = standardized(lazy(image, run), None if mask is None else lazy(mask, run))
    assert difference(collect(strips), whole) < 0.01


@pytest.mark.parametrize(
    "function",
    [
        torch.tanh,
        lambda x: F.pad(x, (1, 1, 1, 1)),
        lambda x: F.conv2d(x, torch.ones(1, 3, 3, 3), padding=1),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ],
)
def test_what_has_no_rule_is_an_error(function):
    with pytest.raises((TypeError, NotImplementedError)):
        function(lazy(photo(8, 8), Run(DEVICE, 2, in_memory)))


def test_strips_cover_everything_once():
    for height in range(1, 60):
        for count in range(1, 9):
            strips = list(cut(height, count))
            assert len(strips) <= count
            rows = np.concatenate([np.arange(top, bottom) for top, bottom in strips])
            assert rows.tolist() == list(range(height))
