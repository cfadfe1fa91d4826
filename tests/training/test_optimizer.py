import pytest
import torch
from torch import nn

from stylize.training.optimizer import Optimizer


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.Conv2d(6, 3, 1))
    return net.to(memory_format=torch.channels_last)


def backward(net, seed):
    torch.manual_seed(seed)
    net(torch.randn(2, 4, 8, 8)).square().sum().backward()


def test_a_kernels_step_is_orthogonal_and_as_long_as_the_rate():
    """Muon's five iterations bring singular values into about [0.7, 1.2], whatever they were."""
    net = network()
    before = net[0].weight.detach().clone()
    optimizer = Optimizer(net.named_parameters())
    backward(net, 1)
    optimizer.step(0.01)
    step = (before - net[0].weight.detach()).flatten(1) / 0.01
    singular = torch.linalg.svdvals(step)
    assert 0.5 < singular.min() <= singular.max() < 1.5


def test_the_rest_takes_adams_first_step():
    """Which is the rate, against the sign of the gradient."""
    net = network()
    before = net[1].bias.detach().clone()
    optimizer = Optimizer(net.named_parameters())
    backward(net, 1)
    sign = net[1].bias.grad.sign()
    optimizer.step(0.01)
    assert torch.allclose(before - net[1].bias, 0.01 * sign, atol=1e-5)


def test_gradients_are_forgotten_and_what_has_none_stays():
    net = network()
    optimizer = Optimizer(net.named_parameters())
    backward(net, 1)
    net[0].weight.grad = net[1].weight.grad = None
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer.step(0.01)
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"0.bias", "1.bias", "2.weight", "2.bias"}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_frozen_parameters_are_not_learned():
    net = network()
    net[0].weight.requires_grad_(False)
    before = net[0].weight.detach().clone()
    optimizer = Optimizer(net.named_parameters())
    backward(net, 1)
    optimizer.step(0.01)
    assert torch.equal(net[0].weight, before)
    assert not any("0.weight" in key for key in optimizer.state())


@pytest.mark.parametrize("kernels", [True, False])
def test_it_goes_on_from_its_state_bit_for_bit(kernels):
    net, again = network(), network()
    if not kernels:
        for part in (net, again):
            part[0].weight.requires_grad_(False)
            part[2].weight.requires_grad_(False)
    optimizer, other = Optimizer(net.named_parameters()), Optimizer(again.named_parameters())
    for seed in range(3):
        backward(net, seed)
        optimizer.step(0.01)
    again.load_state_dict(net.state_dict())
    other.load({key: value.clone() for key, value in optimizer.state().items()})
    for seed in range(3, 6):
        for part, steps in ((net, optimizer), (again, other)):
            backward(part, seed)
            steps.step(0.01)
    pairs = zip(net.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)
