"""Every picture and weight in the repository is listed with its source and licence."""

import hashlib
import re
from statistics import fmean

import pytest
from conftest import ROOT

from stylize.assets import find_base
from stylize.files import digest
from stylize.network.style_header import FIGURES, read_header
from stylize.training.schedule import Schedule


def listed(folder: str) -> str:
    return (ROOT / folder / "README.md").read_text()


def files(folder: str, pattern: str = "*") -> list[str]:
    root = ROOT / folder
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob(pattern)
        if path.is_file() and path.name != "README.md"
    )


@pytest.mark.parametrize(
    "name", [name for name in files("samples") if name.startswith(("photos/", "styles/"))]
)
def test_sample_has_source_and_licence(name):
    (row,) = [line for line in listed("samples").splitlines() if f"`{name}`" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    assert re.search(r"Debian|PyPI|`draw_styles.py`", cells[2])
    assert re.search(r"CC0|public domain|CC BY|GPL|Apache-2.0", cells[4])


@pytest.mark.parametrize("folder", ["models", "weights"])
def test_weights_are_listed_with_licence_and_hash(folder):
    text = listed(folder)
    names = files(folder, "*.safetensors")
    assert names
    for name in names:
        assert f"`{name}`" in text
        digest = hashlib.sha256((ROOT / folder / name).read_bytes()).hexdigest()
        assert digest in text
    assert re.search(r"CC BY 4\.0|Apache-2\.0", text)


@pytest.mark.parametrize("name", files("models", "*.safetensors"))
def test_shipped_style_explains_itself(name):
    header = read_header(ROOT / "models" / name)
    assert header.name == name.removesuffix(".safetensors")
    assert header.pictures[0].title
    assert header.pictures[0].author
    assert header.pictures[0].licence in ("public domain", "Apache-2.0")
    assert re.fullmatch(r"[0-9a-f]{64}", header.pictures[0].sha256)
    if header.training.base == header.name:  # trained once more; its earlier self is in the history
        assert re.fullmatch(r"[0-9a-f]{64}", header.base_sha256)
        assert header.training.steps >= 500
        return
    # It has seen as many crops as 2,000 steps of four, by itself or with the base below it.
    crops = header.training.steps * header.training.batch_size
    if header.training.base:
        base = find_base(header.training.base)
        assert digest(base) == header.base_sha256
        below = read_header(base).training
        crops += below.steps * below.batch_size
    assert crops >= 2000 * 4
    assert header.training.size >= 256
    # The base knows these pictures already; its drafts came still nearer.
    totals = [
        sum(header.training.weight(loss) * value for loss, value in row.items())
        for step, row in header.losses
        if step <= Schedule(True, header.training.steps, 0, 0).starts[1]
    ]
    assert fmean(totals[-10:]) < 0.9 * fmean(totals[:3])


@pytest.mark.parametrize("name", files("models", "*.safetensors"))
def test_card_says_what_the_file_says(name):
    header = read_header(ROOT / "models" / name)
    (row,) = [line for line in listed("models").splitlines() if line.startswith(f"| `{name}` ")]
    _, title, author, year, licence, steps, *figures = (
        cell.strip() for cell in row.strip("|").split("|")
    )
    picture = header.pictures[0]
    assert (title, year, licence) == (picture.title, picture.year, picture.licence)
    assert author.startswith(picture.author)
    assert steps.split(" and ")[-1] == f"{header.training.steps:,}"  # of its last training
    assert figures == [f"{header.figures[figure]:.2f}" for figure in FIGURES]


def test_nothing_else_lies_in_models_and_weights():
    assert set(files("models")) == {*files("models", "*.safetensors"), "preview.png"}
    assert re.search(r"`preview.png`.*CC0", listed("models"), flags=re.DOTALL)
    assert files("weights") == files("weights", "*.safetensors")
