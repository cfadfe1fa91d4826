"""Several processes train one style together, for real, over gloo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw_picture
from safetensors.torch import load_file

from stylize.network.style_header import read_header

SCRIPT = Path(__file__).with_name("torchrun_train.py")


def test_two_processes_train_what_one_does(style_picture, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(8):
        draw_picture(index, 160, 140).save(photos / f"{index}.png")
    arguments = [SCRIPT, style_picture, photos]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", [sys.executable]), ("two", two)):
        outputs = [tmp_path / name, tmp_path / f"{name}.json"]
        result = subprocess.run(
            [*command, *arguments, *outputs],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == 0, result.stderr
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert len(one) == len(two) == 20
    assert two == pytest.approx(one, rel=1e-3)
    assert (tmp_path / "two" / "x" / "checkpoint-00000018.safetensors").is_file()
    headers = [read_header(tmp_path / name / "x.safetensors") for name in ("one", "two")]
    assert headers[0].training == headers[1].training
    weights = [load_file(tmp_path / name / "x.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
