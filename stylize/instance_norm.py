"""Instance normalization (Ulyanov et al. 2016, arXiv:1607.08022, section 2)."""

import torch
from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """Standardize every channel of every image by its own mean and (biased) variance.

    A drop-in `torch.nn.InstanceNorm2d(channels, affine=True)`: same parameters, interchangeable
    state dicts. Input and output are (N, C, H, W) with any H, W >= 1, in the same memory layout.

    Computed as group norm with one channel a group. That is the same function, but unlike
    `aten::instance_norm` it works in channels_last as well, where the other copies the tensor to
    NCHW and back. A plane of a single pixel has variance 0 and comes out as `bias`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
