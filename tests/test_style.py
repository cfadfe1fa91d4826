import numpy as np
import pytest
import torch
from conftest import draw_picture
from PIL import Image

from stylize import load_style
from stylize.config import Look
from stylize.errors import DeviceError, StyleFileError, UsageError
from stylize.images import Photo, to_mask, to_picture, to_tensor
from stylize.masks import balance, flat_background


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


def on_white(seed: int) -> Image.Image:
    picture = Image.new("RGB", (72, 64), "white")
    picture.paste(draw_picture(seed, 30, 30).point(lambda level: level * 3 // 4), (20, 15))
    return picture


def test_a_plain_background_is_kept(style):
    picture = on_white(0)
    out = np.asarray(style.stylize(picture, Look(keep_background=True)))
    product = np.asarray(flat_background(picture)) > 0
    assert 700 < product.sum() < 1100
    assert (out[~product] == 255).all()
    assert (out[product] != np.asarray(picture)[product]).mean() > 0.9


def test_only_the_product_counts_when_its_background_is_kept(style):
    """Further from the product than the layers reach, colours come in by statistics alone."""
    mask = Image.new("L", (200, 200))
    mask.paste(255, (88, 88, 112, 112))
    near = Image.new("L", (200, 200))
    near.paste(255, (16, 16, 184, 184))
    photo = draw_picture(0, 200, 200)
    one, two = (
        Photo(Image.composite(photo, Image.new("RGB", mask.size, ground), near), mask=mask)
        for ground in ("white", "darkgreen")
    )

    def difference(look: Look) -> int:
        pixels = [np.asarray(style.stylize_photos([each], look)[0], int) for each in (one, two)]
        return np.abs(pixels[0] - pixels[1])[88:112, 88:112].max()

    assert difference(Look(keep_background=True)) <= 1
    assert difference(Look()) > 5


def test_what_cannot_be_seen_keeps_its_bytes(style):
    picture = draw_picture(0).convert("RGBA")
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:50, 20:50] = 255
    alpha[20, 20:50] = 100
    picture.putalpha(Image.fromarray(alpha))
    out = np.asarray(style.stylize(picture, Look(keep_background=True)))
    assert np.array_equal(out[alpha == 0], np.asarray(picture)[alpha == 0])
    assert np.array_equal(out[..., 3], alpha)
    images, masks = to_tensor(picture.convert("RGB")), torch.from_numpy(alpha > 0).float()
    painted = to_picture(style(images[None], masks[None, None])[0])
    assert np.array_equal(out[alpha > 0, :3], np.asarray(painted)[alpha > 0])


def test_photos_with_and_without_a_mask_in_one_batch(style):
    masked = Photo(on_white(0), mask=flat_background(on_white(0)))
    whole = Photo(draw_picture(1, 72, 64))
    look = Look(keep_background=True)
    batch = style.stylize_photos([masked, whole], look)
    alone = [style.stylize_photos([photo], look)[0] for photo in (masked, whole)]
    for one, two in zip(batch, alone, strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(two, int)).max() <= 1
    assert np.array_equal(alone[1], style.stylize(whole.rgb))
    # A mask is a thing of keep_background alone.
    assert np.array_equal(style.stylize_photos([masked])[0], style.stylize(masked.rgb))


def test_a_small_product_on_white_goes_through_balanced(style):
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste(draw_picture(0, 20, 20).point(lambda level: level * 3 // 4), (20, 20))
    weights = to_mask(balance(picture))[None]
    expected = to_picture(style(to_tensor(picture)[None], weights)[0])
    assert np.array_equal(style.stylize(picture), expected)


def test_strength_0_is_the_photo(style):
    picture = draw_picture(0, 50, 33)
    assert np.array_equal(style.stylize(picture, Look(strength=0)), picture)


@pytest.mark.parametrize(
    "masks", [torch.ones(2, 1, 8, 8), torch.ones(1, 1, 8, 9), torch.ones(1, 1, 8, 8).bool()]
)
def test_masks_that_do_not_fit_are_refused(style, masks):
    with pytest.raises(UsageError, match="masks are"):
        style(torch.rand(1, 3, 8, 8), masks)


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
