"""One forward pass against optimising the pixels (Gatys et al. 2016): how many evaluations is it?

For every photo, at every size: the objective of the style's own training in fp32, once on what the
network makes of the photo, and along a run of L-BFGS on the pixels (history 20, strong Wolfe
conditions), from the photo and from noise. Counted are evaluations of objective and gradient until
the best one so far is not above the network's. Pixels are not held to [0, 1], which favours the
optimisation: the network's are.

    python bench/objective.py PHOTOS PICTURE STYLE [STYLE ...] [--sizes 256 512 1024] [--count 16]

PICTURE is the style picture, or several of them as the style was trained on. The first STYLE says
what the objective is; the others, such as its checkpoints, are held against the same curves. Each
run ends as soon as it is below all of them, and after --most evaluations.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from common import machine, record, some_photos
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from stylize import Style, load_style
from stylize.loss import LAYERS, Objective, weighted_sum
from stylize.tensors import to_tensor
from stylize.vgg import load_vgg16

HISTORY = 20
NOISE = 0.1  # standard deviation around grey
STARTS = ("photo", "noise")


class Enough(Exception):  # noqa: N818  no error
    """The run is below all that it is compared with, or has had its evaluations."""


def optimise(objective, photo: Tensor, start: str, below: float, most: int) -> list[float]:
    """The objective at each evaluation of an L-BFGS run on the pixels of one (1, 3, H, W) photo."""
    generator = torch.Generator().manual_seed(0)
    pixels = photo.clone()
    if start == "noise":
        pixels = 0.5 + NOISE * torch.randn(photo.shape, generator=generator)
    pixels.requires_grad_(True)
    curve: list[float] = []
    optimizer = torch.optim.LBFGS(
        [pixels],
        max_iter=most,
        max_eval=most,
        history_size=HISTORY,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = objective(pixels)
        loss.backward()
        pixels.grad = pixels.grad.contiguous()  # channels_last cannot be flattened as a view
        curve.append(loss.item())
        if len(curve) >= most or curve[-1] <= below:
            raise Enough
        return loss

    try:
        optimizer.step(evaluate)
    except Enough:
        pass
    return curve
