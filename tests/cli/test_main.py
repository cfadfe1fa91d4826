"""The commands as a person runs them: real subprocesses, exit codes, words."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import draw_picture
from PIL import Image
from safetensors.torch import load_file

from stylize.network.style_file import load_network, replace_header
from stylize.network.style_header import read_header
from stylize.photos.decoder import read_photo
from stylize.training.verify import preview

STYLIZE = (sys.executable, "-m", "stylize")


def stylize(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STYLIZE, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def fails(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The run ended with `code`, saying `words`, in one error line and no traceback."""
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1


def test_help_has_commands_and_an_example():
    result = stylize("--help")
    assert result.returncode == 0
    for word in ("apply", "train", "audit", "job", "styles", "verify", "stylize apply woodblock"):
        assert word in result.stdout


@pytest.mark.parametrize(
    "command", ["apply", "train", "audit", "job new", "job check", "job run", "styles", "verify"]
)
def test_every_command_has_help(command):
    result = stylize(*command.split(), "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["apply", "--help"], ["job", "run", "--help"], ["styles"]]
)
def test_torch_is_not_imported_for(arguments):
    code = (
        "import sys; from stylize.cli import app; "
        f"app({arguments!r}, standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_version():
    from stylize import __version__

    assert stylize("--version").stdout.strip() == f"stylize {__version__}"


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


def test_strokes_in_relation_to_the_picture(style_file, photos, tmp_path):
    arguments = ("apply", style_file, photos / "photo0.png", "--output")
    pictures = []
    for stroke in ("native", "1.0", "0.5"):
        assert stylize(*arguments, tmp_path / stroke, "--stroke", stroke).returncode == 0
        pictures.append((tmp_path / stroke / "photo0.png").read_bytes())
    assert len(set(pictures)) == 3


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
        ("stroke", ["--stroke is 'broad'", "native"]),
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
        "stroke": ["--stroke", "broad"],
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


def test_usage_errors_end_with_2(style_file, photos):
    assert stylize("apply", style_file, photos).returncode == 2
    assert stylize("apply").returncode == 2
    assert stylize("paint").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "-1"], ["steps is -1"]),
        (["--name", "../up"], ["cannot name a style"]),
        (["--content", "gone"], ["no folder gone"]),
        (["--precision", "fp8"], ["precision is 'fp8'"]),
        (["--resume"], ["no checkpoint"]),
        (["--from", "wodblock"], ["no style named", "did you mean woodblock?"]),
        (["--from", "scratch", "--only-norm"], ["random weights", "give --from"]),
        (["--layer-weight", "relu1_2"], ["no weight of a layer", "relu1_2=0.5"]),
        (["--layer-weight", "relu5_1=2"], ["relu5_1", "choose one of relu1_2"]),
        (["--picture-weight", "2", "--picture-weight", "3"], ["2 weights for 1 pictures"]),
        (["--recipe", "gone.toml"], ["gone.toml: No such file"]),
    ],
)
def test_train_refuses(arguments, words, style_picture, photos, tmp_path):
    options = ["--content", photos, "--name", "mine", *arguments]
    fails(stylize("train", style_picture, *options, cwd=tmp_path), 2, *words)
    assert not (tmp_path / "styles").exists()


