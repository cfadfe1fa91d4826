"""The shipped styles on sample photos, against pictures that were looked at and stored."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from stylize import load_style
from stylize.assets import SUFFIX, shipped
from stylize.photos.decoder import read_photo
from stylize.photos.photo import to_picture, to_tensor
from stylize.training.verify import verify

PHOTOS = ROOT / "samples" / "photos"
EXPECTED = ROOT / "samples" / "expected"
STYLES = sorted(path.name.removesuffix(SUFFIX) for path in shipped("models").glob("*" + SUFFIX))
SIZE = 256  # longest side of the stored pictures


def load(name):
    return load_style(name, device="cpu", precision="fp32")


def source(expected):
    (path,) = PHOTOS.rglob(f"{expected.stem}.*")
    return path


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shipped_styles_paint_what_they_painted(precision):
    styles = [str(path) for path in sorted(shipped("models").glob("*.safetensors"))]
    _, *found = verify(styles, "cpu", precision)
    assert len(found) == len(styles)
    assert [style.reason for style in found if not style.same] == []


@pytest.mark.parametrize("name", STYLES)
def test_within_one_grey_level(name):
    style = load(name)
    stored = sorted((EXPECTED / name).iterdir())
    assert len(stored) == 3
    for expected in stored:
        photo = read_photo(source(expected), SIZE).rgb
        found = np.asarray(style.stylize(photo), int)
        picture = np.asarray(read_photo(expected).rgb, int)
        assert np.abs(found - picture).max() <= 1
        # What is stored is stylized, not the photo itself.
        assert np.abs(picture - np.asarray(photo, int)).mean() > 10


@pytest.mark.parametrize("gain", [0.5, 0.75, 1.25, 1.5])
def test_a_gain_and_offsets_of_a_photo_make_no_difference(gain):
    """Up to one grey level of a picture, and a twentieth on average, where nothing is clipped: a
    trained network, a real photo. What is left comes from the epsilon of norms."""
    style = load("woodblock")
    photo = 0.2 + 0.3 * to_tensor(read_photo(PHOTOS / "garden" / "anemone.jpg", SIZE).rgb)[None]
    offsets = torch.tensor([-0.1, 0.2, 0.05]).view(1, 3, 1, 1)
    changed = gain * photo + offsets
    assert changed.min() >= 0
    assert changed.max() <= 1
    found, wanted = style(changed)[0], style(photo)[0]
    assert (found - wanted).abs().mean() <= 0.05 / 255
    levels = (np.asarray(to_picture(image), int) for image in (found, wanted))
    assert np.abs(next(levels) - next(levels)).max() <= 1


def test_every_style_is_covered_by_the_same_photos():
    assert sorted(path.name for path in EXPECTED.iterdir()) == STYLES
    (photos,) = {frozenset(path.name for path in (EXPECTED / name).iterdir()) for name in STYLES}
    assert {source(EXPECTED / photo).parent.name for photo in photos} == {"kitchen", "travel"}


def test_styles_differ():
    """No two of them paint the same photo alike, on average by less than 10 of 255 levels."""
    pictures = [read_photo(EXPECTED / name / "coffee.png").rgb for name in STYLES]
    for one, other in combinations(pictures, 2):
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).mean() > 10


@pytest.mark.parametrize("name", STYLES)
def test_no_band_along_a_border(name):
    """On white, the mean colour changes no more at a border than between strips further in."""
    square = Image.new("RGB", (768, 768), "white")
    square.paste(read_photo(PHOTOS / "kitchen" / "cherries.jpg", SIZE).rgb, (256, 256))
    picture = np.asarray(load(name).stylize(square), float)
    steps = []
    for side in range(4):
        turned = np.rot90(picture, side)[:, 32:-32]
        strips = [turned[top : top + 32].mean((0, 1)) for top in range(0, 224, 32)]
        steps.append([np.abs(one - two).max() for one, two in pairwise(strips)])
    assert max(step[0] for step in steps) <= max(max(step[1:]) for step in steps)
