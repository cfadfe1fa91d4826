from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from stylize.config import STYLE_LAYERS, TrainConfig
from stylize.objective.guided_gram import CLASSES, guided_loss
from stylize.objective.losses import (
    CONTENT_LAYER,
    EVEN_NEAR,
    LAYERS,
    Objective,
    evenness_loss,
    keep_loss,
    relative_square,
    tone_loss,
    total_variation,
    weighted_sum,
)
from stylize.objective.style_targets import SCALES, StyleTargets, colour_distances
from stylize.objective.vgg import load_vgg16


@pytest.fixture(scope="module")
def vgg():
    return load_vgg16("shipped", LAYERS)


def objective_of(vgg, picture: torch.Tensor) -> Objective:
    return Objective(vgg, StyleTargets.of(vgg, [picture]))


def test_keep_loss_on_paper():
    draft, painting = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 16, 16), 0.5)
    image = torch.full((1, 3, 16, 16), 0.7)
    assert keep_loss(image, draft, 8).item() == pytest.approx(4, rel=1e-4)
    assert keep_loss(image, painting, 2).item() == pytest.approx(4, rel=1e-4)
    # A stripe of two pixels is free within cells of 8 pixels, not within those of 2.
    stripes = (0.5 + 0.4 * (torch.arange(16) // 2 % 2 - 0.5)).expand(1, 3, 16, 16)
    assert keep_loss(stripes, draft, 8).item() == pytest.approx(0, abs=1e-9)
    assert keep_loss(stripes, painting, 2).item() == pytest.approx(4, rel=1e-4)


def test_relative_square_on_paper():
    target = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    # Row by row: 25 / 25 and 1 / 4.
    difference = torch.tensor([[4.0, 3.0], [1.0, 0.0]])
    assert relative_square(difference, target).item() == pytest.approx((1 + 0.25) / 2)


def test_relative_square_does_not_depend_on_scale():
    target, difference = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    one = relative_square(difference, target)
    assert torch.allclose(one, relative_square(1000 * difference, 1000 * target))


def test_relative_square_of_an_empty_target_is_finite():
    assert relative_square(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_total_variation_on_paper():
    assert total_variation(torch.ones(1, 3, 5, 5)).item() == 0
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(4, 4).expand(1, 3, 8, 8)
    assert total_variation(board).item() == 2
    ramp = torch.arange(5.0).expand(1, 3, 4, 5)
    assert total_variation(ramp).item() == 1


def test_weighted_sum_on_paper():
    losses = {
        "content": torch.tensor(1.0),
        "style relu1_2": torch.tensor(10.0),
        "style relu2_2": torch.tensor(100.0),
        "tone": torch.tensor(1000.0),
        "tv": torch.tensor(10000.0),
    }
    config = TrainConfig(content_weight=2, style_weight=3, tone_weight=4, tv_weight=0.5)
    assert weighted_sum(losses, config).item() == 2 + 330 + 4000 + 5000
    config = replace(config, layer_weights={"relu2_2": 0.1})
    assert weighted_sum(losses, config).item() == 2 + 60 + 4000 + 5000


def test_tone_ignores_gain_and_offset_and_knows_a_negative():
    torch.manual_seed(0)
    photo = F.interpolate(torch.rand(2, 3, 4, 5), scale_factor=16)
    assert tone_loss(photo, photo).item() == pytest.approx(0, abs=1e-3)
    assert tone_loss(0.5 * photo + 0.3, photo).item() == pytest.approx(0, abs=1e-3)
    assert tone_loss(1 - photo, photo) > 1.5


def test_tone_on_paper():
    # Four cells (a, a, -a, -a) against (b, -b, -b, b): correlation 0; contrast b, floor 0.02.
    signs = torch.tensor([[1, 1, -1, -1], [1, -1, -1, 1]]).repeat_interleave(16, dim=1)
    image, photo = (0.5 + 0.3 * row.expand(1, 3, 16, 64) for row in signs)
    assert tone_loss(image, photo).item() == pytest.approx(0.3 / 0.32, rel=1e-3)
    assert tone_loss(1 - photo, photo).item() == pytest.approx(2 * 0.3 / 0.32, rel=1e-3)


def test_tone_of_a_flat_photo_asks_for_nothing():
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    loss = tone_loss(image, torch.ones(1, 3, 64, 64))
    loss.backward()
    assert loss.item() < 0.06
    assert image.grad.abs().max() < 1e-4


def cells(*colors):
    """(1, 3, 16, 16 n): each colour fills a cell."""
    row = torch.tensor(colors).T.repeat_interleave(16, dim=1)
    return row[None, :, None].expand(-1, -1, 16, -1)


def test_evenness_on_paper():
    red, blue, grey = (1.0, 0, 0), (0, 0, 1.0), (0.5, 0.5, 0.5)
    # Three cells of one grey: two pairs of three differ, by 1 + 1.
    assert evenness_loss(cells(red, red, blue), cells(grey, grey, grey)).item() == pytest.approx(
        4 / 3
    )
    # Black and white may become whatever they like; two whites may not.
    image, photo = cells(red, red, blue), cells((0, 0, 0), (1.0, 1, 1), (1.0, 1, 1))
    assert evenness_loss(image, photo).item() == pytest.approx(2)
    assert evenness_loss(image, photo.flip(-1)).item() == pytest.approx(0)
    # Two greys EVEN_NEAR apart count half as one: their difference over that of one grey.
    near = (0.5 + EVEN_NEAR, 0.5, 0.5)
    image, photo = cells(red, blue, red), cells(near, grey, grey)
    assert evenness_loss(image, photo).item() == pytest.approx((0.5 * 2 + 1 * 2 + 0.5 * 0) / 2)


def test_evenness_of_a_batch_is_the_mean_and_of_one_cell_nothing():
    torch.manual_seed(0)
    images, photos = torch.rand(2, 2, 3, 48, 64)
    singles = [evenness_loss(images[i : i + 1], photos[i : i + 1]) for i in range(2)]
    assert evenness_loss(images, photos).item() == pytest.approx(float(sum(singles)) / 2)
    assert evenness_loss(images[..., :16, :16], photos[..., :16, :16]).item() == 0


def test_evenness_of_large_images_takes_no_more_cells():
    assert colour_distances(torch.zeros(1, 3, 640, 640)).shape == (
        1,
        400,
        400,
    )  # every second of 40


def test_the_style_picture_is_as_uneven_as_one(vgg):
    """Of a flat photo, an image as varied as the style picture has an evenness loss of about 1."""
    torch.manual_seed(0)
    style = F.interpolate(torch.rand(1, 3, 8, 8), scale_factor=16)
    photo = torch.full_like(style, 0.5)
    losses = objective_of(vgg, style)(style, photo, vgg(photo, (CONTENT_LAYER,))[CONTENT_LAYER])
    assert losses["even"].item() == pytest.approx(1, rel=0.05)
    flat = objective_of(vgg, photo)(style, photo, vgg(photo, (CONTENT_LAYER,))[CONTENT_LAYER])
    assert flat["even"].isfinite()


def test_strokes_within_a_cell_are_free():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    stripes = (((rows + columns) // 2) % 2).float().expand(1, 3, 64, 64)
    photo = F.interpolate(torch.rand(1, 3, 4, 4), scale_factor=16)
    painted = 0.5 * photo + 0.25 * stripes
    assert tone_loss(painted, photo).item() == pytest.approx(0, abs=1e-3)


def test_the_style_picture_itself_has_no_style_loss(vgg):
    torch.manual_seed(0)
    style = torch.rand(1, 3, 48, 48)
    objective = objective_of(vgg, style)
    losses = objective(style, style, objective.content_target(style))
    style_names = [f"style {name}" for name in STYLE_LAYERS]
    assert list(losses) == ["content", *style_names, "palette", "tone", "even", "tv"]
    for name, loss in losses.items():
        if name not in ("tone", "even", "tv"):
            assert loss.item() == pytest.approx(0, abs=1e-6)


def test_another_picture_has_both_losses(vgg):
    torch.manual_seed(0)
    style, photo = torch.rand(1, 3, 48, 48), torch.rand(2, 3, 32, 32) ** 4
    objective = objective_of(vgg, style)
    losses = objective(photo.flip(-1), photo, objective.content_target(photo))
    assert all(loss.item() > 0.01 for loss in losses.values())


def test_a_black_picture_has_style_loss_one_where_features_vanish(vgg):
    """A relative loss is 1 for an image without any of the style's correlations."""
    objective = objective_of(vgg, torch.rand(1, 3, 48, 48))
    assert objective.style.grams.keys() == {
        (scale, name) for scale in SCALES for name in STYLE_LAYERS
    }
    shares = torch.full((1, CLASSES), 1 / CLASSES)
    for grams in objective.style.grams.values():
        assert guided_loss(0 * grams, shares, grams).item() == pytest.approx(1)