def test_train_refuses_a_picture_that_is_none(photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    result = stylize("train", bad, "--content", photos, "--name", "mine", cwd=tmp_path)
    fails(result, 2, "bad.jpg: not a picture")


def test_a_recipe_repeats_a_training(style_picture, photos, tmp_path):
    options = ["--content", photos.relative_to(tmp_path), "--name", "mine", "--steps", "2"]
    options += ["--size", "32", "--style-size", "48", "--from", "scratch", "--tv-weight", "0.5"]
    options += ["--layer-weight", "relu1_2=0.5", "--layer-weight", "relu4_3=2", "--title", "T"]
    first = stylize("train", style_picture, *options, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    recipe = tmp_path / "styles" / "mine" / "recipe.toml"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # What stands on the command line wins.
    command = ["train", "--recipe", recipe, "--name", "again", "--output", elsewhere]
    again = stylize(*command, cwd=elsewhere)
    assert again.returncode == 0, again.stderr
    styles = [tmp_path / "styles" / "mine.safetensors", elsewhere / "again.safetensors"]
    one, two = (load_file(path) for path in styles)
    assert all(torch.equal(one[key], two[key]) for key in one)
    headers = [read_header(path) for path in styles]
    assert headers[0].training == headers[1].training
    assert headers[0].training.layer_weights == {"relu1_2": 0.5, "relu4_3": 2}
    assert headers[1].pictures[0].title == "T"

    text = recipe.read_text()
    recipe.write_text(text.replace("steps = 2", "steps = true"))
    fails(stylize(*command), 2, "recipe.toml: steps is True")
    recipe.write_text(text + "stpes = 3\n")
    fails(stylize(*command), 2, "recipe.toml: there is no setting 'stpes'", "did you mean steps?")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_train_stops_and_goes_on(number, style_picture, photos, tmp_path):
    draw_picture(9, 80, 80).save(photos / "photo 9.png")
    options = ["--content", photos, "--name", "mine", "--steps", "60", "--size", "32"]
    options += ["--style-size", "48", "--batch-size", "1", "--device", "cpu", "--json"]
    command = [*STYLIZE, "train", str(style_picture), *map(str, options)]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in running.stdout:
        if '"StepDone"' in line:
            break
    running.send_signal(number)
    rest, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert '"TrainingStopped"' in rest
    assert "--resume" in said
    assert (tmp_path / "styles" / "mine" / "recipe.toml").is_file()

    # The very command that was said, as a shell would take it.
    words = said.split("To go on: stylize ")[1].strip()
    again = subprocess.run(
        f"exec {sys.executable} -m stylize {words}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "styles" / "mine.safetensors").is_file()


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


def test_styles_lists_shipped_and_local(tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "own.safetensors").write_bytes(style_file.read_bytes())
    (tmp_path / "styles" / "bad.safetensors").write_bytes(b"")
    result = stylize("styles", cwd=tmp_path)
    assert result.returncode == 0
    for word in ("stained-glass", "Katsushika", "public domain", "MB", "A Picture", "shipped"):
        assert word in result.stdout
    assert "unreadable" in result.stdout
    names = stylize("styles", "--names", cwd=tmp_path).stdout.split()
    assert {"woodblock", "own", "bad"} <= set(names)


def test_a_style_shows_its_card(style_file):
    result = stylize("styles", style_file)
    assert result.returncode == 0
    for word in ("A Picture", "A. Painter", "1900", "public domain", "working scale", "Apache-2.0"):
        assert word in result.stdout
    shipped = stylize("styles", "stained-glass").stdout
    assert "--style-weight 2 --even-weight 0.4" in shipped
    fails(stylize("styles", "woodbloc"), 2, "did you mean woodblock?")


def test_a_sheet_of_all_styles(tmp_path):
    draw_picture(0, 120, 80).save(tmp_path / "photo.jpg")
    result = stylize("styles", "--sheet", "photo.jpg", cwd=tmp_path)
    assert result.returncode == 0
    assert "sheet.png" in result.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 240
    again = stylize("styles", "woodblock", "--sheet", "photo.jpg", cwd=tmp_path)
    fails(again, 2, "sheet.png is there already")
    other = ["--output", "other.png"]
    fails(stylize("styles", "--sheet", "none.jpg", *other, cwd=tmp_path), 2, "none.jpg")
    (tmp_path / "styles").mkdir()
    (tmp_path / "styles" / "bad.safetensors").write_bytes(b"")
    result = stylize("styles", "--sheet", "photo.jpg", *other, cwd=tmp_path)
    assert result.returncode == 1
    assert "bad.safetensors" in result.stdout + result.stderr


def test_verify_tells_what_has_changed(tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    own = tmp_path / "styles" / "own.safetensors"
    own.write_bytes(style_file.read_bytes())
    without = stylize("verify", "own", cwd=tmp_path)
    assert without.returncode == 1
    assert "no preview" in without.stdout
    network, header = load_network(own)
    painted = preview(network.state_dict(), header, torch.device("cpu"))
    replace_header(own, replace(header, preview=painted))
    result = stylize("verify", "own", "--precision", "fp32", cwd=tmp_path)
    assert result.returncode == 0
    assert "as it was" in result.stdout
    lines = stylize("verify", "own", "--json", cwd=tmp_path).stdout.splitlines()
    assert json.loads(lines[-1])["same"]


def test_the_shell_completes_names_of_styles(tmp_path):
    words = {"COMP_WORDS": "stylize apply woo", "COMP_CWORD": "2"}
    result = subprocess.run(
        [Path(sys.executable).with_name("stylize")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, **words, "_STYLIZE_COMPLETE": "complete_bash"},
    )
    assert result.stdout.split() == ["woodblock"]


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


def test_only_light_libraries_are_loaded_for_help():
    code = "import sys, stylize.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "torchvision", "numpy", "PIL", "matplotlib"} & set(loaded)


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


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_a_training_on_names_that_are_not_utf8(photos, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    draw_picture(7).save(odd, "PNG")
    options = ["--content", photos, "--name", "mine", "--steps", "1", "--size", "32"]
    options += ["--style-size", "48", "--from", "scratch"]
    command = [*map(os.fsencode, STYLIZE), b"train", os.fsencode(odd)]
    command += [os.fsencode(str(word)) for word in options]
    result = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert b"recipe not written" in result.stdout
    assert (tmp_path / "styles" / "mine.safetensors").is_file()
