"""Refining a draft: optimisation of its pixels (Gatys et al. 2016)."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stylize.config import TrainConfig
from stylize.objective.losses import LAYERS, Objective, weighted_sum
from stylize.objective.style_targets import StyleTargets
from stylize.objective.vgg import load_vgg16

HISTORY = 20  # of L-BFGS


class Refiner:
    """Refines drafts towards the `StyleTargets` of a style file, with its losses and weights."""

    def __init__(
        self, kept: Mapping[str, Tensor], path: Path, config: TrainConfig, device: torch.device
    ) -> None:
        """Raises StyleFileError: `kept`, the targets in the file `path`, are damaged."""
        with torch.inference_mode(False):  # whatever the caller is in: gradients pass through VGG
            targets = StyleTargets.from_tensors(kept, path, device)
            self._objective = Objective(load_vgg16("shipped", LAYERS).to(device), targets)
        self._config = config

    def __call__(self, drafts: Tensor, photos: Tensor, steps: int) -> Tensor:
        """(N, 3, H, W) drafts of photos of the same size -> refined ones."""
        found = [
            refine(draft[None], photo[None], self._objective, self._config, steps)
            for draft, photo in zip(drafts, photos, strict=True)
        ]
        return torch.cat(found)


def refine(
    draft: Tensor, photo: Tensor, objective: Objective, config: TrainConfig, steps: int
) -> Tensor:
    """The draft (1, 3, H, W) of a photo of the same size after `steps` steps of L-BFGS.

    `config` weights the losses, as in training. The result is never worse than the draft.
    """
    with torch.inference_mode(False), torch.enable_grad():
        photo = photo.clone()
        pixels = draft.clone().requires_grad_()
        content = objective.content_target(photo)
        best, found = torch.inf, pixels.detach().clone()
        optimizer = torch.optim.LBFGS(
            [pixels],
            max_iter=steps,
            history_size=HISTORY,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def evaluate() -> Tensor:
            nonlocal best, found
            optimizer.zero_grad()
            loss = weighted_sum(objective(pixels, photo, content), config)
            loss.backward()  # type: ignore[no-untyped-call]
            assert pixels.grad is not None  # noqa: S101 for the type checker
            pixels.grad = pixels.grad.contiguous()  # channels_last cannot be flattened as a view
            if loss.item() < best:
                best, found = loss.item(), pixels.detach().clone()
            return loss

        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    return found.clamp(0, 1)
