import numpy as np
import pytest
import torch
from conftest import draw_picture

from stylize import load_style
from stylize.errors import DeviceError, StyleFileError, UsageError
from stylize.images import to_tensor


@pytest.fixture
def style(style_file):
    return load_style(str(style_file), device="cpu", precision="fp32")


def test_tensors_keep_shape_and_range(style):
    images = torch.rand(2, 3, 30, 41)
    out = style(images)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.rand(1, 3, 0, 8)]
)
def test_other_shapes_are_refused(style, images):
    with pytest.raises(UsageError, match="images are"):
        style(images)


def test_whole_numbers_are_refused(style):
    with pytest.raises(UsageError, match="floating point"):
        style(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_a_picture_goes_the_way_of_its_tensor(style):
    picture = draw_picture(0, 50, 33)
    out = style.stylize(picture)
    assert out.mode == "RGB"
    assert out.size == (50, 33)
    expected = style(to_tensor(picture)[None])[0].mul(255).round().byte().permute(1, 2, 0)
    assert np.array_equal(out, expected.numpy())


def test_alpha_of_a_picture_is_kept(style):
    picture = draw_picture(0).convert("RGBA")
    picture.putalpha(draw_picture(1).convert("L"))
    out = style.stylize(picture)
    assert out.mode == "RGBA"
    assert np.array_equal(out.getchannel("A"), picture.getchannel("A"))


def test_bf16_is_close_to_fp32(style, style_file):
    rough = load_style(str(style_file), device="cpu", precision="bf16")
    images = torch.rand(1, 3, 64, 64)
    assert (rough(images) - style(images)).abs().max() < 0.05


def test_unknown_style_and_device(style_file):
    with pytest.raises(StyleFileError):
        load_style("no-such-style")
    with pytest.raises(DeviceError):
        load_style(str(style_file), device="gpu")


def test_importing_the_package_leaves_torch_out():
    import subprocess
    import sys

    code = "import stylize, sys; assert 'torch' not in sys.modules; stylize.load_style"
    subprocess.run([sys.executable, "-c", code], check=True)
