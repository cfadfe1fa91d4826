"""Mixing networks, against arithmetic on paper."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY, write_relatives

from stylize.assets import style_files
from stylize.errors import StyleFileError
from stylize.files import digest
from stylize.network.architectures import build_network
from stylize.network.conditional_norm import norm_names
from stylize.network.mixing import LEAST_KINSHIP, kinship, load_mixture
from stylize.network.mixture import Mixture, find_mixture
from stylize.network.style_file import load_network, save_style
from stylize.network.style_header import read_header


def weights_of(path):
    return load_network(path)[0].state_dict()


def test_every_weight_is_the_weighted_mean(tmp_path):
    files = write_relatives(tmp_path, "one", "two", "three")
    network, header = load_mixture(Mixture.of(dict(zip(map(str, files), (2, 1, 1), strict=True))))
    one, two, three = map(weights_of, files)
    for name, weight in network.state_dict().items():
        expected = (one[name].double() * 2 + two[name] + three[name]) / 4
        assert (weight - expected).abs().max() < 1e-6 * (1 + expected.abs().max())
        assert weight.dtype == torch.float32
    assert header.name == "one-0.5-three-0.25-two-0.25"
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_ends_are_the_styles_to_the_bit(tmp_path):
    one, two = write_relatives(tmp_path, "one", "two")
    image = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    for weights, path in (({str(one): 1, str(two): 0}, one), ({str(one): 0, str(two): 1}, two)):
        network, header = load_mixture(Mixture.of(weights))
        assert header == read_header(path)
        assert torch.equal(network(image), load_network(path)[0](image))
    near = load_mixture(Mixture.of({str(one): 1, str(two): 1e-6}))[0]
    assert (near(image) - load_network(one)[0](image)).abs().max() < 1 / 255


def test_styles_that_share_their_kernels_keep_them_to_the_bit(tmp_path, monkeypatch):
    """Norms-only styles of one base differ in their norms; nothing else is touched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "styles").mkdir()
    (base,) = write_relatives(tmp_path / "styles", "ground")
    header, weights = read_header(base), weights_of(base)
    own = replace(header.training, only_norm=True, base="ground")
    norms = norm_names(build_network(TINY))
    for name, factor in (("one", 0.5), ("two", 2.0)):
        changed = {key: w * factor if key in norms else w for key, w in weights.items()}
        made = replace(header, name=name, training=own, base_sha256=digest(base))
        save_style(tmp_path / "styles" / f"{name}.safetensors", changed, made)
    mixed = load_mixture(find_mixture("one=1,two=3"))[0].state_dict()
    for key, weight in weights.items():
        expected = weight * (0.25 * 0.5 + 0.75 * 2.0) if key in norms else weight
        assert torch.allclose(mixed[key], expected, rtol=1e-3)
        assert key in norms or torch.equal(mixed[key], weight)


def test_networks_without_a_common_start_are_refused(tmp_path):
    (one,) = write_relatives(tmp_path, "one")
    torch.manual_seed(99)
    header = replace(read_header(one), name="stranger")
    stranger = tmp_path / "stranger.safetensors"
    save_style(stranger, build_network(TINY).state_dict(), header)
    with pytest.raises(StyleFileError, match="not trained from one start") as caught:
        load_mixture(Mixture.of({str(one): 1, str(stranger): 1}))
    assert f"stylize train --from {stranger}" in caught.value.hint


def test_all_shipped_styles_are_relatives():
    first, *others = [weights_of(path) for path in style_files().values()]
    assert kinship(first, first) == pytest.approx(1)
    for other in others:
        assert kinship(first, other) > 0.9 > LEAST_KINSHIP
