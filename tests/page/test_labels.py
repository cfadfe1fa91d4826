"""Names that clients give -> paths that stay where they belong."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylize.page.labels import MOST_BYTES, clean, numbered, suffix_of
from stylize.page.refusals import RefusalError


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("shoot/day 1/a.JPG", "shoot/day 1/a.JPG"),
        ("../../etc/a.jpg", "etc/a.jpg"),
        ("/etc/a.jpg", "etc/a.jpg"),
        ("..\\..\\windows\\a.jpg", "windows/a.jpg"),
        ("C:\\photos\\a.jpg", "C_/photos/a.jpg"),
        (".stylize/.a.jpg", "stylize/a.jpg"),
        ("a\0b\n.jpg", "a_b_.jpg"),
        ("2024.05/a.jpg", "2024.05_/a.jpg"),
        ("a.jpg/b.jpg", "a.jpg_/b.jpg"),
        ("u\u0308.png", "\u00fc.png"),
        ("\u202egpj.exe.png", "_gpj.exe.png"),
    ],
)
def test_clean(name, path):
    assert clean(name) == Path(path)


@pytest.mark.parametrize(
    "name", ["", "a", "a.html", "a.svg", "a.jpg.exe", "..", "/", "a.eps", ".jpg"]
)
def test_what_is_no_picture_by_its_name(name):
    with pytest.raises(RefusalError) as found:
        clean(name)
    assert found.value.status == 415


@given(st.text(), st.text())
def test_no_name_leads_out_of_its_folder(folder, name):
    path = clean(f"{folder}/{name}x.jpg")
    assert not path.is_absolute()
    assert not any(part.startswith(".") for part in path.parts)
    assert Path(os.path.normpath("/base" / path)).is_relative_to("/base")
    assert all(len(part.encode()) <= MOST_BYTES + 5 for part in path.parts)
    assert clean(str(path)).name == path.name


def test_equal_names_get_numbers():
    labels = map(Path, ["a.jpg", "b.jpg", "A.JPG", "a.jpg", "a~2.jpg", "x/a.jpg"])
    found = [str(path) for path in numbered(labels)]
    assert found == ["a.jpg", "b.jpg", "A~2.JPG", "a~3.jpg", "a~2~2.jpg", "x/a.jpg"]


def test_types():
    assert suffix_of("image/jpeg") == ".jpg"
    assert suffix_of("text/html") == ""
