import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from stylize.errors import ImageError
from stylize.photos.color import (
    ciede2000,
    from_linear,
    srgb_profile,
    to_lab,
    to_linear,
    to_oklab,
)
from stylize.photos.decoder import read_photo, read_picture, split_photo


@pytest.mark.parametrize(
    ("srgb", "expected"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_known_colours_in_oklab(srgb, expected):
    """The corners of sRGB, as CSS Color 4 and its tests list them."""
    found = to_oklab(torch.tensor(srgb, dtype=torch.float32).view(1, 3, 1, 1))
    assert torch.allclose(found.flatten(), torch.tensor(expected).float(), atol=2e-4)


# Sharma, Wu & Dalal 2005, table 1: two colours in L*a*b*, and their difference.
DIFFERENCES = [
    (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
    (50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615),
    (50, 2.8361, -74.0200, 50, 0, -82.7485, 3.4412),
    (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000),
    (50, -1.1848, -84.8006, 50, 0, -82.7485, 1.0000),
    (50, -0.9009, -85.5211, 50, 0, -82.7485, 1.0000),
    (50, 0, 0, 50, -1, 2, 2.3669),
    (50, -1, 2, 50, 0, 0, 2.3669),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0009, 7.1792),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0010, 7.1792),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0011, 7.2195),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0012, 7.2195),
    (50, -0.0010, 2.4900, 50, 0.0009, -2.4900, 4.8045),
    (50, -0.0010, 2.4900, 50, 0.0010, -2.4900, 4.8045),
    (50, -0.0010, 2.4900, 50, 0.0011, -2.4900, 4.7461),
    (50, 2.5, 0, 50, 0, -2.5, 4.3065),
    (50, 2.5, 0, 73, 25, -18, 27.1492),
    (50, 2.5, 0, 61, -5, 29, 22.8977),
    (50, 2.5, 0, 56, -27, -3, 31.9030),
    (50, 2.5, 0, 58, 24, 15, 19.4535),
    (50, 2.5, 0, 50, 3.1736, 0.5854, 1.0000),
    (50, 2.5, 0, 50, 3.2972, 0, 1.0000),
    (50, 2.5, 0, 50, 1.8634, 0.5757, 1.0000),
    (50, 2.5, 0, 50, 3.2592, 0.3350, 1.0000),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
    (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


@pytest.mark.parametrize("pair", DIFFERENCES)
def test_differences_of_published_pairs(pair):
    assert difference(pair[:3], pair[3:6]) == pytest.approx(pair[6], abs=5.1e-5)


def test_colours_and_differences_as_scikit_image_has_them():
    srgb = np.random.default_rng(0).random((2, 40, 30, 3))
    labs = [to_lab(torch.from_numpy(each).movedim(-1, 0)[None]) for each in srgb]
    for own, theirs in zip(labs, rgb2lab(srgb), strict=True):
        # Its constants have five digits.
        assert np.abs(own[0].movedim(0, -1).numpy() - theirs).max() < 0.01
    expected = deltaE_ciede2000(*(each[0].movedim(0, -1).numpy() for each in labs))
    assert np.allclose(ciede2000(*labs)[0].numpy(), expected, atol=1e-9)


@pytest.mark.parametrize(("stored", "light"), [(0, 0), (1, 1), (0.5, 0.21404), (0.04, 0.003096)])
def test_transfer_function_at_known_values(stored, light):
    assert to_linear(torch.tensor(float(stored))) == pytest.approx(light, abs=1e-5)
    assert from_linear(torch.tensor(float(light))) == pytest.approx(stored, abs=1e-4)


def test_the_profile_does_not_tell_when_it_was_made():
    """Or the same picture would be another file every day (ICC.1 7.2.8: year, month, day ...)."""
    date = [int.from_bytes(srgb_profile()[at : at + 2], "big") for at in range(24, 36, 2)]
    assert date == [2000, 1, 1, 0, 0, 0]


def test_sixteen_bit_grey_is_scaled(tmp_path):
    levels = np.array([[0, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    photo = read_photo(tmp_path / "grey.png").rgb
    assert [photo.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("dtype", "levels", "expected", "said"),
    [
        (np.float32, [0, 0.5, 1], [0, 128, 255], "0 to 1"),
        (np.float32, [0, 128, 255], [0, 128, 255], "0 to 255"),
        (np.float32, [0, 257 * 128, 65535], [0, 128, 255], "0 to 65535"),
        (np.float32, [-1, 0, 1], [0, 128, 255], "-1 to 1"),
        (np.float32, [np.nan, np.inf, 1], [0, 0, 255], "0 to 1"),
        (np.int32, [0, 1, 255], [0, 1, 255], "0 to 255"),
        (np.int32, [0, 257 * 128, 257 * 255], [0, 128, 255], "0 to 65535"),
        (np.int32, [-100, 0, 100_000], [0, 0, 255], "-100 to 100000"),
        (np.int32, [7, 7, 7], [7, 7, 7], "0 to 255"),
        (np.int32, [-7, -7, -7], [0, 0, 0], "-7 to -7"),
    ],
)
def test_pixels_of_32_bits_are_scaled_and_it_is_said(dtype, levels, expected, said):
    warnings = []
    picture = Image.fromarray(np.array([levels], dtype))
    photo = split_photo(picture, warnings.append).rgb
    assert [photo.getpixel((x, 0))[0] for x in range(3)] == expected
    assert warnings == [f"pixels of 32 bits taken as {said}"]


def test_a_pgm_of_16_bits_is_scaled_by_its_own_maximum(tmp_path):
    levels = np.array([0, 512, 1023], ">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 1023\n" + levels)
    photo = read_photo(tmp_path / "a.pgm").rgb
    assert [photo.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


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


def read(path, most=1e9, **options):
    with path.open("rb") as file:
        return read_picture(path, file, most, **options)


def test_a_transparent_level_of_16_bits(tmp_path):
    levels = np.array([[0x0012, 0x1234, 0x1235, 0x3412]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=0x1234)
    assert np.array_equal(read(tmp_path / "a.png").frames[0].alpha, [[255, 0, 255, 255]])


def test_a_transparent_colour_of_16_bits_is_refused(tmp_path):
    """Pillow reads the upper 8 bits of each, and would take others for transparent as well."""

    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"tRNS", struct.pack(">HHH", 0x1234, 0x1234, 0x1234))
    content += chunk(b"IDAT", zlib.compress(b"\0" + b"\x34\0" * 3)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="one of 16 bits"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(("photometric", "expected"), [(1, [0, 128, 255]), (0, [255, 127, 0])])
def test_white_may_be_the_least_of_16_bits(tmp_path, photometric, expected):
    levels = np.array([[0, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
    content[place] = photometric
    (tmp_path / "a.tif").write_bytes(content)
    photo = read(tmp_path / "a.tif").frames[0].rgb
    assert [photo.getpixel((x, 0))[0] for x in range(3)] == expected


def test_a_dark_pgm_stays_dark(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + np.array([0, 255], ">u2").tobytes())
    assert read(tmp_path / "a.pgm").frames[0].rgb.getpixel((1, 0)) == (1, 1, 1)


def test_pixels_of_display_p3_land_on_their_true_colours(tmp_path):
    """Within 1 of CIEDE2000, by the matrices of the two standards instead of by LittleCMS."""
    # Inside of the gamut of sRGB.
    p3 = np.array([[200, 80, 70], [90, 170, 90], [60, 80, 180], [128, 128, 128], [220, 210, 100]])
    Image.fromarray(p3[None].astype(np.uint8)).save(
        tmp_path / "a.png", icc_profile=display_p3_profile()
    )
    found = np.asarray(read_photo(tmp_path / "a.png").rgb)[0] / 255
    for levels, srgb in zip(p3 / 255, found, strict=True):
        assert difference(lab(levels, P3_TO_XYZ), lab(srgb, SRGB_TO_XYZ)) < 1


P3_TO_XYZ = np.array(
    [[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]]
)


SRGB_TO_XYZ = np.array(
    [[0.41239, 0.35758, 0.18048], [0.21264, 0.71517, 0.07219], [0.01933, 0.11919, 0.95053]]
)


def difference(one, other):
    """CIEDE2000 of two colours in L*a*b*."""
    pair = (torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1) for each in (one, other))
    return ciede2000(*pair).item()


def lab(levels, to_xyz):
    """CIE 1976 L*a*b* of levels in [0, 1] with the transfer function of sRGB."""
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = to_xyz @ linear / to_xyz.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def display_p3_profile():
    """sRGB's profile with the primaries of Display P3, adapted to D50 (Bradford)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # As in Apple's own profile, s15Fixed16: rXYZ, gXYZ, bXYZ.
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        tag = bytes(profile[entry : entry + 4])
        if tag in primaries:
            start = int.from_bytes(profile[entry + 4 : entry + 8], "big") + 8
            for index, value in enumerate(primaries[tag]):
                fixed = round(value * 65536).to_bytes(4, "big", signed=True)
                profile[start + 4 * index : start + 4 * index + 4] = fixed
    return bytes(profile)
