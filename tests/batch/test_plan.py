import os
import string
import sys
import unicodedata
from pathlib import Path

import pytest
from conftest import make_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from stylize.batch.places import MAX_NAME_BYTES
from stylize.batch.plan import Job, make_plan, style_folders
from stylize.config import ApplyConfig
from stylize.errors import UsageError
from stylize.files import FORMATS, READABLE


def plan(inputs, output, listed=(), style="wave", **settings):
    return make_plan(inputs, output, ApplyConfig(**settings), style, listed)


def places(made):
    return [job.place.as_posix() for job in made.jobs]


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "in")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_tree_is_mirrored_and_nothing_is_made(tree, tmp_path):
    out = tmp_path / "out"
    made = plan([tree], out)
    place = Path("sub/c.webp")
    assert made.jobs[2] == Job(tree / place, place, out / place, place)
    assert made.ignored == 1
    assert not out.exists()


def test_what_cannot_be_written_becomes_a_png(tmp_path):
    names = sorted(f"a{number}{suffix}" for number, suffix in enumerate(sorted(READABLE)))
    made = plan([touch(tmp_path / "in", *names)], tmp_path / "out")
    for job in made.jobs:
        kept = job.source.suffix in FORMATS
        assert job.target.suffix == (job.source.suffix if kept else ".png")


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "tiff"])
def test_one_format_for_all(tree, tmp_path, kind):
    made = plan([tree], tmp_path / "out", format=kind)
    assert {job.target.suffix for job in made.jobs} == {f".{kind}"}
    assert [job.target.stem for job in made.jobs] == ["A", "b", "c", "d"]


def test_names_follow_the_pattern(tree, tmp_path):
    made = plan([tree], tmp_path / "out", name="{stem}-{style}{suffix}")
    assert places(made) == ["A-wave.PNG", "b-wave.jpg", "sub/c-wave.webp", "sub/deep/d-wave.gif"]


def test_a_photo_given_twice_is_done_once(tree, tmp_path):
    made = plan([tree / "b.jpg", tree], tmp_path / "out")
    assert [job.source.name for job in made.jobs].count("b.jpg") == 1


def test_a_link_to_a_photo_is_a_photo_of_its_own(tree, tmp_path):
    (tree / "best.jpg").symlink_to(tree / "b.jpg")
    assert {"b.jpg", "best.jpg"} <= set(places(plan([tree], tmp_path / "out")))


def test_a_link_to_itself_is_planned_and_left_to_the_reader(tree, tmp_path):
    (tree / "self.jpg").symlink_to(tree / "self.jpg")
    assert "self.jpg" in places(plan([tree], tmp_path / "out"))


def test_the_photo_that_keeps_its_format_keeps_its_name(tmp_path):
    folder = touch(tmp_path / "in", "a.gif", "a.jpg", "a.png", "b.png", "x/a.png")
    made = plan([folder], tmp_path / "out", format="jpg")
    assert places(made) == ["a.gif.jpg", "a.jpg", "a.png.jpg", "b.jpg", "x/a.jpg"]


def test_a_name_that_is_taken_is_counted_on(tmp_path):
    folder = touch(tmp_path / "in", "a.ico", "a.png", "a.ico.png", "A.png")
    made = plan([folder], tmp_path / "out")
    assert dict(zip((job.source.name for job in made.jobs), places(made), strict=True)) == {
        "A.png": "A.png",
        "a.ico": "a.ico~2.png",
        "a.ico.png": "a.ico.png",
        "a.png": "a.png.png",
    }


def test_no_photo_takes_the_name_of_a_folder(tmp_path):
    folder = touch(tmp_path / "in", "a.ico", "a.png/b.jpg")
    assert places(plan([folder], tmp_path / "out")) == ["a.ico.png", "a.png/b.jpg"]


