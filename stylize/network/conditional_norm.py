"""Conditional instance norm: one network, many styles (Dumoulin et al. 2017, section 2.2)."""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stylize.network.instance_norm.layer import InstanceNorm2d


def norm_names(network: nn.Module) -> list[str]:
    """Names of the scales and shifts of a network's norms in its state dict."""
    return [
        f"{place}.{name}"
        for place, module in network.named_modules()
        if isinstance(module, InstanceNorm2d)
        for name, _ in module.named_parameters()
    ]


class ManyStyles(nn.Module):
    """Styles that share the convolutions of `network` and have norms of their own."""

    def __init__(self, network: nn.Module, styles: int) -> None:
        super().__init__()
        self.network = network
        self._places = [
            place for place, part in network.named_modules() if isinstance(part, InstanceNorm2d)
        ]
        norms = [network.get_submodule(place) for place in self._places]
        self.norms = nn.ModuleList(nn.ModuleList(copy.deepcopy(norms)) for _ in range(styles))
        for norm in norms:
            norm.requires_grad_(False)  # replaced in `forward`

    def forward(self, image: Tensor, style: int, **options: Any) -> Tensor:
        """The network with the norms of style number `style`, called with `options`."""
        norms: dict[str, Tensor] = {
            f"{place}.{name}": parameter
            for place, norm in zip(self._places, self._norms_of(style), strict=True)
            for name, parameter in norm.named_parameters()
        }
        result: Tensor = functional_call(self.network, norms, (image,), options)
        return result

    def _norms_of(self, style: int) -> nn.ModuleList:
        return cast("nn.ModuleList", self.norms[style])

    def base(self) -> dict[str, Tensor]:
        """Weights of a single network to start a new style from, with the mean of all norms."""
        weights = dict(self.network.state_dict())
        for index, place in enumerate(self._places):
            for name in ("weight", "bias"):
                of_each: list[Tensor] = [
                    self._norms_of(style)[index].get_parameter(name)
                    for style in range(len(self.norms))
                ]
                weights[f"{place}.{name}"] = torch.stack(of_each).detach().mean(0)
        return weights
