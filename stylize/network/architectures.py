"""The architectures: image -> image, one forward pass (Johnson et al. 2016).

Each takes and returns (N, 3, H, W) float tensors, sRGB in [0, 1], any H, W >= 1; padding happens
inside. Every photo is normalized by itself, so a batch of N equals N singles. With a mask, (N, 1,
H, W) and >= 0, every norm weights its statistics; a mask of ones is as none. With seeds, (N,)
integers, as in training, each image gets its own noise. `values_per_pixel` is the most values that
the network holds for each pixel of a photo: in one pass, in strips.
"""

import torch
from torch import nn

from stylize.config import NetworkConfig
from stylize.network.device import Compute
from stylize.network.draft_revise import DraftReviseNet
from stylize.network.johnson import JohnsonNet
from stylize.network.transformer import TransformerNet


def build_network(config: NetworkConfig) -> nn.Module:
    """A network of the given shape, freshly initialised from torch's random state."""
    kinds = {"draft-revise": DraftReviseNet, "quarter": TransformerNet}
    if config.architecture == "johnson":
        return JohnsonNet()
    return kinds[config.architecture](config)


def ready(network: nn.Module, compute: Compute) -> nn.Module:
    """The network for use: on its device, in its precision.

    Most of what rounding to bf16 changes in a picture arises in the head of the draft, so that
    stays in fp32.
    """
    network = network.to(compute.device, compute.dtype).to(memory_format=torch.channels_last)
    if isinstance(network, DraftReviseNet):
        for part in network.draft.head:
            part.float()
    return network.eval()
