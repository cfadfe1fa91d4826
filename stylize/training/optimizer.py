"""The optimizer: Muon for the kernels of convolutions, Adam for all other parameters."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

ADAM_BETAS = (0.9, 0.999)
MOMENTUM = 0.95
ITERATIONS, QUINTIC = 5, (3.4445, -4.7750, 2.0315)  # of Newton and Schulz; Jordan et al. 2024


class Optimizer:
    """Muon (Jordan et al. 2024) steps along the orthogonalized momentum of a matrix.

    A kernel (O, I, H, W) counts as a matrix of O rows. Parameters without a gradient stay as they
    are. Names are those of the network's state dict.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        learned = {name: p for name, p in parameters if p.requires_grad}
        self._kernels = {name: p for name, p in learned.items() if p.ndim == 4}
        self._momenta = {name: torch.zeros_like(p) for name, p in self._kernels.items()}
        self._others = {name: p for name, p in learned.items() if p.ndim != 4}
        self._adam = torch.optim.Adam(self._others.values(), betas=ADAM_BETAS)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One step along the gradients, which are then cleared."""
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        for name, kernel in self._kernels.items():
            if kernel.grad is not None:
                momentum = self._momenta[name].lerp_(kernel.grad, 1 - MOMENTUM)
                ahead = kernel.grad.lerp(momentum, MOMENTUM)  # Nesterov's
                rows = ahead.flatten(1)
                length = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
                step = orthogonalized(rows).view_as(kernel)
                kernel.sub_(step, alpha=lr * length)
        self.zero_grad()

    def zero_grad(self) -> None:
        for parameter in (*self._kernels.values(), *self._others.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """The state between steps: `<kind>.<parameter>` -> tensor."""
        kept = {f"momentum.{name}": momentum for name, momentum in self._momenta.items()}
        for name, parameter in self._others.items():
            for what, value in self._adam.state.get(parameter, {}).items():
                kept[f"{what}.{name}"] = value
        return kept

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; raises KeyError or RuntimeError if it does not fit.

        Adam has no state for a parameter that has not had a step.
        """
        for name, momentum in self._momenta.items():
            momentum.copy_(state[f"momentum.{name}"])
        self._adam.state.clear()
        for name, parameter in self._others.items():
            found = {what: f"{what}.{name}" for what in ("step", "exp_avg", "exp_avg_sq")}
            if all(key in state for key in found.values()):
                # Adam counts its steps on the CPU.
                self._adam.state[parameter] = {
                    what: state[key].clone()
                    if what == "step"
                    else state[key].to(parameter, copy=True)
                    for what, key in found.items()
                }


def orthogonalized(matrix: Tensor) -> Tensor:
    """(R, C) -> (R, C) with almost the same singular vectors and singular values of about 1.

    Newton-Schulz iteration with a quintic that is steep at 0 (Jordan et al. 2024). It runs in fp32:
    in bf16, as in torch's own Muon, processes that share a batch drift apart.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
