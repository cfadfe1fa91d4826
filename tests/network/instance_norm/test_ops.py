"""The operators as torch sees them, and the choice of what computes them."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import DEVICE, TINY, forget_the_choice
from torch import nn

from stylize.errors import DeviceError, UsageError
from stylize.network.architectures import build_network
from stylize.network.instance_norm import ops
from stylize.network.instance_norm.layer import InstanceNorm2d


@pytest.fixture(params=["torch", "triton"])
def backend(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton")
    monkeypatch.setenv("STYLIZE_NORM", request.param)
    forget_the_choice()
    yield request.param
    forget_the_choice()


class Layers(nn.Module):
    """The layer in all its uses."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = InstanceNorm2d(4), InstanceNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x, relu=True)
        return self.norm2(y, x, relu=True) + self.norm1(x[:, :, 1:], x[:1, :, 1:]).mean()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_opcheck(layout):
    """torch's own test: schema, fake tensors, autograd registration, ahead-of-time dispatch."""

    def image(count: int = 2) -> torch.Tensor:
        return torch.randn(count, 3, 5, 4, device=DEVICE).contiguous(memory_format=layout)

    def vector(*size: int) -> torch.Tensor:
        return torch.rand(*size, device=DEVICE)

    mask = torch.rand(2, 1, 5, 4, device=DEVICE)
    x, weight, bias = image().requires_grad_(), vector(3).requires_grad_(), vector(3)
    for residual in (None, image().requires_grad_(), image(1)):
        for relu in (False, True):
            arguments = (x, weight, bias, residual, 1e-5, relu)
            torch.library.opcheck(ops.instance_norm, arguments)
    plain = image()
    for y, residual in ((None, True), (image(), False), (image(), True)):
        arguments = (plain, image(), y, *(vector(3) for _ in range(2)))
        arguments = (*arguments, vector(2, 3), vector(2, 3), residual)
        torch.library.opcheck(ops.instance_norm_backward, arguments)
    torch.library.opcheck(ops.moments, (plain, None))
    torch.library.opcheck(ops.moments, (plain, mask))
    arguments = (plain, vector(2, 3), vector(2, 3), vector(3), vector(3), image(1), 1e-5, True)
    torch.library.opcheck(ops.normalize, arguments)


@pytest.mark.usefixtures("backend")
def test_compile_without_graph_breaks():
    """Forward and backward; aot_eager traces everything and needs no compiler on the machine."""
    layers = Layers().to(DEVICE)
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 4, 6, 5, device=DEVICE).contiguous(memory_format=torch.channels_last)
    results = []
    for function in (layers, compiled):
        inputs = x.clone().requires_grad_()
        y = function(inputs)
        gradients = torch.autograd.grad(y.square().sum(), (inputs, *layers.parameters()))
        results.append((y.detach(), *gradients))
    for eager, traced in zip(*results, strict=True):
        assert torch.allclose(eager, traced, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(layers(x), compiled(x), atol=1e-6)


@pytest.mark.usefixtures("backend")
def test_export_of_a_network():
    torch.manual_seed(0)
    network = build_network(TINY).to(DEVICE).eval()
    image = torch.rand(1, 3, 24, 24, device=DEVICE)
    program = torch.export.export(network, (image,))
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("stylize.instance_norm.default") == 6
    found = network(image)  # nothing of the program stays behind in the network
    assert torch.allclose(program.module()(image), found, atol=1e-5)


def choice(value: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    monkeypatch.setenv("STYLIZE_NORM", value)
    forget_the_choice()
    try:
        return ops.backend(*arguments)
    finally:
        forget_the_choice()


def test_the_choice(monkeypatch):
    assert choice("auto", monkeypatch, "cpu") == "torch"
    assert choice("torch", monkeypatch, "cuda") == "torch"
    with pytest.raises(UsageError, match="'fast'"):
        choice("fast", monkeypatch, "cpu")


def test_a_forced_backend_that_cannot_run_is_an_error(monkeypatch):
    pytest.importorskip("triton")
    with pytest.raises(DeviceError, match="fp64"):
        choice("triton", monkeypatch, "cuda", torch.float64)
    with pytest.raises(DeviceError, match="mps"):
        choice("triton", monkeypatch, "mps")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["STYLIZE_NORM"] = "triton"
    code = "from stylize import load_style; load_style('woodblock', device='cpu')"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "they need a GPU" in run.stderr.splitlines()[-1]


def test_auto_takes_torch_where_there_is_no_triton(monkeypatch):
    monkeypatch.setattr(ops, "find_spec", lambda name: None)
    assert choice("auto", monkeypatch, "cuda") == "torch"
    with pytest.raises(DeviceError, match="not installed"):
        choice("triton", monkeypatch, "cuda")
