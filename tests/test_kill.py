"""`stylize apply` and `train`, killed with -9 at any moment and started again."""

import subprocess
import sys
from pathlib import Path

from conftest import draw_picture

TIMES = 20
TRAININGS = 5


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("manifest.jsonl", "lock")
    }


def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(style_file, tmp_path):
    photos = tmp_path / "photos"
    for index in range(24):
        folder = photos / str(index % 3)
        folder.mkdir(parents=True, exist_ok=True)
        suffix = (".png", ".jpg", ".webp", ".gif")[index % 4]
        draw_picture(index, 120, 100).save(folder / f"{index}{suffix}")
    script = Path(__file__).with_name("kill_apply.py")
    command = [sys.executable, script, style_file, photos, tmp_path, str(TIMES)]
    subprocess.run(command, check=True, timeout=300)
    whole = files(tmp_path / "whole")
    assert len(whole) == 24
    cut_short = 0
    for index in range(TIMES):
        killed = files(tmp_path / f"{index}-killed")
        outputs = {path for path in killed if ".stylize" not in path.parts}
        assert all(killed[path] == whole[path] for path in outputs)
        cut_short += 0 < len(outputs) < 24
        assert files(tmp_path / str(index)) == whole
    assert cut_short > TIMES / 3  # or it was killed too early or too late to tell


def test_a_training_killed_at_any_moment_ends_with_the_same_bits(style_picture, photos, tmp_path):
    script = Path(__file__).with_name("kill_train.py")
    command = [sys.executable, script, style_picture, photos, tmp_path, str(TRAININGS)]
    subprocess.run(command, check=True, timeout=300)
    whole = (tmp_path / "whole" / "x.safetensors").read_bytes()
    for index in range(TRAININGS):
        assert (tmp_path / str(index) / "x.safetensors").read_bytes() == whole
    killed = [(tmp_path / f"{index}-killed").read_text() for index in range(TRAININGS)]
    assert killed.count("under way") >= 3  # or it was killed too late to tell
