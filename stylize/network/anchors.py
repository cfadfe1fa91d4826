"""Anchors: norms pulled towards the statistics of reference photos."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylize.network.draft_revise import DraftReviseNet
from stylize.network.instance_norm.layer import Anchor, InstanceNorm2d, Moments, moments


@torch.inference_mode()
def hold(
    network: nn.Module,
    photos: Sequence[tuple[Tensor, Tensor | None]],
    weight: float,
    floor: float,
    **options: Any,
) -> None:
    """Pull the norms of `network` towards the mean statistics of `photos`: (1, 3, H, W) each, with
    a mask (1, 1, H, W) or None. `options` are what else the network will be told in use.

    The first norm is left out: it removes differences in exposure, which the statistics of other
    photos would not. So are the norms of a reviser: light is decided in the draft. Means and
    deviations are averaged, as `blend` does.
    """
    part = network.draft if isinstance(network, DraftReviseNet) else network
    norms = [module for module in part.modules() if isinstance(module, InstanceNorm2d)]
    for norm in norms:
        norm.anchor = None
    found: dict[nn.Module, list[Moments]] = {norm: [] for norm in norms}

    def collect(norm: nn.Module, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> None:
        found[norm].append(moments(inputs[0], options.get("mask")))

    hooks = [norm.register_forward_pre_hook(collect, with_kwargs=True) for norm in norms]
    try:
        for photo, mask in photos:
            network(photo, mask, **options)
    finally:
        for hook in hooks:
            hook.remove()
    for norm in norms[1:]:
        mean = torch.stack([mean for mean, _ in found[norm]]).mean(0)
        deviation = torch.stack([variance.sqrt() for _, variance in found[norm]]).mean(0)
        norm.anchor = Anchor((mean, deviation.square()), weight, floor)
