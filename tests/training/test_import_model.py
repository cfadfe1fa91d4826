"""Checkpoints of PyTorch's `fast_neural_style` example, as they come and as an attacker sends them.

The oracle is that network again, written with torch's functions from its published structure.
"""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from commands import fails, stylize
from conftest import draw_picture

from stylize import load_style
from stylize.config import Look, NetworkConfig
from stylize.errors import StyleFileError, UsageError
from stylize.network.style_header import read_header
from stylize.photos.photo import to_tensor
from stylize.training import import_model as module
from stylize.training.import_model import import_model, read_weights

JOHNSON = NetworkConfig(architecture="johnson")
LAYERS = {  # name -> output channels, input channels, side of the kernel
    "conv1": (32, 3, 9),
    "conv2": (64, 32, 3),
    "conv3": (128, 64, 3),
    **{f"res{block}.conv{half}": (128, 128, 3) for block in range(1, 6) for half in (1, 2)},
    "deconv1": (64, 128, 3),
    "deconv2": (32, 64, 3),
    "deconv3": (3, 32, 9),
}
NORMS = {f"in{index}": width for index, width in enumerate((32, 64, 128, 64, 32), start=1)}
NORMS |= {f"res{block}.in{half}": 128 for block in range(1, 6) for half in (1, 2)}


def checkpoint(seed: int = 0, *, old: bool = False) -> dict[str, torch.Tensor]:
    """Seeded weights whose pictures span the grey levels; with the entries of old versions."""
    torch.manual_seed(seed)
    weights = {}
    for name, (outputs, inputs, side) in LAYERS.items():
        spread = (inputs * side**2) ** -0.5
        weights[f"{name}.conv2d.weight"] = spread * torch.randn(outputs, inputs, side, side)
        weights[f"{name}.conv2d.bias"] = 0.1 * torch.randn(outputs)
    for name, width in NORMS.items():
        weights[f"{name}.weight"] = 0.5 + torch.rand(width)
        weights[f"{name}.bias"] = 0.2 * torch.randn(width)
        if old:
            weights[f"{name}.running_mean"] = torch.randn(width)
            weights[f"{name}.running_var"] = torch.rand(width)
    weights["deconv3.conv2d.weight"] *= 60
    weights["deconv3.conv2d.bias"] += 120
    return weights


