"""The shipped style on the sample photos, against pictures that were looked at and stored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from stylize import load_style
from stylize.assets import shipped
from stylize.images import read_photo
from stylize.tensors import to_tensor
from stylize.verify import verify

PHOTOS = ROOT / "samples" / "photos"
EXPECTED = ROOT / "samples" / "expected" / "great-wave"
SIZE = 256  # longest side of the stored pictures


@pytest.fixture(scope="module")
def style():
    return load_style("great-wave", device="cpu", precision="fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_shipped_styles_paint_what_they_painted(precision):
    styles = [str(path) for path in sorted(shipped("models").glob("*.safetensors"))]
    _, *found = verify(styles, "cpu", precision)
    assert len(found) == len(styles)
    assert [style.reason for style in found if not style.same] == []


@pytest.mark.parametrize("expected", sorted(EXPECTED.glob("*.png")), ids=lambda path: path.stem)
def test_within_one_grey_level(style, expected):
    (source,) = PHOTOS.rglob(f"{expected.stem}.*")
    found = style.stylize(read_photo(source, SIZE).rgb)
    difference = np.asarray(found, int) - np.asarray(read_photo(expected).rgb, int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("gain", [0.5, 0.75, 1.25, 1.5])
def test_a_gain_and_offsets_of_a_photo_make_no_difference(style, gain):
    """Up to one grey level, where nothing is clipped: a trained network, a real photo."""
    source = next(path for path in sorted(PHOTOS.rglob("*")) if path.is_file())
    photo = 0.2 + 0.3 * to_tensor(read_photo(source, SIZE).rgb)[None]
    offsets = torch.tensor([-0.1, 0.2, 0.05]).view(1, 3, 1, 1)
    changed = gain * photo + offsets
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (style(changed) - style(photo)).abs().max() <= 1 / 255


def test_every_sample_photo_is_covered():
    photos = {path.stem for path in PHOTOS.rglob("*") if path.is_file()}
    assert photos == {path.stem for path in EXPECTED.glob("*.png")}
    assert 6 <= len(photos) <= 10


def test_the_stored_pictures_are_stylized(style):
    """They are neither the photos themselves nor all alike."""
    for expected in EXPECTED.glob("*.png"):
        (source,) = PHOTOS.rglob(f"{expected.stem}.*")
        photo = np.asarray(read_photo(source, SIZE).rgb, int)
        assert np.abs(np.asarray(read_photo(Path(expected)).rgb, int) - photo).mean() > 10
