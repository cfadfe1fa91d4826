import io
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image, ImageCms

from stylize.errors import ImageError
from stylize.photos.decoder import measure, read_mask, read_photo, read_picture, split_photo
from stylize.photos.photo import merge_alpha


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


def read(path, most=1e9, **options):
    with path.open("rb") as file:
        return read_picture(path, file, most, **options)


def test_content_decides_and_not_the_suffix(tmp_path):
    draw_picture(0).save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(read(tmp_path / "a.jpg").frames[0].rgb, draw_picture(0))


def test_garbage_behind_a_jpeg_is_no_matter(tmp_path):
    path = tmp_path / "a.jpg"
    draw_picture(0).save(path, progressive=True)
    before = read_photo(path).rgb
    path.write_bytes(path.read_bytes() + b"garbage" * 100)
    assert np.array_equal(read(path).frames[0].rgb, before)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_every_frame_of_an_animation_is_read(tmp_path, kind):
    frames = [draw_picture(index, 40, 30) for index in range(3)]
    path = tmp_path / "a"
    frames[0].save(
        path, kind, save_all=True, append_images=frames[1:], duration=[100, 250, 40], loop=2
    )
    picture = read(path)
    assert picture.durations == (100, 250, 40)
    assert picture.loop == (None if kind == "AVIF" else 2)
    for frame, expected in zip(picture.frames, frames, strict=True):
        levels = np.asarray(frame.rgb, float) - np.asarray(expected, float)
        assert np.abs(levels).mean() < 9


def test_pages_of_a_tiff_are_read_and_previews_of_them_are_not(tmp_path):
    pages = [draw_picture(index, 40 + index, 30) for index in range(3)]
    path = tmp_path / "a.tif"
    pages[2].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(path, save_all=True, append_images=pages[1:])
    picture = read(path)
    assert picture.durations is None
    assert [frame.size for frame in picture.frames] == [(40, 30), (41, 30)]
    assert np.array_equal(picture.frames[1].rgb, pages[1])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_too_many_pixels_are_refused_over_all_frames(tmp_path, kind):
    frames = [draw_picture(index, 100, 100) for index in range(5)]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    assert len(read(tmp_path / "a", 50_000).frames) == 5
    with pytest.raises(ImageError, match="more than --max-megapixels"):
        read(tmp_path / "a", 49_999)


def test_a_large_jpeg_is_decoded_small(tmp_path):
    """Which costs less than two grey levels against the exact way."""
    picture = draw_picture(0, 1603, 1201)
    picture.save(tmp_path / "a.jpg", quality=95, subsampling=0)
    small = read(tmp_path / "a.jpg", size=50).frames[0]
    assert small.size == (50, 37)
    exact = np.asarray(picture.resize((50, 37), Image.Resampling.LANCZOS), float)
    assert np.abs(np.asarray(small.rgb, float) - exact).mean() < 2


