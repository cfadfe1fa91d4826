import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_picture
from PIL import Image, ImageCms, ImageOps

from stylize.errors import ImageError
from stylize.files import FORMATS
from stylize.photos.decoder import read_photo, read_picture
from stylize.photos.encoder import encode, fit, write_picture
from stylize.photos.metadata import Metadata
from stylize.photos.photo import Photo, Picture, merge_alpha


def again(content):
    return read_picture(Path("again"), io.BytesIO(content), 1e9)


def cutout(alpha=None):
    picture = draw_picture(2)
    picture.putalpha(draw_picture(1).convert("L") if alpha is None else alpha)
    return picture


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


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tif"])
def test_alpha_comes_back_byte_by_byte(suffix):
    picture = cutout()
    content, _ = encode([picture], Picture((Photo(picture),)), suffix)
    assert np.array_equal(again(content).frames[0].alpha, picture.getchannel("A"))


def test_colours_under_full_transparency_stay_where_nothing_is_lossy():
    picture = cutout(Image.new("L", (64, 64), 0))
    for suffix in (".png", ".tif"):
        content, _ = encode([picture], Picture((Photo(picture),)), suffix)
        assert np.array_equal(again(content).frames[0].rgb, picture.convert("RGB"))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_every_output_is_tagged_as_srgb(suffix):
    picture = draw_picture(0)
    content, _ = encode([picture], Picture((Photo(picture),)), suffix)
    profile = Image.open(io.BytesIO(content)).info["icc_profile"]
    named = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    assert "sRGB" in named


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_is_what_the_encoder_is_given(suffix):
    picture = draw_picture(0)
    sizes = [len(encode([picture], Picture((Photo(picture),)), suffix, q)[0]) for q in (20, 95)]
    assert sizes[0] * 2 < sizes[1]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("loop", [None, 0, 3])
def test_an_animation_keeps_its_timing(suffix, loop):
    frames = tuple(Photo(draw_picture(index, 40, 30)) for index in range(3))
    picture = Picture(frames, durations=(100, 250, 40), loop=loop)
    content, warnings = encode([frame.rgb for frame in frames], fit(picture, suffix), suffix)
    found = again(content)
    assert found.durations == picture.durations
    if suffix == ".avif":
        assert bool(warnings) == (loop != 0)  # it has no way to say so
    elif loop is None:
        assert found.loop == (None if suffix == ".gif" else 1)  # once
    else:
        assert found.loop == loop
    for frame, expected in zip(found.frames, frames, strict=True):
        difference = np.asarray(frame.rgb, float) - np.asarray(expected.rgb, float)
        assert np.abs(difference).mean() < 9


def test_a_still_before_an_animated_png_stays_outside_of_it():
    frames = tuple(Photo(draw_picture(index, 40, 30)) for index in range(3))
    picture = Picture(frames, durations=(0, 100, 250), loop=0, still_first=True)
    content, _ = encode([frame.rgb for frame in frames], picture, ".png")
    found = again(content)
    assert found.still_first
    assert found.durations[1:] == (100, 250)
    assert np.array_equal(found.frames[0].rgb, frames[0].rgb)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".avif"])
def test_a_still_before_an_animation_is_not_mixed_into_it(suffix):
    frames = tuple(Photo(draw_picture(index, 40, 30)) for index in range(3))
    with pytest.raises(ImageError, match="a still before its animation"):
        fit(Picture(frames, durations=(0, 100, 250), still_first=True), suffix)


def test_alpha_of_an_animated_webp_outlives_an_opaque_first_frame():
    holes = [Image.new("L", (40, 30), 255) for _ in range(3)]
    for hole in holes[1:]:
        hole.paste(0, (0, 0, 40, 5))
    frames = tuple(Photo(draw_picture(i, 40, 30), hole) for i, hole in enumerate(holes))
    images = [merge_alpha(frame.rgb.copy(), frame.alpha) for frame in frames]
    content, _ = encode(images, Picture(frames, durations=(50, 60, 70)), ".webp")
    for frame, hole in zip(again(content).frames, holes, strict=True):
        assert np.array_equal(frame.alpha, hole)


