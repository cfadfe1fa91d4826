import pytest
import torch
from conftest import draw_picture

from stylize.photos.color import to_linear
from stylize.photos.lighting import (
    EXPOSURE,
    KELVIN,
    LIGHTINGS,
    Light,
    planckian,
    random_light,
    relight,
    white_gain,
)
from stylize.photos.photo import to_tensor


def photo(width: int = 48, height: int = 40) -> torch.Tensor:
    return to_tensor(draw_picture(3, width, height))[None]


def under(image: torch.Tensor, **light: float) -> torch.Tensor:
    return relight(image, [Light(**light)])


# CIE 15: illuminant A is a black body of 2856 K; the others from Planck's law and CIE 1931.
@pytest.mark.parametrize(
    ("kelvin", "x", "y"),
    [
        (2000, 0.5267, 0.4133),
        (2856, 0.4476, 0.4074),
        (6500, 0.3135, 0.3237),
        (10000, 0.2807, 0.2884),
    ],
)
def test_black_bodies_have_the_known_chromaticity(kelvin, x, y):
    assert planckian(kelvin) == pytest.approx((x, y), abs=1e-3)


def test_a_neutral_light_changes_nothing():
    assert torch.allclose(under(photo()), photo(), atol=1e-6)


def test_a_stop_less_is_half_the_light():
    darker = to_linear(under(photo(), exposure=-1))
    assert torch.allclose(darker, to_linear(photo()) / 2, atol=1e-5)


def test_what_is_brighter_than_white_is_cut_off():
    brighter = under(photo(), exposure=1)
    clipped = to_linear(photo()) >= 0.501
    assert clipped.any()
    assert brighter[clipped].min() > 1 - 1e-6


def test_warm_light_is_red_and_no_brighter():
    red, green, blue = white_gain(3000)
    assert red > green > blue
    assert 0.2126 * red + 0.7152 * green + 0.0722 * blue == pytest.approx(1)
    red, green, blue = white_gain(9000)
    assert red < green < blue


def test_tint_is_green_against_magenta():
    assert white_gain(5000, 0.5)[1] / white_gain(5000, 0.5)[0] == pytest.approx(
        2**0.5 * white_gain(5000)[1] / white_gain(5000)[0]
    )


def test_a_vignette_darkens_corners_by_so_many_stops():
    grey = torch.full((1, 3, 401, 301), 0.5)
    light = to_linear(under(grey, vignette=2)) / to_linear(grey)
    assert light[0, 0, 200, 150] == pytest.approx(1, abs=1e-3)
    for row in (0, 400):
        for column in (0, 300):
            assert light[0, 0, row, column] == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize(
    ("angle", "bright", "dark"),
    [(0, (50, 199), (50, 0)), (90, (0, 100), (99, 100)), (180, (50, 0), (50, 199))],
)
def test_light_from_a_side_falls_off_by_so_many_stops(angle, bright, dark):
    grey = torch.full((1, 3, 100, 200), 0.3)
    light = to_linear(under(grey, side=2, angle=angle))[0, 1]
    assert light[bright] / light[dark] == pytest.approx(4, rel=0.03)
    assert light[50, 100] == pytest.approx(to_linear(grey)[0, 1, 0, 0].item(), rel=0.03)


def test_gamma_and_contrast_are_those_of_stored_values():
    image = torch.tensor([0.25, 0.5, 0.8]).view(1, 3, 1, 1)
    assert torch.allclose(under(image, gamma=2), image**2, atol=1e-5)
    expected = torch.tensor([0.375, 0.5, 0.65]).view(1, 3, 1, 1)
    assert torch.allclose(under(image, contrast=0.5), expected, atol=1e-5)


def test_a_batch_is_its_photos_one_by_one():
    lights = [*LIGHTINGS.values()]
    photos = torch.cat([photo()] * len(lights))
    single = [relight(photo(), [light]) for light in lights]
    assert torch.allclose(relight(photos, lights), torch.cat(single), atol=1e-6)


def test_twelve_lightings_that_all_differ():
    results = relight(torch.cat([photo()] * 12), [*LIGHTINGS.values()])
    assert results.min() >= 0
    assert results.max() <= 1
    for index, result in enumerate(results):
        others = torch.cat([results[:index], results[index + 1 :], photo()])
        assert (others - result).abs().mean(dim=(1, 2, 3)).min() > 0.01


def test_a_random_light_is_a_function_of_the_seed():
    assert random_light(5) == random_light(5)
    assert len({random_light(seed) for seed in range(50)}) == 50


def test_random_lights_keep_to_their_ranges_and_leave_half_of_the_photos_alone():
    lights = [random_light(seed) for seed in range(2000)]
    assert all(abs(light.exposure) <= EXPOSURE for light in lights)
    assert all(KELVIN[0] - 1 <= light.kelvin <= KELVIN[1] + 1 for light in lights)
    assert max(light.kelvin for light in lights) > 8500
    assert min(light.kelvin for light in lights) < 3000
    alone = sum(light.exposure == 0 for light in lights)
    assert 900 < alone < 1100


def test_without_strength_there_is_no_change():
    for seed in range(20):
        assert torch.allclose(relight(photo(), [random_light(seed, 0)]), photo(), atol=1e-6)


def test_half_the_strength_is_half_the_change_in_stops():
    for seed in range(20):
        assert random_light(seed, 0.5).exposure == pytest.approx(random_light(seed).exposure / 2)
