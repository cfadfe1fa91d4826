"""Style file <-> (network, header), and the state of a training that is to go on later.

Both are safetensors files: weights and one JSON document. Loading runs no code from the file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from stylize.assets import find_named_base
from stylize.errors import StyleFileError
from stylize.files import digest, write_file
from stylize.header import METADATA_KEY, StyleHeader, read_header, read_metadata
from stylize.many_styles import norm_names
from stylize.network import build_network

RUN_KEY = "stylize_run"


def save_style(
    path: Path, weights: Mapping[str, Tensor], header: StyleHeader, scratch: Path | None = None
) -> None:
    """Write a style file in one step, weights in half precision; raises StyleFileError if not.

    That changes what shipped styles paint by at most one grey level. Of a style of norms only, no
    other weights are written: these are in its base. Until the file is whole it lies in `scratch`,
    a folder on the same file system.
    """
    names: Iterable[str] = weights
    if header.training.only_norm:
        with torch.device("meta"):
            names = norm_names(build_network(header.network))
    stored = {name: halved(weights[name]) for name in names}
    _write(path, stored, {METADATA_KEY: header.to_json()}, scratch)


def replace_header(path: Path, header: StyleHeader, scratch: Path | None = None) -> None:
    """Let the style file `path` say something else of the same weights; else as `save_style`."""
    _write(path, _read(path), {METADATA_KEY: header.to_json()}, scratch)


def halved(weight: Tensor) -> Tensor:
    """As it is written into a style file."""
    half = weight.half()
    return half if half.isfinite().all() else weight  # beyond 65,504


def load_network(path: Path) -> tuple[nn.Module, StyleHeader]:
    """The network in the style file `path`, on the CPU, in fp32 and eval mode; and its header.

    Raises:
        StyleFileError: the file is missing, damaged or foreign, or its weights do not fit the
            network that its header describes; it names the file and the key.
    """
    header = read_header(path)
    weights = _read(path)
    if header.training.only_norm:
        weights = load_base(header, path) | weights
    # Built without memory: a header that lies about its size costs nothing.
    with torch.device("meta"):
        network = build_network(header.network)
    wanted = network.state_dict()
    for key in sorted(set(wanted) | set(weights)):
        if key not in weights:
            raise StyleFileError(f"{path}: weight {key!r} is missing")
        if key not in wanted:
            raise StyleFileError(f"{path}: weight {key!r} does not belong to the network")
        if weights[key].shape != wanted[key].shape:
            raise StyleFileError(
                f"{path}: weight {key!r} is {tuple(weights[key].shape)}, "
                f"not {tuple(wanted[key].shape)}"
            )
        weights[key] = weights[key].float()
        if not weights[key].isfinite().all():
            raise StyleFileError(f"{path}: weight {key!r} is not finite")
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False).eval(), header


def load_base(header: StyleHeader, path: Path) -> dict[str, Tensor]:
    """The weights that the style in `path` was started from.

    Raises:
        StyleFileError: there is no such base here, or it is another one than at that time.
    """
    try:
        base = find_named_base(header.training.base)
        same = digest(base) == header.base_sha256
    except (StyleFileError, OSError) as error:
        raise StyleFileError(f"{path}: needs the base it was made on: {error}") from error
    if not same or read_header(base).training.only_norm:
        raise StyleFileError(
            f"{path}: needs the base {header.training.base!r} as it was, and {base} is another",
            "bring that file back, or train the style again",
        )
    return load_network(base)[0].state_dict()


@dataclass(frozen=True)
class RunState:
    """All that a training needs to go on: `step` of `end` steps are done.

    `photos` is a fingerprint of the content photos; `caution` multiplies the learning rate.
    `tensors` are the network's weights, their moving average and what the optimizer keeps. There is
    no random state, and no place in the data: every random choice is a function of the seed and the
    step.
    """

    step: int
    end: int
    caution: float
    photos: str
    header: StyleHeader
    tensors: dict[str, Tensor]


def save_run(path: Path, state: RunState) -> None:
    """Write the state of a training in one step; raises StyleFileError if it cannot."""
    kept = ("step", "end", "caution", "photos")
    run = json.dumps({name: getattr(state, name) for name in kept})
    _write(path, state.tensors, {METADATA_KEY: state.header.to_json(), RUN_KEY: run})


def load_run(path: Path) -> RunState:
    """Read what `save_run` wrote; raises StyleFileError if it is missing or damaged."""
    header = read_header(path)
    try:
        run = json.loads(read_metadata(path, RUN_KEY))
        return RunState(
            int(run["step"]),
            int(run["end"]),
            float(run["caution"]),
            str(run["photos"]),
            header,
            _read(path),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise StyleFileError(f"{path}: not a training checkpoint ({error})") from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StyleFileError(f"{path}: cannot be read ({error})") from error


def _write(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: dict[str, str],
    scratch: Path | None = None,
) -> None:
    whole = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    try:
        write_file(path, save(whole, metadata), scratch)
    except OSError as error:
        raise StyleFileError(f"{path}: cannot be written ({error.strerror})") from error
