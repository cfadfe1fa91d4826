from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_DRAFT
from torch import nn

from stylize.network.architectures import build_network
from stylize.network.draft_revise import (
    DraftReviseNet,
    Reviser,
    level_sizes,
    pyramid,
    smooth_colours,
    standardized,
)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.inference_mode():
        yield


def network(**settings) -> DraftReviseNet:
    torch.manual_seed(0)
    return build_network(replace(TINY_DRAFT, **settings)).eval()


@pytest.mark.parametrize(
    ("size", "draft", "expected"),
    [
        ((512, 512), 160, [(160, 160), (320, 320), (512, 512)]),
        ((1024, 1536), 160, [(160, 240), (320, 480), (512, 768), (1024, 1536)]),
        ((2000, 2000), 160, [(160, 160), (320, 320), (512, 512), (1024, 1024), (2000, 2000)]),
        ((1600, 800), 80, [(160, 80), (320, 160), (512, 256), (1024, 512), (1600, 800)]),
        # The last level is 1.2 to 2.4 times as large as the one before.
        ((610, 610), 160, [(160, 160), (320, 320), (512, 512), (610, 610)]),
        ((1200, 1200), 160, [(160, 160), (320, 320), (512, 512), (1200, 1200)]),
        # Smaller photos are painted as large ones.
        ((600, 600), 160, [(160, 160), (320, 320), (512, 512)]),
        ((1, 1), 160, [(160, 160), (320, 320), (512, 512)]),
        # What is longer than four times its height counts as so long: no draft explodes.
        (
            (1, 10_000),
            160,
            [(16, 640), (32, 1280), (51, 2048), (102, 4096), (205, 8192), (1, 10_000)],
        ),
    ],
)
def test_levels_on_paper(size, draft, expected):
    assert level_sizes(size, draft) == expected


def test_two_copies_of_a_photo_have_the_same_draft():
    sizes = [(h, round(h * 4000 / 2667)) for h in range(300, 3000, 37)]
    assert {level_sizes(size, 160)[0] for size in sizes} == {(160, 240)}
    for size in sizes:
        levels = level_sizes(size, 160)
        if len(levels) > 3:
            assert 2**0.25 < size[0] / levels[-2][0] <= 2**1.25
        else:
            assert size[0] <= 2**0.25 * 512


def test_a_photo_and_its_copy_have_one_painting_at_their_common_sizes():
    net = network(draft_size=80)
    photo = torch.rand(1, 3, 512, 820)
    sizes = level_sizes((512, 820), 80)
    assert sizes[:-1] == level_sizes((256, 410), 80)
    copy = pyramid(photo, sizes)[-2]
    painted = []
    for part in (net.reviser, net.finisher):
        part.register_forward_hook(lambda _, inputs, result: painted.append(result))
    net(photo), net(copy)
    of_photo, of_copy = painted[:3], painted[3:]
    assert len(of_copy) == 2
    for one, two in zip(of_photo, of_copy, strict=False):
        assert torch.allclose(one, two, atol=1e-5)


def test_stroke_divides_the_size_of_the_draft():
    net, photo = network(), torch.rand(1, 3, 128, 128)
    assert torch.equal(net(photo, stroke=0.5), network(draft_size=64)(photo))
    assert not torch.allclose(net(photo, stroke=0.5), net(photo), atol=0.01)


@pytest.mark.parametrize("part", ["reviser", "finisher"])
def test_a_part_that_does_nothing_keeps_the_painting(part):
    part = network().get_submodule(part)
    last = part.up3 if isinstance(part, Reviser) else part.up2
    nn.init.zeros_(last.out.weight)
    photo = torch.rand(1, 3, 32, 32)
    painting = 0.02 + 0.96 * torch.rand(1, 3, 32, 32)
    assert torch.allclose(part(photo, painting), painting, atol=1e-6)


