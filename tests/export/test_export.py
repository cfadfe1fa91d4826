"""Exported styles, run by other runtimes, against the styles themselves."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import fails, stylize
from conftest import ROOT, TINY, TINY_DRAFT, draw_picture
from PIL import Image

from stylize import NetworkConfig, StylizeError, TrainConfig, load_style
from stylize.config import Look
from stylize.errors import UsageError
from stylize.events import FileWritten, PartChecked
from stylize.export.export import check, export
from stylize.export.programs import Part
from stylize.network.architectures import build_network
from stylize.network.draft_revise import level_sizes, pyramid
from stylize.network.resample import resize
from stylize.network.style_file import load_network, save_style
from stylize.network.style_header import StyleHeader, StylePicture

SIZES = ((64, 80), (97, 131), (260, 181))  # for drafts of 32 px: with none and with more levels


def save(path: Path, config: NetworkConfig) -> Path:
    torch.manual_seed(3)
    picture = StylePicture("A Fence", "A. Painter", "1900", "public domain", "0" * 64, "thumb")
    header = StyleHeader(path.stem, config, TrainConfig(steps=1, size=256), [picture])
    network = build_network(config)
    if config.architecture == "johnson":  # pictures that span the grey levels
        network.deconv3.conv2d.weight.data *= 40
        network.deconv3.conv2d.bias.data += 120
    save_style(path, network.state_dict(), header)
    return path


@pytest.fixture(scope="module")
def drafting(tmp_path_factory):
    """A folder with a style that drafts, and what `stylize export` makes of it."""
    pytest.importorskip("onnxscript", reason="needs stylize[export]")
    folder = tmp_path_factory.mktemp("export")
    shallow = replace(TINY_DRAFT, finisher_blocks=0)  # quick to export
    style = save(folder / "woodblock.safetensors", shallow)
    *_, last = export(str(style), folder / "exported")
    assert last == FileWritten("onnx", folder / "exported" / "woodblock.finisher.onnx")
    return folder


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_the_documented_example_paints_what_apply_paints(drafting, tmp_path):
    """In a process where torch cannot be imported, so by ONNX Runtime, NumPy and Pillow alone."""
    text = (ROOT / "docs" / "export.md").read_text()
    (code,) = re.findall(r"<!-- A test runs this. -->\n```python\n(.*?)```", text, flags=re.S)
    style = load_style(str(drafting / "woodblock.safetensors"), "cpu", "fp32")
    for number, (height, width) in enumerate(SIZES):
        draw_picture(number, width, height).save(drafting / "photo.jpg", quality=95)
        command = [sys.executable, "-c", f"import sys; sys.modules['torch'] = None\n{code}"]
        subprocess.run(command, check=True, cwd=drafting)
        painted = np.asarray(Image.open(drafting / "painted.png"), int)
        with Image.open(drafting / "photo.jpg") as photo:
            expected = np.asarray(style.stylize(photo, Look(even_light=False)), int)
        assert expected.std() > 10
        assert np.abs(painted - expected).max() <= 1


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_takes_the_same_way(drafting, batch):
    network, _ = load_network(drafting / "woodblock.safetensors")
    draft, reviser, finisher = (
        session(drafting / "exported" / f"woodblock.{name}.onnx")
        for name in ("draft", "reviser", "finisher")
    )
    for size in SIZES:
        images = torch.rand(batch, 3, *size)
        first, *photos = (each.numpy() for each in pyramid(images, level_sizes(size, 32)))
        (painting,) = draft.run(None, {"photo": first})
        for level, photo in enumerate(photos):
            part = finisher if level else reviser
            (painting,) = part.run(None, {"photo": photo, "painting": painting})
        with torch.inference_mode():
            expected = network(images)
        found = resize(torch.from_numpy(painting), size)
        assert (found - expected).abs().max() < 0.5 / 255


def test_the_card_and_the_names_are_in_the_file(drafting):
    part = session(drafting / "exported" / "woodblock.reviser.onnx")
    assert [(each.name, each.shape) for each in part.get_inputs()] == [
        ("photo", ["batch", 3, "height", "width"]),
        ("painting", ["batch", 3, "painting_height", "painting_width"]),
    ]
    card = json.loads(part.get_modelmeta().custom_metadata_map["stylize"])
    assert card["name"] == "woodblock"
    assert card["pictures"][0]["author"] == "A. Painter"
    assert card["network"]["draft_size"] == TINY_DRAFT.draft_size
    assert (card["part"], card["parts"]) == ("reviser", ["draft", "reviser", "finisher"])


def test_a_network_of_one_pass_is_one_onnx_file(tmp_path):
    pytest.importorskip("onnxscript", reason="needs stylize[export]")
    style = save(tmp_path / "old.safetensors", NetworkConfig(architecture="johnson"))
    list(export(str(style), tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old.onnx"]
    network, run = load_style(str(style), "cpu", "fp32"), session(tmp_path / "out" / "old.onnx")
    for size in ((48, 32), (33, 70), (96, 61)):
        for batch in (1, 3):
            images = torch.rand(batch, 3, *size)
            found = torch.from_numpy(run.run(None, {"photo": images.numpy()})[0])
            assert (found - network(images)).abs().max() < 0.5 / 255
    again = stylize("export", style, "--output", "out", cwd=tmp_path)
    fails(again, 2, "old.onnx is there already", "--overwrite")


def test_a_program_of_pytorch_needs_nothing_of_this_package(tmp_path):
    style = save(tmp_path / "quick.safetensors", TINY)
    checked, written = export(str(style), tmp_path, "pt2")
    assert checked == PartChecked("", checked.difference)
    assert checked.difference < 0.1
    assert written.path == tmp_path / "quick.pt2"
    card = {"stylize.json": ""}
    torch.export.load(written.path, extra_files=card)
    assert json.loads(card["stylize.json"])["name"] == "quick"
    sizes = [(batch, 3, *size) for size in SIZES for batch in (1, 3)]
    images = [torch.rand(size) for size in sizes]
    torch.save(images, tmp_path / "images.pt")
    code = (
        "import sys, torch\n"
        "sys.modules['stylize'] = None\n"
        "run = torch.export.load('quick.pt2').module()\n"
        "torch.save([run(image) for image in torch.load('images.pt')], 'painted.pt')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    network = load_style(str(style), "cpu", "fp32")
    for image, painted in zip(images, torch.load(tmp_path / "painted.pt"), strict=True):
        assert (painted - network(image)).abs().max() < 0.5 / 255


def test_what_paints_another_picture_is_an_error():
    part = Part("draft", torch.nn.Identity(), ("photo",))
    assert check(part, lambda inputs: inputs[0] + 0.001) == pytest.approx(0.255, rel=1e-3)
    for wrong in (0.01, torch.nan):
        with pytest.raises(StylizeError, match=r"the exported draft differs by (2\.55|nan) levels"):
            check(part, lambda inputs, wrong=wrong: inputs[0] + wrong)


def test_an_unknown_format_is_an_error(style_file, tmp_path):
    with pytest.raises(UsageError, match="format is 'tflite'"):
        list(export(str(style_file), tmp_path, "tflite"))


def test_without_onnx_the_command_is_named(style_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="need onnx") as caught:
        list(export(str(style_file), tmp_path))
    assert caught.value.hint == 'pip install "stylize[export]"'


def test_a_style_whose_name_is_no_name_makes_no_file(style_file, tmp_path):
    odd = style_file.rename(tmp_path / "...safetensors")
    with pytest.raises(UsageError, match="cannot name a style"):
        next(export(str(odd), tmp_path / "out", "pt2"))


def test_the_style_is_never_written_over(style_file, tmp_path):
    (tmp_path / "tiny.pt2").symlink_to(style_file)
    with pytest.raises(UsageError, match="read and would be overwritten"):
        next(export(str(style_file), tmp_path, "pt2", overwrite=True))