def test_composed_and_decomposed_letters_are_one_name(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    made = plan([touch(tmp_path / "in", composed, apart)], tmp_path / "out")
    names = {unicodedata.normalize("NFC", place) for place in places(made)}
    assert names == {"é.jpg", "é.jpg.jpg"}


def test_same_name_from_two_folders_is_refused(tmp_path):
    for folder in ("x", "y"):
        touch(tmp_path / folder, "a.jpg")
    with pytest.raises(
        UsageError, match=r"would have one name: a\.jpg \(.*/x/a\.jpg, .*/y/a\.jpg\)"
    ):
        plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")


def test_all_that_collide_are_named_at_once_with_a_way_out(tmp_path):
    for folder in ("x", "y"):
        touch(tmp_path / folder, "a.jpg", "sub/b.png", f"{folder}.png")
    with pytest.raises(UsageError, match=r"a\.jpg .*; sub/b\.png ") as caught:
        plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    assert "x.png" not in str(caught.value)
    assert "--numbered" in caught.value.hint


def test_of_very_many_that_collide_some_are_named_and_all_are_counted(tmp_path):
    for folder in ("x", "y"):
        touch(tmp_path / folder, *(f"{number:02}.jpg" for number in range(30)))
    with pytest.raises(UsageError, match=r"19\.jpg .*; and 10 more such names") as caught:
        plan([tmp_path / "x", tmp_path / "y"], tmp_path / "out")
    assert "20.jpg" not in str(caught.value)


def test_numbers_on_request_in_the_order_of_the_inputs(tmp_path):
    touch(tmp_path / "x", "a.jpg", "b.gif")
    touch(tmp_path / "y", "a.jpg", "b.gif", "A.jpg", "sub/a.jpg")
    touch(tmp_path / "z", "a.jpg", "a~2.jpg", "b.png", "b.gif")
    inputs = [tmp_path / name for name in "xyz"]
    made = plan(inputs, tmp_path / "out", numbered=True)
    assert {str(job.source.relative_to(tmp_path)): str(job.place) for job in made.jobs} == {
        "x/a.jpg": "a.jpg.jpg",
        "x/b.gif": "b.gif",
        "y/A.jpg": "A.jpg",
        "y/a.jpg": "a~2.jpg",
        "y/b.gif": "b~2.gif",
        "y/sub/a.jpg": "sub/a.jpg",
        "z/a.jpg": "a~3.jpg",
        "z/a~2.jpg": "a~2.jpg.jpg",
        "z/b.gif": "b~3.gif",
        "z/b.png": "b.png",
    }
    webp = plan([inputs[0], inputs[2]], tmp_path / "out", numbered=True, format="webp").jobs
    assert [str(job.place) for job in webp] == [
        *("a.webp", "b.webp", "a~2.webp", "a~2.jpg.webp", "b~2.webp", "b.png.webp"),
    ]


@pytest.mark.parametrize("inside", [".", "out", "sub/out"])
def test_output_inside_an_input_is_refused(tree, inside):
    with pytest.raises(UsageError, match="lies inside the input folder"):
        plan([tree], tree / inside)


def test_output_inside_an_input_through_a_link_is_refused(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    with pytest.raises(UsageError, match="lies inside the input folder"):
        plan([tree], tmp_path / "link" / "out")


def test_outputs_inside_an_input_are_refused(tmp_path):
    touch(tmp_path / "out", "photos/photos/b.png")
    with pytest.raises(UsageError, match="would lie inside the input folder"):
        plan([tmp_path / "out" / "photos"], tmp_path / "out")


def test_the_folder_above_a_link_is_that_of_its_target(tmp_path, monkeypatch):
    touch(tmp_path, "far/away/right.png", "near/right.png")
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(tmp_path / "near")
    (job,) = plan([], tmp_path / "out", [Path("link/../away/right.png")]).jobs
    assert job.source.samefile(tmp_path / "far" / "away" / "right.png")
    assert job.place == Path("right.png")


def test_a_photo_is_never_overwritten(tree):
    with pytest.raises(UsageError, match="would be overwritten"):
        plan([tree / "b.jpg"], tree, overwrite=True)
    assert places(plan([tree / "b.jpg"], tree, format="png")) == ["b.png"]


@pytest.mark.parametrize("name", ["gone", "a" * 300, "a/" * 3000])
def test_missing_input(tmp_path, name):
    with pytest.raises(UsageError, match="no file or folder"):
        plan([tmp_path / name], tmp_path / "out")


def test_empty_folder_and_empty_list(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UsageError, match="no photos in"):
        plan([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(UsageError, match="the list is empty"):
        plan([], tmp_path / "out")


def test_output_that_is_a_file(tree):
    with pytest.raises(UsageError, match="is a file"):
        plan([tree / "A.PNG"], tree / "notes.txt")


@pytest.mark.parametrize("folder", [".stylize", ".Stylize"])
def test_stylizes_own_folder_is_no_place_for_a_photo(tmp_path, monkeypatch, folder):
    touch(tmp_path, f"{folder}/a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="where stylize keeps"):
        plan([], tmp_path / "out", [Path(folder) / "a.jpg"])


def test_a_folder_of_ten_thousand(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(10_000):
        (folder / f"{index}.jpg").touch()
    assert len(plan([folder], tmp_path / "out").jobs) == 10_000


def test_a_list_is_mirrored_as_it_is_written(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    away = touch(tmp_path / "away", "z.jpg")
    monkeypatch.chdir(tree)
    listed = [Path("b.jpg"), tree / "sub" / "c.webp", Path("./sub/deep"), Path("gone.jpg")]
    listed += [away / "z.jpg", Path("b.jpg")]
    made = plan([], tmp_path / "out", listed)
    assert places(made) == ["b.jpg", "sub/c.webp", "sub/deep/d.gif", "gone.jpg", "z.jpg"]
    assert made.jobs[0].source == Path("b.jpg")


def test_odd_names_are_kept(tmp_path):
    names = [
        " a .jpg",
        "-rf.jpg",
        "ü日本.jpg",
        "a\nb.jpg",
        "{stem}.jpg",
        "%s.jpg",
        "a" * 246 + ".JPG",
    ]
    names += [os.fsdecode(b"caf\xe9.jpg")]
    made = plan([touch(tmp_path / "in", *names)], tmp_path / "out")
    assert sorted(places(made)) == sorted(names)


def test_a_name_too_long_is_shortened_and_stays_its_own(tmp_path):
    names = ["é" * 120 + f"{end}.jpg" for end in "xy"]
    made = plan(
        [touch(tmp_path / "in", *names)],
        tmp_path / "out",
        name="{stem}-{style}{suffix}",
        style="wave" * 4,
    )
    found = places(made)
    assert len(set(found)) == 2
    for name in found:
        assert len(os.fsencode(name)) <= MAX_NAME_BYTES
        assert name.startswith("é" * 90)
        assert name.endswith("-" + "wave" * 4 + ".jpg")


@pytest.mark.parametrize(
    "name",
    [
        "{stem}",
        "x{suffix}",
        "{stem}{index}{suffix}",
        "{stem.x}{suffix}",
        "{stem!r}{suffix}",
        "{stem:>9}{suffix}",
        "../{stem}{suffix}",
        "{stem}\\{suffix}",
        "{",
        "{0}{suffix}",
        "",
    ],
)
def test_patterns_that_make_no_name_are_refused(name):
    with pytest.raises(UsageError, match="name is"):
        ApplyConfig(name=name)


# Few letters, so that names collide.
STEMS = st.text("aAbé~2.", min_size=1, max_size=4).filter(lambda stem: stem.strip("."))
NAMES = st.tuples(
    STEMS.filter(lambda s: s[0] != "."), st.sampled_from([".jpg", ".JPG", ".png", ".gif", ".ico"])
)
TREES = st.lists(
    st.tuples(st.sampled_from(["", "sub/", "sub/a.png/"]), NAMES), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=150)
@given(
    TREES,
    st.sampled_from(["keep", "jpg", "png"]),
    st.sampled_from(["{stem}{suffix}", "{stem}~2{suffix}"]),
)
def test_every_photo_gets_a_place_of_its_own(tmp_path_factory, tree, kind, name):
    folder = tmp_path_factory.mktemp("tree")
    for sub, (stem, suffix) in tree:
        path = folder / "in" / sub / (stem + suffix)
        if not path.exists() and not path.parent.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    out = folder / "out"
    made = plan([folder / "in"], out, format=kind, name=name)
    sources = {path for path in (folder / "in").rglob("*") if path.is_file()}
    assert {job.source for job in made.jobs} == sources
    folded = [unicodedata.normalize("NFC", str(job.target)).casefold() for job in made.jobs]
    assert len(set(folded)) == len(folded)
    for job in made.jobs:
        assert job.target.parent == out / job.source.parent.relative_to(folder / "in")
        assert job.target == out / job.place
        assert not any(part in ("", ".", "..") for part in job.place.parts)
    assert plan([folder / "in"], out, format=kind, name=name) == made


@settings(deadline=None, max_examples=100)
@given(st.text(string.printable + "é日😀", min_size=1, max_size=80))
def test_any_name_that_a_folder_can_hold_can_be_planned(tmp_path_factory, stem):
    folder = tmp_path_factory.mktemp("name")
    try:
        (folder / (stem + ".jpg")).touch()
    except (OSError, ValueError):
        return
    if not (folder / (stem + ".jpg")).parent.samefile(folder) or stem.startswith("."):
        return
    (job,) = plan(
        [folder], folder.with_name(folder.name + "-out"), name="{stem}-{style}{suffix}"
    ).jobs
    assert job.target.name == f"{stem}-wave.jpg"


def calls(work) -> int:
    """How many functions of Python run in `work`."""
    count = 0

    def seen(_frame, event, _argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def spellings(count: int) -> list[str]:
    """So many names that are one where case does not count."""
    letters = "abcdefghijkl"
    return [
        "".join(c.upper() if number >> bit & 1 else c for bit, c in enumerate(letters)) + ".jpg"
        for number in range(count)
    ]


@pytest.mark.parametrize("kind", ["spellings", "formats", "numbered", "refused", "listed"])
def test_the_work_grows_as_the_number_of_names_that_collide(tmp_path, monkeypatch, kind):
    def work(count: int) -> int:
        folder = tmp_path / str(count)
        settings, inputs, listed = {}, [folder], []
        if kind == "spellings":
            touch(folder, *spellings(count))
        elif kind == "formats":  # half of the names that are wanted are taken by photos
            touch(folder, *(f"a.png~{number}.jpg" for number in range(2, count // 2)))
            touch(folder, *(name.replace("jpg", "png") for name in spellings(count // 2)))
            settings = {"format": "jpg"}
        elif kind == "listed":
            inputs, listed = [], [touch(folder / str(n), "a.jpg") for n in range(count)]
        else:
            places = [f"{side}/{number}.jpg" for side in "xy" for number in range(count // 2)]
            touch(folder, *places)
            inputs = [folder / "x", folder / "y"]
            settings = {"numbered": kind == "numbered"}

        def run() -> None:
            try:
                plan(inputs, tmp_path / "out", listed, **settings)
            except UsageError:
                assert kind == "refused"

        return calls(run)

    monkeypatch.chdir(tmp_path)
    few, many = work(100), work(400)
    assert many < 5 * few


def test_the_output_of_one_photo_may_be_its_name(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.ico")
    output = tmp_path / "out" / "b.JPG"
    job = Job(tmp_path / "in" / "a.ico", Path("a.ico"), output, Path("b.JPG"))
    for options in ({}, {"format": "jpg"}, {"name": "{stem}-x{suffix}"}):
        assert plan([job.source], output, **options).jobs == (job,)
    monkeypatch.chdir(tmp_path / "in")
    assert plan([], output, listed=[Path("a.ico")]).jobs[0].target == output


def test_what_may_be_a_folder_is_one(tmp_path):
    photo = touch(tmp_path, "in/a.jpg") / "in" / "a.jpg"
    (tmp_path / "b.jpg").mkdir()
    (tmp_path / "b.old").mkdir()
    for name in ("b.jpg", "b.old", "b.v2", "b.2026"):
        assert plan([photo], tmp_path / name).jobs[0].target == tmp_path / name / "a.jpg"
    assert plan([tmp_path / "in"], tmp_path / "c.old").jobs[0].target == tmp_path / "c.old/a.jpg"


@pytest.mark.parametrize(
    ("inputs", "output", "settings", "words"),
    [
        (["a.jpg", "b.jpg"], "c.jpg", {}, "names one picture"),
        (["."], "c.jpg", {}, "names one picture"),
        (["a.jpg"], "c.jpg", {"format": "png"}, "--format png exclude each other"),
        (["a.jpg"], "c.psd", {}, "can be written as .psd"),
        (["a.jpg"], "c.jp2", {}, "can be written as .jp2"),
        (["a.jpg"], "b.jpg", {}, "b.jpg exists"),
        (["a.jpg"], "broken.jpg", {}, "broken.jpg exists"),
        (["a.jpg"], "a.jpg", {"overwrite": True}, "a.jpg is read by this run"),
        (["a.jpg"], "link.jpg", {"overwrite": True}, "link.jpg is read by this run"),
    ],
)
def test_names_of_one_output_that_are_refused(tmp_path, inputs, output, settings, words):
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "broken.jpg").symlink_to("gone.jpg")
    with pytest.raises(UsageError, match=words):
        plan([tmp_path / each for each in inputs], tmp_path / output, **settings)


def test_several_styles_get_folders_of_their_names(tmp_path):
    touch(tmp_path, "wave.safetensors", "scream.safetensors")
    wave, scream = str(tmp_path / "wave.safetensors"), str(tmp_path / "scream.safetensors")
    out = Path("out")
    assert style_folders([wave], out) == [(wave, out)]
    assert style_folders([wave, scream], out) == [(wave, out / "wave"), (scream, out / "scream")]
    with pytest.raises(UsageError, match="two styles are called scream"):
        style_folders([wave, scream, "scream"], out)
    with pytest.raises(UsageError, match="there are 2 styles"):
        style_folders([wave, scream], Path("out.jpg"))