def paint(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) in 0..255 -> the same, not clamped, sides grown to multiples of 4."""

    def conv(x: torch.Tensor, name: str, step: int = 1) -> torch.Tensor:
        kernel, bias = (weights[f"{name}.conv2d.{kind}"] for kind in ("weight", "bias"))
        margin = kernel.shape[-1] // 2
        return F.conv2d(F.pad(x, [margin] * 4, "reflect"), kernel, bias, step)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        deviation, mean = torch.std_mean(x, dim=(2, 3), correction=0, keepdim=True)
        scale, shift = (weights[f"{name}.{kind}"].view(1, -1, 1, 1) for kind in ("weight", "bias"))
        return (x - mean) / (deviation.square() + 1e-5).sqrt() * scale + shift

    x = norm(conv(image, "conv1"), "in1").relu()
    x = norm(conv(x, "conv2", 2), "in2").relu()
    x = norm(conv(x, "conv3", 2), "in3").relu()
    for block in (f"res{index}" for index in range(1, 6)):
        inner = norm(conv(x, f"{block}.conv1"), f"{block}.in1").relu()
        x = x + norm(conv(inner, f"{block}.conv2"), f"{block}.in2")
    x = norm(conv(F.interpolate(x, scale_factor=2), "deconv1"), "in4").relu()
    x = norm(conv(F.interpolate(x, scale_factor=2), "deconv2"), "in5").relu()
    return conv(x, "deconv3")


def saved(tmp_path: Path, content: object, **options: object) -> Path:
    path = tmp_path / "model.pth"
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(
    ("size", "old"), [((96, 128), False), ((101, 66), True)], ids=["new", "old"]
)
def test_it_paints_what_the_example_paints(tmp_path, size, old):
    weights = checkpoint(old=old)
    path = saved(tmp_path, weights, _use_new_zipfile_serialization=not old)
    style = import_model(path, "mosaic", output=tmp_path)
    height, width = size
    picture = draw_picture(1, width, height)
    expected = paint(weights, 255 * to_tensor(picture)[None])[..., :height, :width]
    assert expected.min() < 0  # it is not clamped inside
    assert expected.std() > 30
    painted = load_style(str(style), "cpu", "fp32").stylize(picture, Look(even_light=False))
    levels = 255 * to_tensor(painted)[None]
    assert (levels - expected.clamp(0, 255).round()).abs().max() <= 1


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
        lambda weights: {"epoch": 2, "state_dict": weights},
        lambda weights: {key: torch.nn.Parameter(value) for key, value in weights.items()},
        lambda weights: {key: value.half() for key, value in weights.items()},
    ],
    ids=["parallel", "wrapped", "parameters", "half"],
)
def test_other_ways_to_save_the_same(tmp_path, wrap):
    weights = checkpoint()
    found = read_weights(saved(tmp_path, wrap(weights)), JOHNSON)
    assert found.keys() == weights.keys()
    for key, weight in found.items():
        assert torch.allclose(weight, weights[key], rtol=1e-3, atol=1e-4)


def test_the_command_makes_a_style_that_can_be_used_and_verified(tmp_path):
    path = saved(tmp_path, checkpoint())
    card = ("--title", "The Fence", "--author", "A. Painter")
    result = stylize("import", path.name, "--name", "fence", *card, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    header = read_header(tmp_path / "styles" / "fence.safetensors")
    assert header.pictures[0].title == "The Fence"
    shown = stylize("styles", "fence", cwd=tmp_path).stdout
    assert "The Fence, A. Painter" in shown
    assert "elsewhere" in shown
    assert stylize("verify", "fence", "--precision", "fp32", cwd=tmp_path).returncode == 0
    again = stylize("import", path.name, "--name", "fence", cwd=tmp_path)
    fails(again, 2, "fence.safetensors is there already", "--overwrite")


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, trace: Path, function: object = open) -> None:
        self.call = (function, (str(trace), "w") if function is open else (f"touch {trace}",))

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return self.call


def packed(content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive as torch writes it, around a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["archive", "legacy", "pickle", "protocol 4"])
@pytest.mark.parametrize("function", [open, __import__("os").system])
def test_a_malicious_file_is_refused_and_nothing_in_it_runs(tmp_path, form, function):
    trace, path = tmp_path / "trace", tmp_path / "model.pth"
    attack = {**checkpoint(), "in1.weight": Attack(trace, function)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(attack["in1.weight"], 2))
    elif form == "protocol 4":
        path.write_bytes(packed(pickle.dumps(attack["in1.weight"], 4)))
    else:
        torch.save(attack, path, _use_new_zipfile_serialization=form == "archive")
    with pytest.raises(StyleFileError, match=r"refused, as it asks for .* nothing in it was run"):
        read_weights(path, JOHNSON)
    assert not trace.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["model.pth"]
    # It would have run.
    content = path.read_bytes()
    if form == "pickle":
        pickle.loads(content)  # noqa: S301 this is what the attack is made for
        assert trace.exists()


def test_the_command_refuses_it_in_one_line(tmp_path):
    path = saved(tmp_path, Attack(tmp_path / "trace"))
    result = stylize("import", path, "--name", "a", cwd=tmp_path)
    fails(result, 2, "model.pth: refused", "io open", "torch.save(model.state_dict()")
    assert not (tmp_path / "trace").exists()


def test_a_pickle_that_asks_for_memory_is_refused(tmp_path):
    """torch's own safe loading would make a `bytearray` of any size."""
    path = tmp_path / "model.pth"
    path.write_bytes(packed(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x10\x85R."))
    with pytest.raises(StyleFileError, match="builtins bytearray"):
        read_weights(path, JOHNSON)


def test_an_archive_that_grows_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    path.write_bytes(packed(pickle.dumps(b"\0" * (1 << 21), 2), zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(StyleFileError, match="not a whole checkpoint"):
        read_weights(path, JOHNSON)
    path.write_bytes(b"\0" * (1 << 21))
    with pytest.raises(StyleFileError, match="too large"):
        read_weights(path, JOHNSON)


def test_a_pickle_without_end_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(packed(b"\x80\x02" + b"N0" * module.MOST_OPERATIONS + b"N."))
    with pytest.raises(StyleFileError, match="too large"):
        read_weights(path, JOHNSON)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"in1.weight": None}, "'in1.weight' is missing"),
        ({"conv9.weight": torch.ones(1)}, "'conv9.weight' does not belong"),
        ({"in1.weight": torch.ones(1).expand(1 << 40)}, r"'in1.weight' is \(1099511627776,\), not"),
        ({"in1.bias": torch.full((32,), torch.nan)}, "'in1.bias' is not finite"),
    ],
)
def test_other_weights_are_named(tmp_path, change, words):
    content = {**checkpoint(), **change}
    content = {key: value for key, value in content.items() if value is not None}
    with pytest.raises(StyleFileError, match=words):
        read_weights(saved(tmp_path, content), JOHNSON)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"GIF89a" * 100])
def test_what_is_no_checkpoint_is_told(tmp_path, content):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(StyleFileError, match=r"model\.pth: not a whole checkpoint"):
        read_weights(tmp_path / "model.pth", JOHNSON)
    with pytest.raises(StyleFileError, match="No such file"):
        read_weights(tmp_path / "none.pth", JOHNSON)
    with pytest.raises(StyleFileError, match="holds no weights"):
        read_weights(saved(tmp_path, [torch.ones(1)]), JOHNSON)
    with pytest.raises(UsageError, match="cannot name a style"):
        import_model(tmp_path / "model.pth", "../a", output=tmp_path)


def test_the_checkpoint_is_never_written_over(tmp_path):
    path = tmp_path / "mosaic.safetensors"
    torch.save(checkpoint(), path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="read and would be overwritten"):
        import_model(path, "mosaic", output=tmp_path, overwrite=True)
    assert path.read_bytes() == before
