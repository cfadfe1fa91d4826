import pytest
import torch
import torchvision
from safetensors.torch import load_file

from stylize.assets import VGG16, shipped
from stylize.errors import StyleFileError, UsageError
from stylize.objective import vgg
from stylize.objective.vgg import load_vgg16

# Where each ReLU stands in torchvision's `vgg16().features`.
PLACES = {"relu1_1": 1, "relu1_2": 3, "relu2_2": 8, "relu3_1": 11, "relu3_3": 15, "relu4_3": 22}


@pytest.fixture(scope="module")
def oracle() -> torch.nn.Sequential:
    """torchvision's own VGG-16 up to relu4_3, with the shipped weights."""
    plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512]
    features = torchvision.models.vgg.make_layers(plan)
    weights = load_file(shipped("weights") / VGG16)
    features.load_state_dict({key: value.float() for key, value in weights.items()})
    return features.eval().requires_grad_(False)


@pytest.mark.parametrize("layer", PLACES)
def test_layers_against_torchvision(oracle, layer):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 40, 56)
    pixels = image * 255 - torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    expected = oracle[: PLACES[layer] + 1](pixels)
    found = load_vgg16("shipped", [layer])(image, [layer])
    assert list(found) == [layer]
    assert torch.allclose(found[layer], expected, rtol=1e-4, atol=1e-3 * expected.abs().max())


def test_the_network_is_cut_after_the_deepest_layer():
    network = load_vgg16("shipped", ["relu1_2", "relu2_2"])
    assert network.layers[-1] == "relu2_2"
    assert set(network(torch.rand(1, 3, 16, 16), ["relu1_2", "relu2_2"])) == {"relu1_2", "relu2_2"}


def test_weights_are_frozen_and_gradients_reach_the_image():
    network = load_vgg16("shipped", ["relu2_1"])
    assert not any(parameter.requires_grad for parameter in network.parameters())
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(image, ["relu2_1"])["relu2_1"].sum().backward()
    assert image.grad.abs().max() > 0


def test_the_weights_know_edges_from_flat_ground():
    """First-layer filters of a trained network answer to an edge more than to a flat picture."""
    network = load_vgg16("shipped", ["relu1_1"])
    flat = torch.full((1, 3, 16, 16), 0.5)
    edge = flat.clone()
    edge[..., 8:] = 1
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    of_edge, of_flat = (
        network(image, ["relu1_1"])["relu1_1"][inner].std(dim=(2, 3)).sum()
        for image in (edge, flat)
    )
    assert of_edge > 100 * (of_flat + 1e-6)


def test_an_unknown_layer_is_named():
    with pytest.raises(UsageError, match="relu9_9"):
        load_vgg16("shipped", ["relu9_9"])


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(vgg, "shipped", lambda _: tmp_path)
    with pytest.raises(StyleFileError, match=r"vgg16-relu4_3\.safetensors"):
        load_vgg16("shipped", ["relu1_1"])


def test_torchvision_weights_without_a_network(monkeypatch, tmp_path):
    """With nothing in the cache and no way out, the error says what to do."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(UsageError, match="cannot download") as caught:
        load_vgg16("torchvision", ["relu1_1"])
    assert "--vgg shipped" in caught.value.hint
