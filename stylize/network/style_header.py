"""The header of a style file: the JSON document that rebuilds and explains it. Needs no torch.

It lies in the metadata of the safetensors file. Nothing in it is ever run or used as a path.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from stylize import __version__
from stylize.config import DRAFT_REVISE, NetworkConfig, TrainConfig
from stylize.errors import StyleFileError, UsageError, suggest, visible
from stylize.files import open_file
from stylize.settings import LARGEST, Settings, option

FORMAT_VERSION = 3  # 2: no blur in the middle of the head, and drafts of photos as they are
METADATA_KEY = "stylize"
FIGURES = (
    "objective",
    "lighting spread",
    "seconds per megapixel",
)  # measured properties that a style can have
MAX_HEADER_BYTES = 1 << 23  # of ordinary styles, 0.1 MB; each picture more adds a few kilobytes
MAX_FILE_BYTES = 1 << 30  # a style is megabytes; a larger file is something else


@dataclass(frozen=True)
class StylePicture(Settings):
    """A picture that a style was learned from.

    `sha256` is the hex digest of the picture file, `thumbnail` a small base64 JPEG, `weight` the
    picture's share among several, or in a set what its style loss was multiplied by.
    """

    title: str
    author: str
    year: str
    licence: str
    sha256: str
    thumbnail: str = ""
    weight: float = option(1.0, above=0)


@dataclass(frozen=True)
class StyleHeader:
    """Everything in a style file except the weights.

    `losses` are rows of (step, {loss name: value}), thinned out. `licence` covers the weights,
    `StylePicture.licence` the style picture. `base_sha256` is the digest of the file that training
    started from (`TrainConfig.base`), if any; a norms-only style needs that file. `target` holds
    the VGG-16 statistics of the pictures (`vgg_statistics.pack`), `preview` a base64 PNG of the
    shipped photo in this style (`verify`), `figures` measurements with names from `FIGURES`.
    `styles` are the headers of the styles in a set: they share their kernels, and each has norms of
    its own in the same file.
    """

    name: str
    network: NetworkConfig
    training: TrainConfig
    pictures: list[StylePicture]
    losses: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    base_sha256: str = ""
    target: str = ""
    preview: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    styles: list["StyleHeader"] = field(default_factory=list)
    licence: str = "Apache-2.0"
    package_version: str = __version__
    format_version: int = FORMAT_VERSION

    @property
    def drafts(self) -> bool:
        """Whether the network paints a draft first."""
        return self.network.architecture == DRAFT_REVISE

    @property
    def working_size(self) -> int:
        """Short side in pixels of a picture whose strokes have the size they had in training: that
        of drafts, for networks that draft."""
        return self.network.draft_size if self.drafts else self.training.size

    @property
    def members(self) -> list[str]:
        """Names of the styles in a set, in the order of their norms; empty for a single style."""
        return [style.name for style in self.styles]

    def single(self, member: str, path: Path) -> "StyleHeader":
        """That of one style in the set `path`; raises StyleFileError if there is none."""
        if member not in self.members:
            hint = suggest(member, self.members, "`stylize styles` with its name lists the styles")
            raise StyleFileError(f"{path} holds no style named {member!r}", hint)
        return self.styles[self.members.index(member)]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, path: Path) -> "StyleHeader":
        """Parse the JSON document of the style file `path`, which errors name.

        Raises StyleFileError: it is not JSON, of another format version, or an entry is wrong.
        """
        try:
            values = json.loads(text)
            # Sets in sets are not read: what a header can ask for is bounded by its size.
            styles = [cls._of(each, path) for each in values.get("styles", [])]
            return replace(cls._of(values, path), styles=styles)
        except KeyError as error:
            raise StyleFileError(f"{path}: its header lacks {error.args[0]!r}") from error
        except UsageError as error:
            if isinstance(error, StyleFileError):
                raise
            raise StyleFileError(f"{path}: its header is wrong: {error}", error.hint) from error
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise StyleFileError(f"{path}: its header is damaged ({error})") from error

    @classmethod
    def _of(cls, values: dict[str, Any], path: Path) -> "StyleHeader":
        version = values["format_version"]
        if version != FORMAT_VERSION:
            older = isinstance(version, int) and version < FORMAT_VERSION
            raise StyleFileError(
                f"{path}: style format {version!r}, but this stylize reads {FORMAT_VERSION}",
                "train the style again" if older else "update stylize",
            )
        return cls(
            name=_text(values, "name"),
            network=NetworkConfig.from_dict(values["network"]),
            training=TrainConfig.from_dict(values["training"]),
            pictures=[_picture(entry) for entry in _pictures(values)],
            losses=[(int(step), dict(row)) for step, row in values["losses"]],
            base_sha256=_text(values, "base_sha256"),
            target=_text(values, "target"),
            preview=_text({"preview": "", **values}, "preview"),
            figures=_figures(values.get("figures", {})),
            licence=_text(values, "licence"),
            package_version=_text(values, "package_version"),
        )


def _pictures(values: dict[str, Any]) -> list[dict[str, Any]]:
    entries = values["pictures"]
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"pictures are {entries!r:.40}", "there must be at least one")
    return entries


def _picture(entry: dict[str, Any]) -> StylePicture:
    shown = {key: visible(v) if isinstance(v, str) else v for key, v in entry.items()}
    return StylePicture.from_dict(shown)


def _figures(values: Any) -> dict[str, float]:
    if not isinstance(values, dict) or not values.keys() <= set(FIGURES):
        raise UsageError(f"figures are {values!r:.40}", f"there may be {', '.join(FIGURES)}")
    for value in values.values():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < LARGEST:
            raise UsageError(f"a figure is {value!r:.40}", "it must be a number, 0 or more")
    return {name: float(value) for name, value in values.items()}


def _text(values: dict[str, Any], key: str) -> str:
    if not isinstance(values[key], str):
        raise TypeError(f"{key!r} is not text")
    return visible(values[key])


def read_header(path: Path, member: str = "") -> StyleHeader:
    """Read the header of the style file `path`, or that of one style in a set; the weights stay on
    disk.

    Raises StyleFileError: the file is missing, truncated, not safetensors, not a style, or has no
        such member.
    """
    header = StyleHeader.from_json(read_metadata(path, METADATA_KEY), path)
    return header.single(member, path) if member else header


def read_metadata(path: Path, key: str) -> str:
    """The text under `key` in the metadata of the safetensors file `path`.

    Raises StyleFileError: the file is missing, unreadable, not whole safetensors, or lacks `key`.
    """
    hint = "a style is a .safetensors file made by `stylize train`"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StyleFileError(f"{path}: too large for a style", hint)
        with open_file(path) as file:
            length = int.from_bytes(file.read(8), "little")  # of the header that follows
            if MAX_HEADER_BYTES < length <= path.stat().st_size:
                raise StyleFileError(f"{path}: its header is too large for a style", hint)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise StyleFileError(f"{path}: not a whole safetensors file ({error})", hint) from error
    except OSError as error:
        reason = error.strerror or "not a safetensors file"
        raise StyleFileError(f"{path}: {reason}", hint) from error
    if key not in metadata:
        raise StyleFileError(f"{path}: its metadata lacks the key {key!r}", hint)
    return str(metadata[key])
