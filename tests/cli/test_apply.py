"""`stylize apply` as a person runs it, and what it prints."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATH, STYLIZE, fails, printed, stylize
from conftest import draw_picture
from rich.console import Console

from stylize.cli.progress import print_failures, print_plan, print_progress
from stylize.events import (
    ApplyDone,
    ApplyStarted,
    Backend,
    PhotoBegun,
    PhotoDone,
    PhotoFailed,
    Planned,
)
from stylize.photos.decoder import read_photo

APPLY = [
    Backend("cpu", "bf16", "2 threads", "torch"),
    ApplyStarted("wave", 2, 4, 3),
    PhotoBegun(PATH, 10_000, 8000, "in strips", 3_400_000_000),
    PhotoDone(PATH, PATH, 100, 50, 1, 0.1, ("no [mask]",)),
    PhotoFailed(PATH, "damaged [picture]"),
    ApplyDone(1, 1, 4, 7, 0.005, 2.0, Path("out"), Path("failures.csv"), "the disk is full"),
]


def test_apply_stylizes_a_folder(style_file, photos, tmp_path):
    result = stylize("apply", style_file, photos, "--output", tmp_path / "out", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    assert "6 photos" in result.stdout
    assert len([path for path in (tmp_path / "out").rglob("photo*") if path.is_file()]) == 6


def test_apply_with_a_bad_photo_ends_with_1(style_file, photos, tmp_path):
    (photos / "bad.jpg").write_text("text")
    result = stylize("apply", style_file, photos, "--output", tmp_path / "out")
    assert result.returncode == 1
    assert "bad.jpg" in result.stdout
    assert "not a picture" in result.stdout


def test_apply_prints_events_as_json(style_file, photos, tmp_path):
    result = stylize("apply", style_file, photos, "-o", tmp_path / "out", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events][-1] == "ApplyDone"
    assert events[-1]["done"] == 6


def test_verbose_says_how_a_photo_goes_through(style_file, photos, tmp_path):
    photo = photos / "photo0.png"
    draw_picture(0, 1000, 900).save(photo)
    options = ("--output", tmp_path / "out", "-v", "--max-memory")
    roomy = stylize("apply", style_file, photo, *options, "8GB")
    assert f"{photo}: 0.9 megapixels in one pass, up to " in roomy.stdout
    assert roomy.returncode == 0
    draw_picture(0, 2400, 1900).save(photo)
    large = stylize("apply", style_file, photo, *options, "8GB")
    assert f"{photo}: 4.6 megapixels in strips, up to " in large.stdout
    scarce = stylize("apply", style_file, photo, *options, "8GB", "--statistics", "thumbnail")
    assert "with the statistics of a thumbnail" in scarce.stdout
    assert "approximate" in scarce.stdout


def test_quiet_says_failures_only(style_file, photos, tmp_path):
    command = ("apply", style_file, photos, "-o", tmp_path / "out", "-q")
    assert stylize(*command).stdout == ""
    (photos / "bad.jpg").write_text("text")
    result = stylize(*command)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"{photos / 'bad.jpg'}: not a picture\n"


def test_a_dry_run_says_what_would_be_done_and_does_nothing(style_file, photos, tmp_path):
    command = ("apply", style_file, photos, "-o", tmp_path / "out", "--format", "webp")
    result = stylize(*command, "--dry-run")
    assert result.returncode == 0
    line = f"new  {photos / 'more' / 'photo5.jpg'} -> {tmp_path / 'out' / 'more' / 'photo5.webp'}"
    assert line in result.stdout.splitlines()
    assert result.stdout.splitlines()[-1] == "6 photos: 6 new"
    assert not (tmp_path / "out").exists()
    assert stylize(*command).returncode == 0
    (photos / "photo1.png").write_bytes((photos / "photo2.png").read_bytes())
    result = stylize(*command, "--dry-run")
    assert result.stdout.splitlines()[-1] == "6 photos: 1 out of date, 5 up to date"
    result = stylize(*command, "--dry-run", "--json")
    states = [json.loads(line)["state"] for line in result.stdout.splitlines()]
    assert sorted(states) == ["out of date"] + ["up to date"] * 5


def test_several_styles_and_what_is_said_of_them(style_file, photos, tmp_path):
    (tmp_path / "styles").mkdir()
    for name in ("one", "two"):
        (tmp_path / "styles" / f"{name}.safetensors").write_bytes(style_file.read_bytes())
    (photos / "bad.jpg").write_text("text")
    command = ("apply", "one,two", photos, "-o", "out", "--device", "cpu")
    result = stylize(*command, "--dry-run", cwd=tmp_path)
    lines = result.stdout.splitlines()
    assert lines.count("7 photos: 7 new") == 2
    assert f"new  {photos / 'photo0.png'} -> out/two/photo0.png" in lines
    assert not (tmp_path / "out").exists()
    result = stylize(*command, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.count("device cpu") == 1
    assert "not a picture (one, two)" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if "out/" in line]
    assert [[row[i] for i in (1, 3, 6, 9)] for row in rows] == [
        ["one", "6", "1", "out/one"],
        ["two", "6", "1", "out/two"],
    ]
    assert "12 pictures made" in result.stdout
    (photos / "bad.jpg").unlink()
    result = stylize(*command, "--json", cwd=tmp_path)
    assert result.returncode == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["style"] for e in found if e["event"] == "ApplyStarted"] == ["one", "two"]
    assert [e["current"] for e in found if e["event"] == "ApplyDone"] == [6, 6]


def test_the_name_of_the_result(style_file, photos, tmp_path):
    command = ("apply", style_file, photos / "photo0.png", "--output", tmp_path / "result.webp")
    result = stylize(*command, "--dry-run")
    assert f"photo0.png -> {tmp_path / 'result.webp'}" in result.stdout
    assert stylize(*command).returncode == 0
    fails(stylize(*command, "--dry-run"), 2, "result.webp exists", "--overwrite")
    fails(stylize(*command), 2, "result.webp exists", "--overwrite")


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_paths_are_read_from_stdin(separator, style_file, photos, tmp_path):
    odd = "-odd name.png" if separator == "\n" else "odd\nname.png"
    (photos / odd).write_bytes((photos / "photo0.png").read_bytes())
    names = ["photo1.png", "more/photo5.jpg", odd, ""]
    result = subprocess.run(
        [*STYLIZE, "apply", style_file, "-", "-o", tmp_path / "out", "--device", "cpu"],
        input=separator.join(names),
        capture_output=True,
        text=True,
        cwd=photos,
    )
    assert result.returncode == 0, result.stderr
    for name in names[:3]:
        assert (tmp_path / "out" / name).is_file()


def test_an_empty_list_is_said(style_file, tmp_path):
    command = [*STYLIZE, "apply", style_file, "-", "-o", tmp_path / "out"]
    fails(subprocess.run(command, input="", capture_output=True, text=True), 2, "the list is empty")


def test_options_of_look_and_files_reach_the_output(style_file, photos, tmp_path):
    options = ["--strength", "0", "--name", "{stem}-{style}{suffix}", "--format", "png"]
    command = ("apply", style_file, photos / "photo1.png", "-o", tmp_path / "out", *options)
    assert stylize(*command).returncode == 0
    before, after = photos / "photo1.png", tmp_path / "out" / "photo1-tiny.png"
    assert read_photo(before).rgb.tobytes() == read_photo(after).rgb.tobytes()
    options = ["--preserve-color", "--keep-background", "--quality", "80", "--strip", "--strip-gps"]
    result = stylize(*command[:5], *options, "--max-megapixels", "0.001")
    assert result.returncode == 1
    assert "more than --max-megapixels" in result.stdout


def test_large_pictures_are_taken_where_they_are_allowed(style_file, tmp_path):
    """Pillow's own limit, of which the command knows nothing, lies at 179 megapixels."""
    from PIL import Image

    Image.new("1", (20_000, 10_000)).save(tmp_path / "large.png")
    command = ("apply", style_file, tmp_path / "large.png", "-o", tmp_path / "out", "--size", 64)
    assert stylize(*command, "--max-megapixels", 200).returncode == 0
    result = stylize(*command, "--max-megapixels", 199, "--overwrite")
    assert result.returncode == 1
    assert "200.0 megapixels" in result.stdout


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("missing", ["no file or folder"]),
        ("empty folder", ["no photos in"]),
        ("inside", ["lies inside the input folder"]),
        ("wrong style", ["no style named", "did you mean woodblock"]),
        ("pickle", ["evil.safetensors", "not a whole safetensors file"]),
        ("truncated", ["cut.safetensors", "not a whole safetensors file"]),
        ("size", ["size is 0"]),
        ("name", ["name is '../{stem}{suffix}'", "{stem}-{style}{suffix}"]),
        ("masks", ["no folder gone"]),
        ("max-memory", ["'4 apples' is no size of memory", "700MB or 4GB"]),
        ("too little memory", ["10 MB are not enough", "--max-memory"]),
        ("stroke", ["strokes of one size", "a style that drafts"]),
        ("statistics", ["statistics is 'rough'", "exact, thumbnail"]),
        ("no gpu", ["no CUDA GPU", "--device cpu"]),
        ("no device", ["no device is called 'gpu'"]),
        ("file as output", ["is a file"]),
        ("unwritable", ["cannot make the folder"]),
    ],
)
def test_apply_refuses(make, words, style_file, photos, tmp_path):
    import torch

    if make == "no gpu" and torch.cuda.is_available():
        pytest.skip("needs a machine without GPU")
    (tmp_path / "empty").mkdir()
    evil, cut = tmp_path / "evil.safetensors", tmp_path / "cut.safetensors"
    evil.write_bytes(pickle.dumps([1, 2, 3]))
    cut.write_bytes(style_file.read_bytes()[:-100])
    options = {
        "size": ["--size", 0],
        "name": ["--name", "../{stem}{suffix}"],
        "masks": ["--masks", "gone"],
        "max-memory": ["--max-memory", "4 apples"],
        "too little memory": ["--max-memory", "10MB"],
        "stroke": ["--stroke", 2],
        "statistics": ["--statistics", "rough"],
        "no gpu": ["--device", "cuda"],
        "no device": ["--device", "gpu"],
    }.get(make, [])
    style = {"wrong style": "wodblock", "pickle": evil, "truncated": cut}.get(make, style_file)
    inputs = {"missing": tmp_path / "gone", "empty folder": tmp_path / "empty"}.get(make, photos)
    outputs = {
        "inside": photos / "out",
        "file as output": style_file,
        "unwritable": style_file / "below",
    }
    output = outputs.get(make, tmp_path / "out")
    fails(stylize("apply", style, inputs, "--output", output, *options), 2, *words)
    late = ("file as output", "unwritable", "too little memory")
    assert make in late or not output.exists()


