"""Style file <-> (network, header).

A style is one safetensors file: weights and one JSON document. Loading runs no code from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from stylize.assets import find_named_base
from stylize.errors import StyleFileError
from stylize.files import digest, write_file
from stylize.network.architectures import build_network
from stylize.network.conditional_norm import norm_names
from stylize.network.style_header import METADATA_KEY, StyleHeader, read_header

TARGET = "target."  # prefix of tensors that are no weights: what drafts are refined towards
NORMS = "norms."  # prefix of the norms of each style in a set, before their number in the set


def save_style(
    path: Path,
    weights: Mapping[str, Tensor],
    header: StyleHeader,
    targets: Mapping[str, Tensor] | None = None,
    scratch: Path | None = None,
) -> None:
    """Write a style file in one step, with weights in half precision, and `targets` as they are.

    Half precision changes the pictures of shipped styles by at most one grey level. A norms-only
    style leaves out all other weights, which are in its base. Until it is complete, the file lies
    in `scratch`, a folder on the same file system. Raises StyleFileError if writing fails.
    """
    names: Iterable[str] = weights
    if header.training.only_norm:
        with torch.device("meta"):
            names = norm_names(build_network(header.network))
    stored = {name: halved(weights[name]) for name in names}
    stored |= {TARGET + name: tensor for name, tensor in (targets or {}).items()}
    write_tensors(path, stored, {METADATA_KEY: header.to_json()}, scratch)


def read_targets(path: Path) -> dict[str, Tensor]:
    """The `targets` of the style file `path`; empty if it has none.

    Raises StyleFileError: the file cannot be read.
    """
    return {
        name.removeprefix(TARGET): tensor
        for name, tensor in read_tensors(path).items()
        if name.startswith(TARGET)
    }


def replace_header(path: Path, header: StyleHeader, scratch: Path | None = None) -> None:
    """Give the style file `path` another header and keep its weights."""
    write_tensors(path, read_tensors(path), {METADATA_KEY: header.to_json()}, scratch)


def halved(weight: Tensor) -> Tensor:
    """The weight as a style file stores it."""
    half = weight.half()
    return half if half.isfinite().all() else weight  # beyond 65,504


def of_set(
    shared: Mapping[str, Tensor], norms: Sequence[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The weights of a set, as `save_style` takes them: shared ones, and norms of each style."""
    return dict(shared) | {
        f"{NORMS}{number}.{name}": tensor
        for number, each in enumerate(norms)
        for name, tensor in each.items()
    }


def of_member(weights: Mapping[str, Tensor], number: int | None) -> dict[str, Tensor]:
    """The weights of a single network: of a set, with the norms of the style of that number, or
    with the mean of all."""
    single = {name: tensor for name, tensor in weights.items() if not name.startswith(NORMS)}
    prefix = f"{NORMS}{number}."
    own = {name: tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return single | {name.removeprefix(prefix): tensor for name, tensor in own.items()}


def load_network(path: Path, member: str = "") -> tuple[nn.Module, StyleHeader]:
    """The network in the style file `path` (on the CPU, in fp32 and eval mode) and its header; of a
    set, with the norms of one `member`, or with their mean.

    Raises:
        StyleFileError: the file is missing, damaged or foreign, or its weights do not fit the
            network in its header. The message names the file and the key.
    """
    whole = read_header(path)
    header = whole.single(member, path) if member else whole
    tensors = read_tensors(path)
    kept = {name: value for name, value in tensors.items() if not name.startswith(TARGET)}
    number = whole.members.index(member) if member else None
    if member and not any(name.startswith(f"{NORMS}{number}.") for name in kept):
        raise StyleFileError(f"{path}: the norms of {member!r} are missing")
    weights = of_member(kept, number)
    if header.training.only_norm:
        weights = load_base(header, path) | weights
    # On the meta device, a header that lies about sizes costs no memory.
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
    """The weights that the style in `path` started from.

    Raises StyleFileError: the base is missing, or has changed since.
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


def read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StyleFileError(f"{path}: cannot be read ({error})") from error


def write_tensors(
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
