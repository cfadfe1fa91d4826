from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_DRAFT
from torch import nn

from stylize.network.architectures import build_network
from stylize.network.draft_revise import DraftReviseNet, Reviser, level_sizes, pyramid


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
        ((512, 512), 128, [(128, 128), (256, 256), (512, 512)]),
        ((1024, 1536), 128, [(128, 192), (256, 384), (512, 768), (1024, 1536)]),
        # The last level is 1.4 to 2.8 times as large as the one before.
        ((512, 512), 160, [(160, 160), (320, 320), (512, 512)]),
        ((440, 440), 160, [(160, 160), (440, 440)]),
        # Photos about as small as the draft, and smaller ones, are not revised.
        ((220, 220), 160, [(160, 160)]),
        ((1, 1), 160, [(160, 160)]),
        # What is longer than four times its height counts as so long: no draft explodes.
        ((1, 40_000), 160, [(16, 640), (32, 1280), (64, 2560), (128, 5120), (256, 10_240)]),
    ],
)
def test_levels_on_paper(size, draft, expected):
    found = level_sizes(size, draft)
    assert found[: len(expected)] == expected
    if len(found) > 1:
        assert found[-1] == size


def test_two_copies_of_a_photo_have_the_same_draft():
    sizes = [(h, round(h * 4000 / 2667)) for h in range(300, 3000, 37)]
    assert {level_sizes(size, 160)[0] for size in sizes} == {(160, 240)}
    for size in sizes:
        levels = level_sizes(size, 160)
        ratio = size[0] / levels[-2][0] if len(levels) > 1 else size[0] / 160
        assert 2**-0.5 <= ratio <= 2**1.5


def test_a_photo_and_its_copy_have_one_painting_at_their_common_sizes():
    net = network()
    photo = torch.rand(1, 3, 256, 384)
    sizes = level_sizes((256, 384), 32)
    assert sizes[:-1] == level_sizes((128, 192), 32)
    copy = pyramid(photo, sizes)[-2]
    painted = []
    net.reviser.register_forward_hook(lambda reviser, inputs, result: painted.append(result))
    net(photo), net(copy)
    of_photo, of_copy = painted[:3], painted[3:]
    assert len(of_copy) == 2
    for one, two in zip(of_photo, of_copy, strict=False):
        assert torch.allclose(one, two, atol=1e-5)


def test_stroke_divides_the_size_of_the_draft():
    net, photo = network(), torch.rand(1, 3, 128, 128)
    assert torch.equal(net(photo, stroke=0.5), network(draft_size=64)(photo))
    assert not torch.allclose(net(photo, stroke=0.5), net(photo), atol=0.01)


def test_a_reviser_that_does_nothing_keeps_the_draft():
    net = network()
    nn.init.zeros_(net.reviser.up3.conv.weight)
    photo = torch.rand(1, 3, 32, 32)
    draft = 0.02 + 0.96 * torch.rand(1, 3, 32, 32)
    assert torch.allclose(net.reviser(photo, draft), draft, atol=1e-6)


def test_a_given_draft_is_revised_in_place_of_the_own_one():
    net, photo = network(), torch.rand(2, 3, 128, 96)
    sizes = level_sizes((128, 96), 32)
    own = net.draft(pyramid(photo, sizes)[0])
    assert torch.allclose(net(photo, draft=own), net(photo))
    other = 1 - own
    assert (net(photo, draft=other) - net(photo)).abs().mean() > 0.1


def test_a_photo_at_the_size_of_the_draft_is_a_draft():
    net, photo = network(), torch.rand(1, 3, 32, 48)
    assert torch.equal(net(photo), net.draft(photo))


def test_in_training_a_reviser_cannot_tell_where_the_border_is():
    reviser = network().reviser.train()
    nn.init.zeros_(reviser.noise.weight)
    photo, painting = torch.rand(2, 1, 3, 48, 32)
    by = {"shifts": (3 * Reviser.FOLD, -2 * Reviser.FOLD), "dims": (2, 3)}
    moved = reviser(photo.roll(**by), painting.roll(**by))
    assert torch.allclose(moved, reviser(photo, painting).roll(**by), atol=1e-5)


def test_every_level_of_a_pyramid_is_made_from_the_next():
    image = torch.rand(1, 3, 64, 64)
    small, middle, large = pyramid(image, [(16, 16), (32, 32), (64, 64)])
    assert large is image
    assert middle.shape[-2:] == (32, 32)
    wanted = F.interpolate(middle, (16, 16), mode="bilinear", antialias=True)
    assert torch.equal(small, wanted)
