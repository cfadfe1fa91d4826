"""Instance norm: the layer and its statistics, the operators below, and their backends."""

from stylize.network.instance_norm.layer import (
    EPS,
    Anchor,
    InstanceNorm2d,
    Moments,
    blend,
    combine,
    instance_norm,
    moments,
    normalize,
)

__all__ = [
    "EPS",
    "Anchor",
    "InstanceNorm2d",
    "Moments",
    "blend",
    "combine",
    "instance_norm",
    "moments",
    "normalize",
]
