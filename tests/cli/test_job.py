"""`stylize audit` and `stylize job` as a person runs them."""

import json
import subprocess

from commands import fails, stylize
from conftest import draw_picture


def words(result: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_job_from_its_first_line_to_its_report(photos, tmp_path):
    assert stylize("job", "new", "brand.toml", cwd=tmp_path).returncode == 0
    fails(stylize("job", "new", "brand.toml", cwd=tmp_path), 2, "exists")
    file = tmp_path / "brand.toml"
    file.write_text(file.read_text().replace("2048", "48").replace("512", "32"))
    plan = stylize("job", "check", "brand.toml", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert "6 new" in plan.stdout
    assert not (tmp_path / "painted").exists()
    result = stylize("job", "run", "brand.toml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "12 pictures made" in result.stdout
    assert "painted/woodblock/report/report.html" in result.stdout
    again = stylize("job", "run", "brand.toml", "--json", cwd=tmp_path)
    assert (words(again)[-1]["done"], words(again)[-1]["current"]) == (0, 12)


def test_a_limit_that_is_not_kept_is_exit_code_1(photos, tmp_path):
    stylize("job", "new", "brand.toml", cwd=tmp_path)
    file = tmp_path / "brand.toml"
    text = file.read_text().replace("2048", "48").replace("512", "32")
    file.write_text(text.replace("# max_spread = 0.5", "max_spread = 0.0001"))
    result = stylize("job", "run", "brand.toml", cwd=tmp_path)
    assert result.returncode == 1
    assert "more than 0.0001" in result.stdout


def test_a_wrong_job_file_gets_file_line_and_fix(photos, tmp_path):
    stylize("job", "new", "brand.toml", cwd=tmp_path)
    file = tmp_path / "brand.toml"
    file.write_text(file.read_text().replace("quality = 90", "qualty = 90"))
    line = file.read_text().splitlines().index("qualty = 90") + 1
    for command in ("check", "run"):
        result = stylize("job", command, "brand.toml", cwd=tmp_path)
        fails(result, 2, f"brand.toml:{line}: ", "qualty", "did you mean quality?")
    assert not (tmp_path / "painted").exists()


def test_audit_of_what_apply_wrote(photos, tmp_path):
    stylize("apply", "woodblock", photos, "-o", tmp_path / "out", "--size", "64")
    result = stylize("audit", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "before" in result.stdout
    assert stylize("audit", tmp_path / "out", "--max-spread", "0.0001").returncode == 1
    json_events = words(stylize("audit", tmp_path / "out", "--json"))
    assert json_events[-1]["event"] == "AuditDone"
    assert json_events[-1]["spread"] < json_events[-1]["spread_before"]


def test_audit_of_a_styles_lightings(photos):
    result = stylize("audit", photos, "--lighting", "woodblock")
    assert result.returncode == 0, result.stderr
    assert "from above" in result.stdout
    fails(stylize("audit", photos, "--lighting", "no-such-style"), 2, "no-such-style")


def test_a_style_that_does_not_know_its_picture_is_said(photos, style_file):
    fails(stylize("audit", photos, "--style", style_file), 2, "has no statistics", "train it again")


def test_a_photo_that_cannot_be_read_is_exit_code_1(photos):
    (photos / "broken.png").write_bytes(b"nothing")
    draw_picture(3).save(photos / "sound.png")
    result = stylize("audit", photos)
    assert result.returncode == 1
    assert "broken.png" in result.stdout
