"""Whatever the command line, files that stylize did not write stay as they were."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from conftest import draw_picture
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stylize.cli.main import app
from stylize.errors import StylizeError

PHOTOS = ("in/a.png", "in/b.jpg", "in/sub/a.png", "more/a.png", "more/sub/c.gif")
OTHERS = ("masks/a.png", "masks/sub/a.png", "anchor.png", "out/a.png", "out/notes.txt")
SETTINGS = "stylize.toml"
# Where another name of a file may lie: most are places of outputs, or of stylize's own files.
PLACES = (
    *("out/a.png", "out/b.jpg", "out/b.png", "out/sub/a.png", "out/c.jpg", "out/a~2.png"),
    *("masks/b.png", "masks/b.jpg", "in/c.png", "more/b.jpg", "anchor.jpg"),
    *("painted/tiny/web/a.png", "painted/tiny/web/sub/a.png", "painted/tiny/web/b.jpg"),
    *("out/.stylize/manifest.jsonl", "out/.stylize/lock", "out/.stylize/failures.csv"),
)
FOLDERS = ("out", "out/sub", "out/.stylize", "out/.stylize/tmp", "painted", "painted/tiny/web")
LINKS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["symbolic", "hard"]),
            st.sampled_from((*PHOTOS, *OTHERS, "tiny.safetensors", "brand.toml", SETTINGS)),
            st.sampled_from(PLACES),
        ),
        st.tuples(
            st.just("symbolic"),
            st.sampled_from(["in", "in/sub", "masks", "more", "."]),
            st.sampled_from(FOLDERS),
        ),
    ),
    max_size=4,
)
INPUTS = st.sampled_from(
    (
        ["in"],
        ["in"],
        ["in", "more"],
        ["in/a.png"],
        ["in/sub", "in"],
        ["more", "out/a.png"],
        ["masks"],
    )
)
MASKS = st.sampled_from((None, "masks", "masks", "in", "out"))


@st.composite
def commands(draw):
    """The words of `stylize apply`: most would write over what they read, if they could."""
    output = draw(st.sampled_from(("out", "out", "masks", "masks", "in", ".", "more", "painted")))
    words = ["apply", "tiny.safetensors", *draw(INPUTS), "-q", "-o", output, "--device", "cpu"]
    if masks := draw(MASKS):
        words += ["--masks", masks]
    if anchor := draw(st.sampled_from((None, "anchor.png", "out/a.png", "masks/a.png", "auto"))):
        words += ["--anchor", anchor]
    words += ["--format", draw(st.sampled_from(("keep", "keep", "png", "jpg")))]
    words += ["--overwrite"] if draw(st.sampled_from((True, True, True, False))) else []
    return words + (["--numbered"] if draw(st.booleans()) else [])


@st.composite
def jobs(draw):
    """A job file."""
    output = draw(st.sampled_from(["painted", "out", ".", "masks", "in"]))
    masks = draw(MASKS)
    numbered = str(draw(st.booleans())).lower()
    return (
        f"inputs = {draw(INPUTS)}\noutput = '{output}'\nstyles = ['tiny.safetensors']\n"
        + (f"masks = '{masks}'\n" if masks else "")
        + f"[[variant]]\nname = 'web'\nnumbered = {numbered}\n"
    )


def make_tree(style_file, links, job):
    """Below the current folder."""
    shutil.copy(style_file, "tiny.safetensors")
    for index, name in enumerate((*PHOTOS, *OTHERS)):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".txt"):
            Path(name).write_text("mine")
        else:
            draw_picture(index, 8, 8).save(name)
    Path("brand.toml").write_text(job or "")
    Path(SETTINGS).write_text("[apply]\nprecision = 'fp32'\n")
    for kind, read, place in links:
        target = Path(place)
        if any(parent.is_symlink() for parent in target.parents):
            continue  # it would lie in another folder
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "symbolic":
            target.symlink_to(Path(read).absolute())
        elif Path(read).exists():
            os.link(read, target)


def contents() -> dict[Path, str]:
    """The hash of every file below the current folder, under each of its names."""
    found = (Path(root, name) for root, _, names in os.walk(".") for name in names)
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in found if p.is_file()}


def may_change(path: Path, words: list[str], identity: tuple[int, int]) -> bool:
    """A file of stylize's own, or one in the way of an output, which --overwrite is for: unless it
    is among what the command reads."""
    output = Path(words[words.index("-o") + 1]) if "-o" in words else Path("painted")
    if ".stylize" in path.parts:
        return True
    places = (path.parent.resolve(), path.resolve())  # of the name, and of the file that it names
    if not any(place.is_relative_to(output.resolve()) for place in places):
        return False
    if "--overwrite" not in words:
        return False
    inputs = [Path(word) for word in words[2 : words.index("-q")]]
    photos = list(photos_of(inputs))
    read = [Path("tiny.safetensors"), Path(SETTINGS), *(photo for photo, _ in photos)]
    read += map(Path, following(words, "--anchor"))
    for folder in following(words, "--masks"):
        for _, place in photos:  # docs/batch.md says which masks there may be
            masks = (place.with_suffix(".png"), Path(f"{place}.png"), place)
            read += [Path(folder, mask) for mask in masks if Path(folder, mask).is_file()][:1]
    return identity not in {identity_of(path) for path in read if path.exists()}


def photos_of(inputs: list[Path]):
    """Each photo, and its path relative to its input."""
    for entry in inputs:
        found = entry.rglob("*") if entry.is_dir() else [entry]
        for photo in found:
            hidden = any(part.startswith(".") for part in photo.parts)
            if photo.suffix in (".png", ".jpg", ".gif") and not hidden:
                yield photo, photo.relative_to(entry if entry.is_dir() else entry.parent)


def following(words: list[str], *options: str) -> list[str]:
    return [words[words.index(option) + 1] for option in options if option in words]


def identity_of(path: Path) -> tuple[int, int]:
    return (path.stat().st_dev, path.stat().st_ino)


@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(LINKS, st.one_of(commands(), commands(), jobs()))
def test_files_of_others_stay_as_they_were(style_file, tmp_path_factory, links, command):
    words = ["job", "run", "brand.toml"] if isinstance(command, str) else command
    with contextlib.chdir(tmp_path_factory.mktemp("shop")):
        make_tree(style_file, links, command if isinstance(command, str) else None)
        before = contents()
        kept = {p for p in before if not may_change(p, words, identity_of(p))}
        try:
            app(words, standalone_mode=False)
            event("done")
        except StylizeError as error:
            event(f"refused: {str(error).split()[-1]}")
        after = contents()
        for path in kept:
            assert after.get(path) == before[path], path