@pytest.mark.parametrize("orientation", [1, 6])
def test_sizes_do_not_depend_on_how_a_file_is_decoded(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for width, height in ((4001, 37), (333, 250), (250, 333), (401, 400)):
        for kind in ("JPEG", "PNG"):
            draw_picture(0, width, height).save(tmp_path / "a", kind, exif=exif)
            short = max(1, round(min(width, height) * 20 / max(width, height)))
            landscape = (width > height) == (orientation == 1)
            expected = (20, short) if landscape else (short, 20)
            assert read(tmp_path / "a", size=20).frames[0].size == expected


def test_a_mask_is_brought_to_the_size_of_its_photo(tmp_path):
    mask = Image.new("L", (8, 4))
    mask.paste(255, (0, 0, 4, 4))
    mask.save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png", (4, 2), 32)
    assert np.array_equal(found, [[255, 255, 0, 0]] * 2)
    with pytest.raises(ImageError, match=r"mask\.png is 8 x 4 px"):
        read_mask(tmp_path / "mask.png", (60, 60), 32)
    with pytest.raises(ImageError, match="more than --max-megapixels"):
        read_mask(tmp_path / "mask.png", (4, 2), 31)


def test_of_a_cutout_what_is_opaque_is_product(tmp_path):
    cutout = Image.new("LA", (4, 1), (0, 0))
    cutout.putpixel((1, 0), (0, 255))
    cutout.save(tmp_path / "cutout.png")
    assert np.array_equal(read_mask(tmp_path / "cutout.png", (4, 1), 99), [[0, 255, 0, 0]])


def test_each_page_has_its_own_profile(tmp_path):
    pages = [Image.new("RGB", (4, 4), (255, 0, 0)) for _ in range(2)]
    pages[1].encoderinfo = {"tiffinfo": {34675: _profile_with_red_and_blue_swapped()}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    plain, tagged = (frame.rgb.getpixel((0, 0)) for frame in read(tmp_path / "a.tif").frames)
    assert plain == (255, 0, 0)
    assert tagged[2] > 250


def test_an_odd_tag_does_not_cost_the_photo(tmp_path):
    # Orientation 6, and a resolution in letters.
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 2, 0x0112, 3, 1, 6, 0)
    exif += struct.pack("<HHI4sI", 0x011A, 2, 4, b"abc\0", 0)
    draw_picture(0, 40, 30).save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg").frames[0].size == (30, 40)


def test_content_that_would_start_another_program_is_no_picture(tmp_path):
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (tmp_path / "a.jpg").write_bytes(postscript)
    with pytest.raises(ImageError, match="not a picture"):
        read(tmp_path / "a.jpg")


# Linear RGB -> XYZ (D65): SMPTE EG 432-1 and IEC 61966-2-1.


def lab(levels, to_xyz):
    """CIE 1976 L*a*b* of levels in [0, 1] with the transfer function of sRGB."""
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = to_xyz @ linear / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("size", [None, 50, 30])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".tif"])
def test_measuring_tells_what_reading_finds(suffix, size, tmp_path):
    frames = [draw_picture(index, 90, 60) for index in range(1 if suffix == ".jpg" else 3)]
    if suffix == ".tif":
        frames[1] = draw_picture(1, 80, 120)
    options = {} if suffix == ".jpg" else {"save_all": True, "append_images": frames[1:]}
    frames[0].save(tmp_path / f"a{suffix}", **options)
    extent = measure(tmp_path / f"a{suffix}", size)
    with (tmp_path / f"a{suffix}").open("rb") as file:
        picture = read_picture(Path(f"a{suffix}"), file, 1e9, size)
    assert extent.frames == len(picture.frames)
    sizes = [frame.size for frame in picture.frames]
    assert extent.size in sizes
    assert extent.size[0] * extent.size[1] == max(width * height for width, height in sizes)
    assert extent.pixels == sum(frame.width * frame.height for frame in frames)
    assert extent.decoding >= 12 * extent.size[0] * extent.size[1]


def test_a_jpeg_that_is_made_smaller_is_not_decoded_whole(tmp_path):
    draw_picture(0, 1600, 1200).save(tmp_path / "a.jpg")
    draw_picture(0, 1600, 1200).save(tmp_path / "a.png")
    assert measure(tmp_path / "a.jpg", 100).decoding <= 12 * 400 * 300
    assert measure(tmp_path / "a.png", 100).decoding == 12 * 1600 * 1200


def test_previews_of_pages_are_not_measured(tmp_path):
    page, preview = draw_picture(0, 90, 60), draw_picture(1, 200, 100)
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(tmp_path / "a.tif", save_all=True, append_images=[preview])
    extent = measure(tmp_path / "a.tif")
    assert (extent.size, extent.frames, extent.pixels) == ((90, 60), 1, 90 * 60)


def test_measuring_what_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("words")
    with pytest.raises(ImageError, match="not a picture"):
        measure(tmp_path / "a.jpg")
