import json
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylize.config import NetworkConfig, TrainConfig
from stylize.errors import StyleFileError
from stylize.network.style_header import MAX_HEADER_BYTES, StyleHeader, StylePicture, read_header

PICTURE = StylePicture("Wheat Field", "Vincent van Gogh", "1889", "public domain", "ab" * 32, "")
HEADER = StyleHeader("wheat", NetworkConfig(), TrainConfig(), [PICTURE], [(1, {"content": 0.5})])


def write(path, metadata):
    save_file({"x": np.zeros(1)}, path, metadata=metadata)
    return path


def test_header_survives_a_file(tmp_path):
    path = write(tmp_path / "s.safetensors", {"stylize": HEADER.to_json()})
    assert read_header(path) == HEADER


def test_control_characters_of_a_foreign_title_are_written_out(tmp_path):
    values = json.loads(HEADER.to_json())
    values["pictures"][0]["title"] = "\x1b]0;owned\x07Wheat\x1b[31m Field"
    path = write(tmp_path / "s.safetensors", {"stylize": json.dumps(values)})
    assert read_header(path).pictures[0].title == r"\x1b]0;owned\x07Wheat\x1b[31m Field"


def test_missing_file(tmp_path):
    with pytest.raises(StyleFileError, match=r"gone\.safetensors: No such file"):
        read_header(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        pickle.dumps({"weights": [1, 2, 3]}),
        struct.pack("<Q", 1 << 60) + b"{}",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
    ids=["empty", "a byte", "pickle", "huge header", "png"],
)
def test_a_foreign_file_is_named(tmp_path, content):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(StyleFileError, match=r"foreign\.safetensors"):
        read_header(path)


def test_every_truncation_is_an_error(tmp_path, style_file):
    whole = style_file.read_bytes()
    path = tmp_path / "cut.safetensors"
    for length in [*range(0, 200, 7), *range(200, len(whole), len(whole) // 50), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(StyleFileError, match=r"cut\.safetensors"):
            read_header(path)


def test_safetensors_without_our_key(tmp_path):
    path = write(tmp_path / "other.safetensors", {"format": "pt"})
    with pytest.raises(StyleFileError, match=r"other\.safetensors.*'stylize'"):
        read_header(path)


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(StyleFileError):
        read_header(tmp_path)


@pytest.mark.parametrize("entry", ["name", "network", "training", "pictures", "losses", "licence"])
def test_a_missing_entry_is_named(tmp_path, entry):
    values = json.loads(HEADER.to_json())
    del values[entry]
    path = write(tmp_path / "s.safetensors", {"stylize": json.dumps(values)})
    with pytest.raises(StyleFileError, match=rf"s\.safetensors.*{entry}"):
        read_header(path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("name", 3),
        ("network", {"channels": 10**9}),
        ("network", []),
        ("training", {"steps": "many"}),
        ("pictures", [{"title": 1}]),
        ("pictures", [{"colour": "red"}]),
        ("pictures", []),
        ("pictures", [vars(PICTURE) | {"weight": 0}]),
        ("pictures", [vars(PICTURE) | {"weight": True}]),
        ("pictures", [7]),
        ("base_sha256", 7),
        ("preview", 7),
        ("figures", []),
        ("figures", {"\x1b[31m": 1}),
        ("figures", {"objective": "low"}),
        ("figures", {"objective": True}),
        ("figures", {"objective": float("nan")}),
        ("figures", {"objective": 1e999}),
        ("losses", [1]),
        ("losses", 7),
        ("losses", [[float("inf"), {}]]),
        ("training", {"steps": 10**400}),
        ("format_version", 2),
        ("format_version", 4),
        ("format_version", None),
    ],
)
def test_a_wrong_entry_is_an_error(tmp_path, entry, value):
    values = json.loads(HEADER.to_json()) | {entry: value}
    path = write(tmp_path / "s.safetensors", {"stylize": json.dumps(values)})
    with pytest.raises(StyleFileError, match=r"s\.safetensors"):
        read_header(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_a_header_that_is_no_table(tmp_path, text):
    path = write(tmp_path / "s.safetensors", {"stylize": text})
    with pytest.raises(StyleFileError, match=r"s\.safetensors"):
        read_header(path)


def test_a_header_too_large_for_a_style_is_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    text = json.dumps({"__metadata__": {"stylize": " " * MAX_HEADER_BYTES}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    tracemalloc.start()
    with pytest.raises(StyleFileError, match="its header is too large"):
        read_header(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MAX_HEADER_BYTES / 10