def test_a_standardized_photo_on_paper():
    photo = torch.rand(2, 3, 32, 48) * torch.tensor([0.9, 0.5, 0.2]).view(1, 3, 1, 1)
    variance = photo.var((2, 3), correction=0, keepdim=True)
    given = (variance / (variance + variance.mean(1, keepdim=True) / 16)).sqrt() / 4
    found = standardized(photo, None)
    assert torch.allclose(found.mean((2, 3)), torch.full((2, 3), 0.5), atol=1e-5)
    assert torch.allclose(found.std((2, 3), correction=0, keepdim=True), given, rtol=1e-3)
    # A mask chooses the pixels that count.
    mask = torch.zeros(1, 1, 32, 48)
    mask[..., :16, :] = 1
    spoilt = photo.clone()
    spoilt[..., 16:, :] = 0
    upper = standardized(spoilt, mask)[..., :16, :]
    assert torch.allclose(upper, standardized(photo[..., :16, :], None), atol=1e-5)
    flat = torch.full((1, 3, 8, 8), 0.7)
    assert torch.allclose(standardized(flat, None), torch.full_like(flat, 0.5), atol=1e-4)


def test_drafts_are_the_same_in_light_of_another_colour():
    net, photo = network(), torch.rand(1, 3, 32, 32)
    own = net(photo, part="draft")
    dimmer = net(0.6 * photo + 0.1, part="draft")
    warmer = net(photo * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1), part="draft")
    assert torch.allclose(dimmer, own, atol=1e-3)
    assert torch.allclose(warmer, own, atol=0.03)
    assert (net.draft(photo) - net.draft(photo.flip(1))).abs().max() > 0.1  # colours do matter


def test_colours_of_a_residual_are_blurred_and_its_grey_is_not():
    grey = torch.rand(1, 1, 16, 24).expand(1, 3, 16, 24)
    assert torch.allclose(smooth_colours(grey, wrap=False), grey, atol=1e-6)
    lines = torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 16, 1).expand(1, 1, 16, 24)
    red = torch.tensor([1.0, -0.5, -0.5]).view(1, 3, 1, 1)  # of no lightness
    assert torch.allclose(smooth_colours(grey + red * lines, wrap=True), grey, atol=1e-6)
    assert torch.allclose(smooth_colours(grey + red, wrap=False), grey + red, atol=1e-6)


def test_a_given_draft_is_revised_in_place_of_the_own_one():
    net, photo = network(), torch.rand(2, 3, 128, 96)
    sizes = level_sizes((128, 96), 32)
    own = net(pyramid(photo, sizes)[0], part="draft")
    assert torch.allclose(net(photo, painting=own), net(photo))
    other = 1 - own
    assert (net(photo, painting=other) - net(photo)).abs().mean() > 0.1


def test_the_parts_make_the_whole():
    net, photo = network(draft_size=80), torch.rand(2, 3, 256, 256)
    small, middle, large = pyramid(photo, level_sizes((256, 256), 80))
    draft = net(small, part="draft")
    revised = net(middle, painting=draft, part="reviser")
    finished = net(large, painting=revised, part="finisher")
    assert torch.equal(finished, net(photo))


def test_a_thumbnail_is_the_picture_reduced():
    net = network()
    photo = torch.rand(1, 3, 102, 154)
    thumbnail = net(F.interpolate(photo, (8, 12), mode="bilinear", antialias=True))
    assert thumbnail.shape == (1, 3, 8, 12)
    seen = F.interpolate(
        F.interpolate(photo, (8, 12), mode="bilinear", antialias=True), (102, 154), mode="bilinear"
    )
    assert torch.allclose(
        thumbnail, F.interpolate(net(seen), (8, 12), mode="bilinear", antialias=True), atol=1e-4
    )


@pytest.mark.parametrize("part", ["reviser", "finisher"])
def test_in_training_no_part_can_tell_where_the_border_is(part):
    part = network().get_submodule(part).train()
    if isinstance(part, Reviser):
        nn.init.zeros_(part.noise.weight)
        nn.init.zeros_(part.up3.noise.weight)
    photo, painting = torch.rand(2, 1, 3, 48, 32)
    by = {"shifts": (3 * part.FOLD, -2 * part.FOLD), "dims": (2, 3)}
    moved = part(photo.roll(**by), painting.roll(**by))
    assert torch.allclose(moved, part(photo, painting).roll(**by), atol=1e-5)


def test_every_level_of_a_pyramid_is_made_from_the_next():
    image = torch.rand(1, 3, 64, 64)
    small, middle, large = pyramid(image, [(16, 16), (32, 32), (64, 64)])
    assert large is image
    assert middle.shape[-2:] == (32, 32)
    wanted = F.interpolate(middle, (16, 16), mode="bilinear", antialias=True)
    assert torch.equal(small, wanted)
