import numpy as np
import pytest
import torch
from conftest import DEVICE
from PIL import Image

from stylize.photos.photo import to_mask, to_picture, to_tensor


def test_pixels_survive_the_tensor():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([levels, levels[::-1], levels.T], axis=-1))
    tensor = to_tensor(picture, DEVICE)
    assert tensor.shape == (3, 16, 16)
    assert torch.allclose(tensor.cpu(), to_tensor(picture), rtol=1e-6, atol=0)
    assert tensor[0, 0, 5].item() == pytest.approx(5 / 255)
    assert np.array_equal(to_picture(tensor), picture)


def test_a_tensor_is_rounded_and_clipped():
    tensor = torch.tensor([-1.0, 0.5019, 2.0]).view(3, 1, 1)
    assert to_picture(tensor).getpixel((0, 0)) == (0, 128, 255)


def test_a_mask_is_one_plane():
    mask = to_mask(Image.new("L", (3, 2), 51), DEVICE)
    assert mask.shape == (1, 2, 3)
    assert torch.allclose(mask.cpu(), torch.tensor(0.2))
