import io

import numpy as np
import pytest
import torch
from conftest import draw_picture
from PIL import Image, ImageCms, ImageOps

from stylize.errors import ImageError
from stylize.images import (
    merge_alpha,
    read_photo,
    split_photo,
    to_picture,
    to_tensor,
    write_picture,
)


def test_pixels_survive_the_tensor():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([levels, levels[::-1], levels.T], axis=-1))
    tensor = to_tensor(picture)
    assert tensor.shape == (3, 16, 16)
    assert tensor[0, 0, 5].item() == pytest.approx(5 / 255)
    assert np.array_equal(to_picture(tensor), picture)


def test_a_tensor_is_rounded_and_clipped():
    tensor = torch.tensor([-1.0, 0.5019, 2.0]).view(3, 1, 1)
    assert to_picture(tensor).getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path, orientation):
    picture = draw_picture(0, 24, 16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    picture.save(path, exif=exif)
    # The eight cases of EXIF 2.3, section 4.6.4, as numpy operations on (H, W, 3).
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90,
    }[orientation]
    assert np.array_equal(np.asarray(read_photo(path).rgb), upright(np.asarray(picture)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_opaque_mode_becomes_rgb(mode):
    # Pillow converts to LAB through a profile only.
    lab = Image.new("LAB", (8, 8), (128, 128, 128))
    photo = split_photo(lab if mode == "LAB" else draw_picture(1).convert(mode))
    assert photo.rgb.mode == "RGB"
    assert photo.alpha is None


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA"])
def test_alpha_is_set_aside_and_put_back(mode):
    picture = draw_picture(2).convert("RGBA")
    picture.putalpha(draw_picture(3).convert("L"))
    picture = picture.convert(mode)
    photo = split_photo(picture)
    assert photo.rgb.mode == "RGB"
    expected = picture.convert("RGBA").getchannel("A")
    assert np.array_equal(merge_alpha(photo.rgb, photo.alpha).getchannel("A"), expected)


def test_transparent_palette_index_becomes_alpha(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "p.gif", transparency=1)
    assert list(read_photo(tmp_path / "p.gif").alpha.tobytes()) == [255, 0]


def test_sixteen_bit_grey_is_scaled(tmp_path):
    levels = np.array([[0, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    photo = read_photo(tmp_path / "grey.png").rgb
    assert [photo.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_float_pixels_are_refused():
    with pytest.raises(ImageError, match="32 bits"):
        split_photo(Image.new("F", (4, 4)))


def test_icc_profile_is_converted(tmp_path):
    """In a profile with red and blue swapped, stored red is shown as blue."""
    swapped = _profile_with_red_and_blue_swapped()
    path = tmp_path / "swapped.png"
    Image.new("RGB", (4, 4), (255, 0, 0)).save(path, icc_profile=swapped)
    red, green, blue = read_photo(path).rgb.getpixel((0, 0))
    assert blue > 250
    assert red < 5
    assert green < 5


def test_a_broken_profile_is_ignored(tmp_path):
    path = tmp_path / "broken.png"
    Image.new("RGB", (4, 4), (10, 200, 30)).save(path, icc_profile=b"not a profile")
    assert read_photo(path).rgb.getpixel((0, 0)) == (10, 200, 30)


def test_icc_profile_of_a_palette_is_converted(tmp_path):
    picture = Image.new("RGB", (4, 4), (255, 0, 0)).convert("P")
    picture.save(tmp_path / "p.png", icc_profile=_profile_with_red_and_blue_swapped())
    assert read_photo(tmp_path / "p.png").rgb.getpixel((0, 0))[2] > 250


def _profile_with_red_and_blue_swapped() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        if profile[entry : entry + 4] in (b"rXYZ", b"bXYZ"):
            new = b"bXYZ" if profile[entry : entry + 4] == b"rXYZ" else b"rXYZ"
            profile[entry : entry + 4] = new
    return bytes(profile)


def test_large_photos_are_downscaled_small_ones_are_not(tmp_path):
    draw_picture(0, 64, 40).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png", 32).size == (32, 20)
    assert read_photo(tmp_path / "a.png", 100).size == (64, 40)
    assert read_photo(tmp_path / "a.png", 1).size == (1, 1)


def test_alpha_is_downscaled_too(tmp_path):
    draw_picture(0).convert("RGBA").save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png", 16)
    assert photo.alpha.size == (16, 16)


def test_hidden_colours_do_not_bleed_into_a_downscaled_cutout(tmp_path):
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (13, 13, 51, 51))
    picture.save(tmp_path / "cutout.png")
    photo = read_photo(tmp_path / "cutout.png", 16)
    rgb, alpha = np.asarray(photo.rgb), np.asarray(photo.alpha)
    assert ((alpha > 10) & (alpha < 245)).any()
    assert rgb[alpha > 10].min() >= 250


def _damaged(kind: str) -> bytes:
    buffer = io.BytesIO()
    draw_picture(0).save(buffer, "JPEG" if kind == "truncated" else "PNG")
    whole = buffer.getvalue()
    return {
        "empty": b"",
        "text": b"this is no picture at all",
        "truncated": whole[: len(whole) // 2],
        "header only": whole[:40],
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "header only"])
def test_a_damaged_file_is_named(tmp_path, kind):
    path = tmp_path / "bad.jpg"
    path.write_bytes(_damaged(kind))
    with pytest.raises(ImageError, match=r"bad\.jpg: (empty file|not a picture|damaged picture)"):
        read_photo(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "ICO"])
def test_no_truncation_escapes_as_another_error(tmp_path, kind):
    buffer = io.BytesIO()
    draw_picture(0, 40, 40).save(buffer, kind)
    whole = buffer.getvalue()
    path = tmp_path / "cut"
    lengths = {*range(0, min(300, len(whole)), 3), *range(0, len(whole), 1 + len(whole) // 50)}
    failed = 0
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        try:
            assert read_photo(path).rgb.mode == "RGB"  # a few formats do not notice the last bytes
        except ImageError:
            failed += 1
    assert failed > len(lengths) / 2


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_photo(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="Is a directory"):
        read_photo(tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("1", (2000, 2000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="too many pixels"):
        read_photo(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_lossless_formats_survive(tmp_path, suffix):
    picture = draw_picture(4)
    write_picture(picture, tmp_path / f"a{suffix}")
    assert np.array_equal(read_photo(tmp_path / f"a{suffix}").rgb, picture)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_close(tmp_path, suffix):
    picture = draw_picture(4)
    write_picture(picture, tmp_path / f"a{suffix}")
    # In luminance: WebP always halves the resolution of colour.
    again = np.asarray(read_photo(tmp_path / f"a{suffix}").rgb.convert("L"), float)
    assert np.abs(again - np.asarray(picture.convert("L"), float)).mean() < 2


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write_picture(draw_picture(0), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_alpha_survives_a_file(tmp_path):
    picture = ImageOps.flip(draw_picture(0)).convert("RGBA")
    picture.putalpha(draw_picture(1).convert("L"))
    for suffix in (".png", ".tif", ".webp"):
        write_picture(picture, tmp_path / f"a{suffix}")
        alpha = read_photo(tmp_path / f"a{suffix}").alpha
        assert np.array_equal(alpha, picture.getchannel("A")), suffix


def test_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot be written"):
        write_picture(draw_picture(0), tmp_path / "file" / "a.png")
