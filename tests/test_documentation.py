"""What the README, the docs and the examples of `--help` say: it exists, and it runs."""

import re
import shlex
import subprocess
import sys
import tomllib

import pytest
import typer
from commands import stylize
from conftest import ROOT, draw_picture, write_set

from stylize.cli.main import app

README = ROOT / "README.md"
PAGES = {
    path: path.read_text()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"))
}
BLOCKS = [
    (path, language, block)
    for path, text in PAGES.items()
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.S)
]
COMMAND = typer.main.get_command(app)
LINES = [
    re.split(r"\s+#", line)[0]
    for _, language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
EXAMPLES = [line for each in COMMAND.commands.values() for line in (each.epilog or "").split("\n")]


def starting(word, lines=LINES):
    return sorted({line for line in lines if line.startswith(word)})


def test_the_two_commands_come_first():
    text = PAGES[README]
    assert text.index("make demo") < text.index("make test") < text.index("pip install")


@pytest.mark.parametrize("line", starting("make "))
def test_make_targets_exist(line):
    makefile = (ROOT / "Makefile").read_text()
    for target in shlex.split(line)[1:]:
        assert re.search(rf"^{target}:", makefile, flags=re.M)


@pytest.mark.parametrize("line", starting("stylize ", [*LINES, *EXAMPLES]))
def test_commands_have_these_arguments_and_options(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "styles" / "mine").mkdir(parents=True)
    recipe = 'pictures = ["painting.jpg"]\ncontent = "photos"\n'
    (tmp_path / "styles" / "mine" / "recipe.toml").write_text(recipe)
    words = shlex.split(line.removesuffix(" &").partition(" >")[0])
    command = COMMAND
    while words[1:] and words[1] in getattr(command, "commands", {}):
        words = words[1:]
        command = command.commands[words[0]]
    assert command is not COMMAND
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize(
    "line", [line for line in LINES if "stylize apply" in line and "s3://" not in line]
)
def test_photos_are_planned_as_said(line, tmp_path, style_file):
    (tmp_path / "styles").mkdir()
    style_file.rename(tmp_path / "styles" / "mosaic-2017.safetensors")
    write_set(tmp_path / "styles" / "shop.safetensors", "wave", "night", "ink")
    for name in ("photos/a.jpg", "more/b.png", "photo.jpg", "poster.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        draw_picture(0).save(tmp_path / name)
    for name in ("clip.mp4", "clip.mov"):
        (tmp_path / name).touch()
    python = shlex.join([sys.executable, "-m", "stylize"])
    command = line.replace("stylize apply", f"{python} apply") + " --dry-run"
    found = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert re.search(r"^\d photos?: \d new$", found.stdout, flags=re.M)


@pytest.mark.parametrize("line", starting("python "))
def test_scripts_have_these_options(line):
    _, name, *words = shlex.split(line)
    script = (ROOT / name).read_text()
    for word in words:
        if word.startswith("-"):
            assert f'"{word}"' in script


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in PAGES.values():
        for names in re.findall(r"stylize\[([\w,]+)\]", text):
            assert {*names.split(",")} <= {*extras["optional-dependencies"]}


@pytest.mark.parametrize("text", [block for _, language, block in BLOCKS if language == "toml"])
def test_settings_of_ones_own(text, tmp_path):
    (tmp_path / "photos").mkdir()
    draw_picture(0).save(tmp_path / "photos" / "a.jpg")
    (tmp_path / "stylize.toml").write_text(text)
    found = stylize("apply", "woodblock", "photos", "--dry-run", cwd=tmp_path)
    assert found.stdout.splitlines()[-1] == "1 photo: 1 new", found.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/instance-norm.md"])
def test_python_examples_run(page, tmp_path, monkeypatch):
    """Those of docs/export.md need files that tests/export makes."""
    (code,) = [
        block for path, language, block in BLOCKS if (path, language) == (ROOT / page, "python")
    ]
    monkeypatch.chdir(tmp_path)
    draw_picture(0).save("photo.jpg")
    exec(code, {})  # noqa: S102
    assert page != "README.md" or (tmp_path / "painted.jpg").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_tree_names_every_module():
    tree = PAGES[README][PAGES[README].index("## Where things are") :]
    for path in (ROOT / "stylize").rglob("[!_]*.py"):
        assert path.name in tree, path.name
