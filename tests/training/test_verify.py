"""A style file remembers what it painted, and says when it paints something else."""

import base64
import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from stylize.assets import shipped
from stylize.errors import StyleFileError
from stylize.events import Backend, StyleVerified
from stylize.network.architectures import build_network
from stylize.network.style_file import load_network, replace_header, save_style
from stylize.network.style_header import read_header
from stylize.photos.decoder import read_photo
from stylize.style import load_style
from stylize.training.verify import PHOTO, preview, verify


@pytest.fixture
def remembered(style_file):
    network, header = load_network(style_file)
    painted = preview(network.state_dict(), header, torch.device("cpu"))
    replace_header(style_file, replace(header, preview=painted))
    return style_file


def damaged_at_its_end() -> str:
    """A PNG whose last chunk makes Pillow raise what is no error of pictures."""
    content = io.BytesIO()
    read_photo(shipped("models") / PHOTO).rgb.save(content, "PNG")
    body, end = content.getvalue()[:-12], content.getvalue()[-12:]
    chunk = b"iCCP"
    empty = struct.pack(">I", 0) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return base64.b64encode(body + empty + end).decode()


def verdict(path, precision="fp32"):
    backend, found = verify([str(path)], "cpu", precision)
    assert isinstance(backend, Backend)
    assert isinstance(found, StyleVerified)
    return found


def test_the_preview_is_what_the_style_makes_of_the_photo(remembered):
    header = read_header(remembered)
    with Image.open(io.BytesIO(base64.b64decode(header.preview))) as preview:
        painted = load_style(str(remembered), "cpu", "fp32").stylize(
            read_photo(shipped("models") / PHOTO).rgb
        )
        assert np.array_equal(preview, painted)


def test_it_is_that_of_the_weights_as_they_are_stored(style_file):
    """However many digits they have had."""
    header = read_header(style_file)
    torch.manual_seed(5)
    weights = build_network(header.network).state_dict()
    painted = preview(weights, header, torch.device("cpu"))
    save_style(style_file, weights, replace(header, preview=painted))
    assert verdict(style_file).largest == 0


def test_the_same_on_the_same_machine(remembered):
    found = verdict(remembered)
    assert (found.largest, found.same, found.reason) == (0, True, "")


def test_rounding_to_bf16_is_no_change(remembered):
    found = verdict(remembered, "bf16")
    assert found.largest is not None
    assert found.largest > 0
    assert found.same


def test_other_weights_are_a_change(remembered):
    network, header = load_network(remembered)
    weights = network.state_dict()
    key = next(key for key in weights if key.endswith("norm1.bias"))
    save_style(remembered, weights | {key: weights[key] + 0.3}, header)
    found = verdict(remembered)
    assert not found.same
    assert found.reason == "it paints another picture"
    assert found.largest > 1


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("", "no preview"),
        ("no base64", "damaged"),
        (base64.b64encode(b"no picture").decode(), "damaged"),
        (damaged_at_its_end(), "damaged"),
    ],
)
def test_a_style_without_a_preview_is_named(style_file, written, word):
    replace_header(style_file, replace(read_header(style_file), preview=written))
    found = verdict(style_file)
    assert (found.largest, found.mean, found.same) == (None, None, False)
    assert word in found.reason
    assert "train the style again" in found.reason


def test_a_preview_of_another_size_is_not_decoded(style_file):
    content = io.BytesIO()
    Image.new("1", (9000, 9000)).save(content, "PNG")
    written = base64.b64encode(content.getvalue()[:-30]).decode()  # which decoding would find
    replace_header(style_file, replace(read_header(style_file), preview=written))
    assert "another photo" in verdict(style_file).reason


def test_a_damaged_style_stops_nothing(remembered, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(remembered.read_bytes()[:-9])
    first, backend, second = verify([str(broken), str(remembered)], "cpu", "fp32")
    assert isinstance(first, StyleVerified)
    assert "broken.safetensors" in first.reason
    assert isinstance(backend, Backend)
    assert second.same


def test_a_style_that_does_not_exist_is_an_error():
    with pytest.raises(StyleFileError, match="no style named"):
        [*verify(["no-such-style"])]
