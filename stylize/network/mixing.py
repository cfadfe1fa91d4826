"""One network between several styles: their weights, interpolated.

Networks that were trained from one start can be averaged (Wortsman et al. 2022, "Model soups"); of
styles that differ in their norms alone, this interpolates the norms (Dumoulin et al. 2017, section
3.4). The middle of unrelated networks paints nothing.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylize.errors import StyleFileError
from stylize.network.mixture import Mixture, mix_headers
from stylize.network.style_file import load_network
from stylize.network.style_header import StyleHeader

# Between the kernels of shipped styles it is 0.92 to 0.95, between unrelated ones 0.00.
LEAST_KINSHIP = 0.5


def load_mixture(mixture: Mixture) -> tuple[nn.Module, StyleHeader]:
    """The network of a style, or of a mix (on the CPU, in fp32 and eval mode), and its header.

    Raises StyleFileError: as `load_network`, or the styles have different shapes or no common
        start.
    """
    header = mix_headers(mixture)
    for part in mixture.parts:
        if not part.member and (names := part.header().members):
            hint = f"choose one, such as {part}:{names[0]}"
            raise StyleFileError(f"{part} is a set of {len(names)} styles", hint)
    base = mixture.parts[0]
    network, _ = load_network(base.path, base.member)
    if len(mixture.parts) == 1:
        return network, header
    first = network.state_dict()
    mixed = {name: weight.clone() for name, weight in first.items()}
    for part, share in zip(mixture.parts[1:], mixture.shares[1:], strict=True):
        weights = load_network(part.path, part.member)[0].state_dict()
        if kinship(first, weights) < LEAST_KINSHIP:
            raise StyleFileError(
                f"{part} and {base} cannot be mixed: they were not trained from one start",
                f"train one from the other: stylize train --from {part.path}",
            )
        for name, weight in first.items():  # exact where both are the same
            mixed[name] += share * (weights[name] - weight)
    network.load_state_dict(mixed)
    return network, header


def kinship(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The cosine between the kernels of two networks of one shape: 1 if they are the same, 0 if
    they are unrelated."""
    ours, theirs = (
        torch.cat([weight.flatten() for weight in weights.values() if weight.ndim > 1]).double()
        for weights in (one, other)
    )
    return float(F.cosine_similarity(ours, theirs, dim=0))