def test_an_interrupted_apply_leaves_whole_files(style_file, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    # What is said of so many does not fit into the pipe: unread, the command cannot finish.
    count = 1000
    for index in range(count):
        draw_picture(index % 3, 80, 60).save(folder / f"{index}.bmp")
    command = [*STYLIZE, "apply", style_file, folder, "-o", tmp_path / "out", "--json"]
    # What a shell starts in the background ignores the signal, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in running.stdout:
        if '"PhotoDone"' in line:
            break
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    written = list((tmp_path / "out").glob("*.bmp"))
    assert 0 < len(written) < count
    for path in written:
        assert read_photo(path).size == (80, 60)


def test_the_first_photo_does_not_wait_for_torch_compile():
    """Nor for its libraries: they take as long to import as all of torch else."""
    code = (
        "import sys; from PIL import Image; from stylize import load_style;"
        "load_style('woodblock', 'cpu').stylize(Image.new('RGB', (64, 64)));"
        "print({'torch._dynamo', 'sympy', 'triton'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_the_norm_backend_is_said(tmp_path, photos, style_file):
    result = stylize("apply", style_file, photos, "--output", tmp_path / "out", "--norm", "torch")
    assert result.returncode == 0
    assert "instance norm by torch" in result.stdout


@pytest.mark.parametrize("by_option", [True, False])
def test_a_norm_backend_that_cannot_run_is_refused(
    by_option, tmp_path, photos, style_file, monkeypatch
):
    """Before anything is written; on a CPU without the interpreter there is no Triton."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    command = ["apply", style_file, photos, "--output", tmp_path / "out", "--device", "cpu"]
    if by_option:
        command += ["--norm", "triton"]
    else:
        monkeypatch.setenv("STYLIZE_NORM", "triton")
    fails(stylize(*command), 2, "Triton kernels cannot run", "--norm auto")
    assert not (tmp_path / "out").exists()


def test_a_wrong_norm_backend_is_refused(tmp_path, photos, style_file):
    result = stylize("apply", style_file, photos, "--output", tmp_path / "out", "--norm", "fast")
    fails(result, 2, "'fast'", "auto, torch, triton")


def test_apply_names_failures_and_counts():
    for terminal in (False, True):
        text = printed(print_progress, APPLY, terminal)
        assert "some/[odd] name.jpg" in text
        assert "damaged [picture]" in text
        assert "1 photo, 0.0 megapixels" in text
        assert "3 other files" in text
        assert "4 photos" in text
        assert "no [mask]" in text
        assert "the disk is full: 7 photos not begun" in text
        assert "failures.csv" in text
        assert "0.50 photos/s" in text


def test_verbose_says_how_photos_go_through():
    def verbose(events, console):
        return print_progress(events, console, verbose=True)

    line = "some/[odd] name.jpg: 80.0 megapixels in strips, up to 3.4 GB in all"
    assert line in printed(verbose, APPLY, terminal=False).splitlines()
    assert "80.0 megapixels" not in printed(print_progress, APPLY, terminal=False)


def test_quiet_says_what_failed_and_nothing_else():
    text = printed(print_failures, APPLY, terminal=False)
    assert text.splitlines() == [
        "some/[odd] name.jpg: damaged [picture]",
        "the disk is full: 7 photos not begun",
    ]


def test_a_plan_is_a_line_a_photo_and_a_sum():
    console = Console(file=io.StringIO(), width=40)
    plan = [Planned(PATH, PATH, "new"), Planned(PATH, PATH, "up to date")]
    print_plan(plan, 1, console)
    assert console.file.getvalue().splitlines() == [
        "       new  some/[odd] name.jpg -> some/[odd] name.jpg",
        "up to date  some/[odd] name.jpg -> some/[odd] name.jpg",
        "2 photos: 1 new, 1 up to date, 1 other file ignored",
    ]


def test_names_of_any_bytes_are_shown():
    odd = Path(os.fsdecode(b"caf\xe9.jpg"))
    text = printed(
        print_progress, [*APPLY[:4], PhotoFailed(odd, "damaged"), APPLY[-1]], terminal=False
    )
    text.encode()  # as the terminal will
    assert r"caf\udce9.jpg" in text