def test_frames_of_a_transparent_gif_do_not_shine_through_each_other():
    holes = [Image.new("L", (40, 30), 255) for _ in range(2)]
    holes[0].paste(0, (0, 0, 20, 30))
    holes[1].paste(0, (20, 0, 40, 30))
    frames = tuple(Photo(draw_picture(i, 40, 30), hole) for i, hole in enumerate(holes))
    picture = fit(Picture(frames, durations=(100, 100)), ".gif")
    images = [merge_alpha(frame.rgb.copy(), frame.alpha) for frame in frames]
    content, _ = encode(images, picture, ".gif")
    for frame, hole in zip(again(content).frames, holes, strict=True):
        assert np.array_equal(frame.alpha, hole)


def test_pages_stay_pages_of_their_own_sizes():
    frames = tuple(Photo(draw_picture(index, 40 + index, 30)) for index in range(3))
    content, _ = encode([frame.rgb for frame in frames], fit(Picture(frames), ".tif"), ".tif")
    found = again(content)
    assert found.durations is None
    for frame, expected in zip(found.frames, frames, strict=True):
        assert np.array_equal(frame.rgb, expected.rgb)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
@pytest.mark.parametrize("what", ["alpha", "half alpha", "frames", "pages"])
def test_nothing_is_dropped_in_silence(suffix, what):
    """A format either holds it, or the photo is refused."""
    alpha = Image.new("L", (64, 64), 255)
    alpha.putpixel((3, 3), 128 if what == "half alpha" else 0)
    photo = Photo(draw_picture(0), alpha if "alpha" in what else None)
    count = 2 if what in ("frames", "pages") else 1
    picture = Picture((photo,) * count, durations=(10, 10) if what == "frames" else None)
    holds = {
        "alpha": {"PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF"},
        "half alpha": {"PNG", "WEBP", "AVIF", "HEIF", "TIFF"},
        "frames": {"PNG", "WEBP", "AVIF", "GIF"},
        "pages": {"TIFF"},
    }[what]
    if FORMATS[suffix] in holds:
        assert fit(picture, suffix) == picture
    else:
        with pytest.raises(ImageError, match=f"a {suffix} file cannot hold"):
            fit(picture, suffix)


def test_alpha_that_is_opaque_everywhere_may_go():
    photo = Photo(draw_picture(0), Image.new("L", (64, 64), 255))
    assert fit(Picture((photo,)), ".jpg").frames[0].alpha is None


@pytest.mark.parametrize(("suffix", "longest"), [(".jpg", 65_500), (".webp", 16_383)])
def test_a_side_too_long_for_a_format_is_refused_before_any_work(suffix, longest):
    for length in (longest, longest + 1):
        picture = Picture((Photo(Image.new("RGB", (length, 1))),))
        if length == longest:
            content, _ = encode([picture.frames[0].rgb], fit(picture, suffix), suffix)
            assert again(content).frames[0].size == (length, 1)
        else:
            with pytest.raises(ImageError, match="pixels long"):
                fit(picture, suffix)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif", ".gif", ".bmp"])
def test_metadata_without_a_place_is_named(suffix):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    metadata = Metadata(exif.tobytes(), b"<x/>", b"\x1c\x02\x78\x00\x01a")
    picture = Picture((Photo(draw_picture(0)),), metadata)
    content, warnings = encode([picture.frames[0].rgb], picture, suffix)
    kept = again(content).metadata
    for name in ("exif", "xmp", "iptc"):
        assert bool(getattr(kept, name)) != any(name.upper() in warning for warning in warnings)


def test_xmp_that_a_png_would_change_is_named():
    picture = Picture((Photo(draw_picture(0)),), Metadata(xmp="<x/>".encode("utf-16")))
    content, warnings = encode([picture.frames[0].rgb], picture, ".png")
    assert again(content).metadata.xmp == b""
    assert warnings == ["XMP left out: this PNG file has no place for it"]


def test_a_block_too_long_for_a_jpeg_is_named_and_the_photo_is_written():
    picture = Picture((Photo(draw_picture(0)),), replace(Metadata(), xmp=b"x" * 65_001))
    content, warnings = encode([picture.frames[0].rgb], picture, ".jpg")
    assert again(content).frames[0].size == (64, 64)
    assert warnings == ["XMP left out: this JPEG file has no place for it"]
