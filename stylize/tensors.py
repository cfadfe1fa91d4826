"""Pictures <-> tensors."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image) -> Tensor:
    """A picture in mode RGB -> (3, H, W) fp32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)


def to_mask(image: Image.Image) -> Tensor:
    """A picture in mode L -> (1, H, W) fp32 in [0, 1]."""
    return torch.from_numpy(np.array(image)).float().div(255)[None]


def to_picture(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] -> a picture in mode RGB, rounded to the nearest level."""
    levels = tensor.float().mul(255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().contiguous().numpy())
