import pickle
from dataclasses import replace

import pytest
import torch
from conftest import TINY, draw_picture
from safetensors.torch import load_file, save_file

from stylize.config import NetworkConfig
from stylize.errors import StyleFileError
from stylize.network.architectures import build_network
from stylize.network.style_file import load_network, save_style
from stylize.network.style_header import read_header
from stylize.photos.photo import to_tensor


def test_a_style_survives_its_file(tmp_path, style_file):
    network, header = load_network(style_file)
    again = tmp_path / "again.safetensors"
    save_style(again, network.state_dict(), header)
    same, same_header = load_network(again)
    assert same_header == header
    image = torch.rand(1, 3, 30, 30)
    assert torch.equal(network(image), same(image))
    assert again.read_bytes() == style_file.read_bytes()


def test_half_precision_weights_are_read_as_fp32(tmp_path, style_file):
    header = read_header(style_file)
    half = tmp_path / "half.safetensors"
    weights = {key: value.half() for key, value in load_file(style_file).items()}
    save_file(weights, half, {"stylize": header.to_json()})
    assert {p.dtype for p in load_network(half)[0].parameters()} == {torch.float32}


def test_half_precision_costs_at_most_one_grey_level(tmp_path, style_file):
    torch.manual_seed(3)
    network = build_network(NetworkConfig()).eval()
    path = tmp_path / "one.safetensors"
    save_style(
        path, network.state_dict(), replace(read_header(style_file), network=NetworkConfig())
    )
    assert {weight.dtype for weight in load_file(path).values()} == {torch.float16}
    photo = to_tensor(draw_picture(1, 90, 70))[None]
    with torch.inference_mode():
        one, other = network(photo), load_network(path)[0](photo)
    assert (one - other).abs().max() <= 1 / 255


def test_a_weight_too_large_for_half_precision_is_kept(tmp_path, style_file):
    weights = load_file(style_file)
    weights["norm1.bias"] = torch.full((8,), 1e5)
    save_style(style_file, weights, read_header(style_file))
    assert load_file(style_file)["norm1.bias"].equal(weights["norm1.bias"])


def test_johnson_survives_its_file(tmp_path, style_file):
    config = NetworkConfig(architecture="johnson")
    path = tmp_path / "johnson.safetensors"
    save_style(
        path, build_network(config).state_dict(), replace(read_header(style_file), network=config)
    )
    assert "res1.conv1.conv2d.weight" in load_network(path)[0].state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("noise.weight"), "'noise.weight' is missing"),
        (lambda w: w.update(extra=torch.zeros(1)), "'extra' does not belong"),
        (lambda w: w.update({"norm1.bias": torch.zeros(9)}), r"'norm1.bias' is \(9,\), not \(8,\)"),
        (lambda w: w["norm1.bias"].fill_(float("nan")), "'norm1.bias' is not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, style_file, change, message):
    weights = load_file(style_file)
    change(weights)
    path = tmp_path / "odd.safetensors"
    save_file(weights, path, {"stylize": read_header(style_file).to_json()})
    with pytest.raises(StyleFileError, match=rf"odd\.safetensors: weight {message}"):
        load_network(path)


def test_a_header_that_lies_about_its_size_costs_no_memory(tmp_path, style_file):
    huge = NetworkConfig(channels=1024, body_channels=1024, blocks=64, head_channels=1024)
    header = replace(read_header(style_file), network=huge)
    path = tmp_path / "lie.safetensors"
    save_file(load_file(style_file), path, {"stylize": header.to_json()})
    with pytest.raises(StyleFileError, match=r"is missing|not"):
        load_network(path)


def test_a_pickle_is_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(StyleFileError, match=r"evil\.safetensors"):
        load_network(path)
    assert not marker.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path, style_file):
    (tmp_path / "file").touch()
    with pytest.raises(StyleFileError, match="cannot be written"):
        save_style(
            tmp_path / "file" / "s", build_network(TINY).state_dict(), read_header(style_file)
        )
