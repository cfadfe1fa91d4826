"""Sets: styles that share their kernels, in one file."""

from dataclasses import replace

import pytest
import torch
from conftest import write_set, write_style
from safetensors.torch import load_file, save_file

from stylize.errors import StyleFileError
from stylize.network.conditional_norm import norm_names
from stylize.network.mixing import load_mixture
from stylize.network.mixture import Mixture, Part, find_mixture, mix_headers, singles
from stylize.network.style_file import load_network
from stylize.network.style_header import METADATA_KEY, StyleHeader, read_header, read_metadata


@pytest.fixture
def path(tmp_path):
    return write_set(tmp_path / "shop.safetensors", "one", "two", "three")


def test_each_style_has_its_own_norms_and_the_same_kernels(path):
    stored = load_file(path)
    for number, name in enumerate(("one", "two", "three")):
        network, header = load_network(path, name)
        assert header.name == name
        norms = norm_names(network)
        for key, weight in network.state_dict().items():
            expected = stored[f"norms.{number}.{key}"] if key in norms else stored[key]
            assert torch.equal(weight, expected.float())


def test_a_style_in_a_set_is_found_by_name_and_by_path(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "styles").mkdir()
    path.rename(tmp_path / "styles" / path.name)
    by_name, by_path = (find_mixture(f"{p}:two") for p in ("shop", "styles/shop.safetensors"))
    assert by_name.parts == by_path.parts == (Part(by_name.files[0], "two"),)
    assert by_name.name == "shop-two"
    assert find_mixture(str(by_name)) == by_name
    assert mix_headers(by_name) == read_header(by_name.files[0], "two")


def test_outputs_of_two_styles_of_a_set_are_told_apart(path):
    digests = {find_mixture(text).digest() for text in (f"{path}:one", f"{path}:two", str(path))}
    assert len(digests) == 3


def test_mixes_within_a_set_interpolate_the_norms_alone(path):
    mixed = load_mixture(Mixture.of({f"{path}:one": 1, f"{path}:two": 3}))[0].state_dict()
    one, two = (load_network(path, name)[0].state_dict() for name in ("one", "two"))
    norms = norm_names(load_network(path)[0])
    for key, weight in mixed.items():
        expected = one[key] * 0.25 + two[key] * 0.75 if key in norms else one[key]
        assert torch.allclose(weight, expected, atol=1e-6)
        assert key in norms or torch.equal(weight, one[key])


def test_a_set_itself_paints_nothing_and_names_what_it_holds(path):
    with pytest.raises(StyleFileError, match="is a set of 3 styles") as caught:
        load_mixture(find_mixture(str(path)))
    assert f"{path}:one" in caught.value.hint
    with pytest.raises(StyleFileError, match="holds no style named 'tow'") as caught:
        load_mixture(find_mixture(f"{path}:tow"))
    assert "two" in caught.value.hint


def test_singles_take_the_place_of_a_set(path, tmp_path):
    style = write_style(tmp_path / "style.safetensors")
    wanted = [f"{path}:{name}" for name in ("one", "two", "three")]
    assert singles([str(style), str(path), f"{path}:two"]) == [str(style), *wanted, wanted[1]]
    path.write_bytes(b"damaged")
    assert singles([str(path)]) == [str(path)]  # whoever loads it says why


def test_a_file_with_a_colon_in_its_name_is_that_file(tmp_path):
    style = write_style(tmp_path / "odd:name")
    assert find_mixture(str(style)).parts == (Part(style),)


def test_a_set_within_a_set_is_not_read(path):
    header = read_header(path)
    inner = replace(header.styles[0], styles=header.styles)
    found = StyleHeader.from_json(replace(header, styles=[inner]).to_json(), path)
    assert found.members == ["one"]
    assert found.styles[0].members == []


def test_a_set_that_lacks_norms_is_damaged(path):
    metadata = {METADATA_KEY: read_metadata(path, METADATA_KEY)}
    kept = {k: v for k, v in load_file(path).items() if not k.startswith("norms.1.")}
    save_file(kept, path, metadata)
    with pytest.raises(StyleFileError, match=r"norms of 'two' are missing"):
        load_network(path, "two")
