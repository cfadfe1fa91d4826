import pytest
import torch
from conftest import draw_picture

from stylize.config import STYLE_LAYERS
from stylize.errors import StyleFileError
from stylize.objective.vgg import load_vgg16
from stylize.objective.vgg_statistics import centre, channel_statistics, distance, pack, unpack
from stylize.photos.photo import to_tensor


@pytest.fixture(scope="module")
def vgg():
    return load_vgg16("shipped", STYLE_LAYERS)


def test_statistics_are_means_and_deviations(vgg):
    image = to_tensor(draw_picture(3, 64, 64))[None]
    features = vgg(image, STYLE_LAYERS)["relu2_2"][0].double()
    mean, deviation = channel_statistics(vgg, image)["relu2_2"]
    assert torch.allclose(mean.double(), features.mean((1, 2)), rtol=1e-4, atol=1e-3)
    assert torch.allclose(
        deviation.double(), features.flatten(1).std(1, correction=0), rtol=1e-4, atol=1e-3
    )


def statistics(value: float):
    return {layer: torch.full((2, 3), value) for layer in STYLE_LAYERS}


def test_distance_is_relative():
    assert distance(statistics(3.0), statistics(2.0)) == pytest.approx(0.5)
    assert distance(statistics(2.0), statistics(2.0)) == 0


def test_the_centre_is_a_mean_by_weights():
    assert centre([statistics(1.0), statistics(3.0)])["relu1_2"][0, 0] == 2
    assert centre([statistics(1.0), statistics(3.0)], [3, 1])["relu1_2"][0, 0] == 1.5


def test_packed_statistics_come_back(vgg):
    known = channel_statistics(vgg, to_tensor(draw_picture(4, 64, 64))[None])
    text = pack(known)
    assert len(text) < 6000
    assert distance(unpack(text), known) < 1e-2


@pytest.mark.parametrize("text", ["", "AAAA", "no base64!", "/3//" * 2000])
def test_damaged_statistics_are_refused(text):
    with pytest.raises(StyleFileError):
        unpack(text)
