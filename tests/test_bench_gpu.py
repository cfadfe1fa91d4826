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
    assert len(figures["photo"]["rows"]) == 4
    assert (figures["apply"]["photos"], figures["apply"]["failed"]) == (2, 0)
    assert figures["style"]["steps"] == 4
    assert {row["megapixels"] for row in figures["large"]["rows"]} == {1}
    assert figures["verify"]["rows"][0]["same"]
    assert (tmp_path / "trained.png").is_file()


def test_a_part_that_does_not_fit_stays_open(tmp_path):
    command = [sys.executable, ROOT / "bench" / "gpu.py", "--device", "cpu", "--minutes", "0"]
    subprocess.run([*command, "--output", tmp_path], capture_output=True, check=True)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert "0 s were left" in figures["kernels"]["open"]
    assert "open" in figures["verify"]
