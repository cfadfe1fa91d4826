"""A style's network -> programs: graphs of plain operators, for any batch, height and width."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from stylize.network.draft_revise import DraftReviseNet, revised, standardized
from stylize.network.instance_norm import ops  # noqa: F401 registers the operators
from stylize.network.instance_norm.torch_backend import moments_definition, normalize_definition

# Of the inputs that a program is traced with: batch, height, width. No two are equal, and no size
# is a multiple of what networks pad to, so that nothing is taken for a constant.
TRACED = (2, 50, 67)
GROWTH = 2  # of a painting, up to the photo it is traced with


@dataclass(frozen=True)
class Part:
    """A network that takes photos, or photos and paintings of them, to paintings: (N, 3, H, W),
    sRGB in [0, 1]. `name` is empty for a whole network."""

    name: str
    network: nn.Module
    inputs: tuple[str, ...]

    def example(self, batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        """Random inputs; a painting has about half the photo's size."""
        sizes = {"photo": (height, width), "painting": (height // GROWTH, width // GROWTH)}
        return tuple(torch.rand(batch, 3, *sizes[name]) for name in self.inputs)


class _Draft(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor) -> Tensor:
        result: Tensor = self.network(standardized(photo, None))
        return result


class _Revision(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, photo: Tensor, painting: Tensor) -> Tensor:
        return revised(self.network, painting, photo)


def parts(network: nn.Module) -> list[Part]:
    """The network as one part, or its draft, reviser and finisher: how often a photo is finished
    depends on its size, which a graph without loops cannot express."""
    if not isinstance(network, DraftReviseNet):
        return [Part("", network, ("photo",))]
    return [
        Part("draft", _Draft(network.draft).eval(), ("photo",)),
        Part("reviser", _Revision(network.reviser).eval(), ("photo", "painting")),
        Part("finisher", _Revision(network.finisher).eval(), ("photo", "painting")),
    ]


def trace(part: Part) -> ExportedProgram:
    """The program of a part."""
    example = part.example(*TRACED)
    with torch.no_grad():
        part.network(*example)  # makes what is made once; traced, it would not be a tensor
    names = {"photo": ("batch", "height", "width"), "painting": ("batch", "h", "w")}
    shapes = tuple(
        {axis: Dim(name) for axis, name in zip((0, 2, 3), names[each], strict=True)}
        for each in part.inputs
    )
    program: ExportedProgram = torch.export.export(
        part.network,
        example,
        dynamic_shapes=shapes,
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=True,
    ).run_decompositions(_PLAIN)
    _forget_the_example(program)
    return program


def _forget_the_example(program: ExportedProgram) -> None:
    """Remove assertions that fix how the tensors of the example lay in memory. They would refuse
    sizes that work, such as multiples of 8."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target in _ASSERTIONS:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _instance_norm(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    mean, var = moments_definition(x)
    y = normalize_definition(x, mean, var, weight, bias, residual, eps, relu)
    return y, mean, (var + eps).rsqrt()


_ASSERTIONS = (
    torch.ops.aten._assert_scalar.default,
    torch.ops.aten._assert_tensor_metadata.default,
)
# What replaces this package's own operators.
_PLAIN = {
    torch.ops.stylize.instance_norm.default: _instance_norm,
    torch.ops.stylize.moments.default: moments_definition,
    torch.ops.stylize.normalize.default: normalize_definition,
}
