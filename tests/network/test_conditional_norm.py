import pytest
import torch
from conftest import TINY

from stylize.network.architectures import build_network
from stylize.network.conditional_norm import ManyStyles, norm_names


@pytest.fixture
def many():
    torch.manual_seed(0)
    model = ManyStyles([build_network(TINY)] * 3)
    with torch.no_grad():
        for parameter in model.norms.parameters():
            parameter.normal_()
    return model.eval()


def norms_of(many, style):
    """In the order of the network's modules."""
    return [parameter for norm in many.norms[style] for parameter in norm.parameters()]


def test_a_style_is_the_network_with_its_norms(many):
    image = torch.rand(2, 3, 24, 40)
    for style in range(3):
        alone = build_network(TINY).eval()
        names = norm_names(alone)
        alone.load_state_dict(many.network.state_dict())
        alone.load_state_dict(dict(zip(names, norms_of(many, style), strict=True)), strict=False)
        assert torch.equal(many(image, style), alone(image))


def test_only_the_norms_of_its_style_learn(many):
    many(torch.rand(1, 3, 24, 24), 1).sum().backward()
    for style in range(3):
        learned = [p.grad is not None for p in norms_of(many, style)]
        assert learned == [style == 1] * len(learned)
    own = dict(many.network.named_parameters())
    assert all((own[name].grad is None) == (name in norm_names(many.network)) for name in own)


def test_a_base_has_the_mean_of_the_norms(many):
    base = many.base()
    build_network(TINY).load_state_dict(base)
    for index, name in enumerate(norm_names(many.network)):
        expected = torch.stack([norms_of(many, style)[index] for style in range(3)]).mean(0)
        assert torch.allclose(base[name], expected)
    assert torch.equal(base["up3.conv.weight"], many.network.up3.conv.weight)


def test_styles_start_with_the_mean_of_their_kernels_and_their_own_norms():
    networks = [build_network(TINY) for _ in range(2)]
    with torch.no_grad():
        for network in networks:
            for parameter in network.parameters():
                parameter.normal_()
    many, norms = ManyStyles(networks), norm_names(networks[0])
    for style, network in enumerate(networks):
        own = network.state_dict()
        assert all(torch.equal(each, own[name]) for name, each in many.norm_weights(style).items())
    one, other = (network.state_dict() for network in networks)
    for name, kernel in many.network.state_dict().items():
        if name not in norms:
            assert torch.allclose(kernel, (one[name] + other[name]) / 2)
