"""Checkpoints of PyTorch's `fast_neural_style` example -> style files.

A checkpoint is a pickle, which can ask for any code to be run, and for any amount of memory. So the
file is looked through first, without running it: only what weights are made of may be in it. Then
torch reads it with `weights_only`, which refuses all else by itself.
"""

import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from stylize.assets import LOCAL_STYLES, SUFFIX, check_name
from stylize.config import Card, NetworkConfig, TrainConfig
from stylize.errors import StyleFileError, UsageError
from stylize.files import digest, make_folder, open_file, refuse_overwriting
from stylize.network.architectures import build_network
from stylize.network.style_file import save_style
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.training.verify import preview

MOST_BYTES = 1 << 28  # of a checkpoint, packed or not; the example's have 7 million
MOST_OPERATIONS = 100_000  # of its pickle; the example's have about 1,500
LEGACY_PICKLES = 5  # before torch 1.6: magic number, version, machine, content, names of storages
ZIP = b"PK\x03\x04"
# Module and name of all that weights are made of.
_ALLOWED = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
    }
    | {f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long")}
)
_NAMING = ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")  # operations that name code
_OBSOLETE = ("running_mean", "running_var", "num_batches_tracked")  # of norms before torch 0.4
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # names under which trainings keep weights
_PARALLEL = "module."  # what `DataParallel` puts before every name
SIZE = 256  # pixels: side of the example's training crops, by default
NOT_KNOWN = "not known: see where the checkpoint came from"
HINT = "stylize imports state dicts of PyTorch's fast_neural_style example"


def import_model(
    path: Path,
    name: str,
    card: Card | None = None,
    output: Path = LOCAL_STYLES,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the style file `output`/`name`.safetensors for the checkpoint `path`; returns its path.

    Raises:
        StyleFileError: `path` is missing, too large, damaged, or holds anything but the weights of
            that network. The message names the file and the key.
        UsageError: `name` cannot name a style, the style exists and `overwrite` is false, or it is
            `path` itself.
    """
    target = output / (check_name(name) + SUFFIX)
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is there already", "choose another --name, or --overwrite it")
    refuse_overwriting([target], [path])
    network = NetworkConfig(architecture="johnson")
    weights = read_weights(path, network)
    card = card or Card()
    picture = StylePicture(card.title, card.author, card.year, card.licence, sha256="")
    header = StyleHeader(
        name,
        network,
        TrainConfig(base="", size=SIZE),
        [picture],
        base_sha256=digest(path),
        licence=NOT_KNOWN,
    )
    painted = preview(weights, header, torch.device("cpu"))
    make_folder(output)
    save_style(target, weights, replace(header, preview=painted))
    return target


def read_weights(path: Path, network: NetworkConfig) -> dict[str, Tensor]:
    """The weights of that network in the checkpoint `path`: fp32, on the CPU.

    Raises StyleFileError as `import_model`.
    """
    content = _read(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    named = {str(key).removeprefix(_PARALLEL): value for key, value in content.items()}
    found = {key: value for key, value in named.items() if not key.endswith(_OBSOLETE)}
    with torch.device("meta"):
        wanted = build_network(network).state_dict()
    for key in sorted(set(wanted) | set(found)):
        value = found.get(key)
        if key not in wanted:
            raise StyleFileError(f"{path}: {key!r} does not belong to that network", HINT)
        if not isinstance(value, Tensor):
            raise StyleFileError(f"{path}: the weight {key!r} is missing", HINT)
        if value.shape != wanted[key].shape:
            raise StyleFileError(
                f"{path}: weight {key!r} is {tuple(value.shape)}, not {tuple(wanted[key].shape)}",
                HINT,
            )
        if not value.is_floating_point() or not value.isfinite().all():
            raise StyleFileError(f"{path}: weight {key!r} is not finite", HINT)
    return {key: found[key].detach().float() for key in wanted}


def _read(path: Path) -> Mapping[Any, Any]:
    """What the checkpoint `path` holds by name; nothing in it is run."""
    try:
        with open_file(path) as file:
            if path.stat().st_size > MOST_BYTES:
                raise StyleFileError(f"{path}: too large for a checkpoint", HINT)
            for pickle in _pickles(file):
                _refuse_code(pickle, path)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StyleFileError(f"{path}: {error.strerror or 'cannot be read'}", HINT) from error
    except StyleFileError:
        raise
    except Exception as error:  # torch and zipfile raise all kinds on damaged files
        raise StyleFileError(f"{path}: not a whole checkpoint of PyTorch", HINT) from error
    if not isinstance(content, Mapping):
        raise StyleFileError(f"{path}: holds no weights by name", HINT)
    return content


def _pickles(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Each pickle in a checkpoint, to be read from where it begins. Raises ValueError for an
    archive that grows beyond MOST_BYTES when it is unpacked."""
    if file.read(len(ZIP)) != ZIP:
        file.seek(0)
        for _ in range(LEGACY_PICKLES):
            yield file
        return
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise ValueError("too large")
        for name in archive.namelist():
            if name.endswith(".pkl"):
                with archive.open(name) as packed:
                    yield packed


def _refuse_code(pickle: IO[bytes], path: Path) -> None:
    """Raises StyleFileError if a pickle names anything but parts of tensors. Runs nothing of it."""
    operations = pickletools.genops(pickle)
    for number, (operation, argument, _) in enumerate(operations):
        if number == MOST_OPERATIONS:
            raise StyleFileError(f"{path}: too large for a checkpoint", HINT)
        if operation.name in _NAMING and argument not in _ALLOWED:
            named = str(argument or "code")
            raise StyleFileError(
                f"{path}: refused, as it asks for {named[:80]!r}; nothing in it was run",
                "save only the weights: torch.save(model.state_dict(), ...)",
            )
