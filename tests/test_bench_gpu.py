import json
import subprocess
import sys

from conftest import ROOT


def test_a_little_of_each_part_on_a_cpu(tmp_path):
    command = [sys.executable, ROOT / "bench" / "gpu.py", "--device", "cpu", "--quick"]
    result = subprocess.run(
        [*command, "--output", tmp_path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    parts = ("kernels", "tests", "norm", "photo", "apply", "style", "large", "verify")
    assert [part for part in parts if "took" not in figures[part]] == []
    assert figures["kernels"]["passed"] > 5
    assert figures["tests"]["passed"] == 1
    assert {row["pass"] for row in figures["norm"]["rows"]} == {"forward", "forward and backward"}
    assert figures["apply"]["photos"] == 2
    assert figures["style"]["steps"] == 4
    assert figures["verify"]["rows"][0]["same"]
    assert (tmp_path / "trained.png").is_file()
    assert all(f" {part} " in result.stdout for part in parts)
