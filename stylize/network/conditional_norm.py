"""Conditional instance norm: one network, many styles (Dumoulin et al. 2017, section 2.2)."""

import copy
from collections.abc import Sequence
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
    """Styles that share their convolutions and have norms of their own."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """The styles of `networks`, all of one shape: each with its norms, and all with the mean of
        their convolutions (Wortsman et al. 2022, "Model soups")."""
        super().__init__()
        self.network = network = copy.deepcopy(networks[0])
        self._places = [
            place for place, part in network.named_modules() if isinstance(part, InstanceNorm2d)
        ]
        self.norms = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(each.get_submodule(place)) for place in self._places)
            for each in networks
        )
        of_each = [dict(each.named_parameters()) for each in networks]
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(torch.stack([weights[name] for weights in of_each]).mean(0))
        for place in self._places:
            network.get_submodule(place).requires_grad_(False)  # replaced in `forward`

    def forward(self, image: Tensor, style: int, **options: Any) -> Tensor:
        """The network with the norms of style number `style`, called with `options`."""
        norms = self.norm_weights(style)
        result: Tensor = functional_call(self.network, norms, (image,), options)
        return result

    def _norms_of(self, style: int) -> nn.ModuleList:
        return cast("nn.ModuleList", self.norms[style])

    def norm_weights(self, style: int) -> dict[str, Tensor]:
        """The norms of one style, by their names in the network."""
        return {
            f"{place}.{name}": parameter
            for place, norm in zip(self._places, self._norms_of(style), strict=True)
            for name, parameter in norm.named_parameters()
        }

    def base(self) -> dict[str, Tensor]:
        """Weights of a single network to start a new style from, with the mean of all norms."""
        of_each = [self.norm_weights(style) for style in range(len(self.norms))]
        means = {
            name: torch.stack([norms[name] for norms in of_each]).detach().mean(0)
            for name in of_each[0]
        }
        return self.network.state_dict() | means
