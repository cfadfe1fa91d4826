"""The judge of pictures, on what is known on paper."""

import math
import sys

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import pictures

GENERATOR = torch.Generator().manual_seed(0)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR)


def test_the_sliced_distance_of_a_set_from_itself_is_zero():
    vectors = noise(500, 8)
    assert pictures.sliced_distance(vectors, vectors) < 1e-6


def test_the_sliced_distance_of_a_shift_is_its_mean_length_along_directions():
    """Along one axis there is one direction: the distance is the shift over the deviation."""
    vectors = noise(2000, 1)
    shifted = pictures.sliced_distance(vectors + 0.5, vectors)
    assert shifted == pytest.approx(0.5 / float(vectors.std()), rel=0.02)


def test_a_regular_texture_weaves_and_noise_does_not():
    x = torch.arange(256.0)
    stripes = torch.sin(2 * math.pi * x / 8).expand(256, 256)
    assert pictures.weave(stripes) > 0.9
    assert pictures.weave(noise(256, 256)) < 0.1
    assert pictures.weave(torch.full((256, 256), 0.5)) == 0


def test_coverage_is_zero_against_itself_and_grows_with_what_is_missing():
    features = torch.randn(400, 16, generator=GENERATOR)
    whole = pictures.nearest_distance(features, features)
    half = pictures.nearest_distance(features, features[:200])
    tenth = pictures.nearest_distance(features, features[:40])
    assert whole < 1e-5 < half < tenth


def test_a_photo_keeps_its_own_content():
    features = torch.randn(300, 16, generator=GENERATOR)
    other = torch.randn(300, 16, generator=GENERATOR)
    assert pictures.structure_divergence(features, features) == pytest.approx(0, abs=1e-5)
    assert pictures.structure_divergence(features, other) > 0.1
    rows = pictures.self_similarity(features)
    assert torch.allclose(rows.sum(dim=1), torch.ones(300), atol=1e-5)
    assert torch.allclose(pictures.self_similarity(3 * features), rows, atol=1e-5)


def test_bands_are_shares_and_do_not_depend_on_contrast():
    image = noise(128, 128)
    assert float(pictures.bands(image).exp2().sum()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(pictures.bands(image), pictures.bands(0.5 * image), atol=1e-3)


def test_a_photo_takes_the_colours_of_a_picture():
    photo = 0.4 + 0.2 * noise(1, 3, 64, 64)
    picture = 0.3 + 0.2 * noise(1, 3, 48, 80)
    found = pictures.to_oklab(pictures.in_colours(photo, picture))[0].flatten(1)
    wanted = pictures.to_oklab(picture)[0].flatten(1)
    assert torch.allclose(found.mean(1), wanted.mean(1), atol=2e-3)
    assert torch.allclose(torch.cov(found), torch.cov(wanted), atol=2e-4)


def test_even_white_is_even():
    ground = torch.ones(128, 128, dtype=torch.bool)
    assert pictures.unevenness(torch.ones(1, 3, 128, 128), ground) < 1e-3
    spotted = torch.ones(1, 3, 128, 128)
    spotted[:, :, :32] = 0.8
    assert pictures.unevenness(spotted, ground) > 5


def test_controls_must_be_worse():
    good = {"style": 0.5, "content": 0.4}
    rows = {
        "a": good,
        pictures.PHOTO: {"style": 1.0, "content": 0.0},
        pictures.RECOLOURED: {"style": 0.8, "content": 0.1},
        pictures.PICTURE: {"style": 0.1, "content": 0.9},
    }
    assert pictures.controls_hold(rows)
    rows[pictures.RECOLOURED] = {"style": 0.4, "content": 0.1}
    assert not pictures.controls_hold(rows)
