"""What a style file says about itself, read without torch.

A style is one safetensors file. Its metadata holds one JSON document, `StyleHeader`, that rebuilds
and explains it. Nothing in it is ever run or used as a path.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from stylize import __version__
from stylize.config import NetworkConfig, TrainConfig
from stylize.errors import StyleFileError, UsageError
from stylize.settings import LARGEST

FORMAT_VERSION = 2  # 1: of networks whose body painted a lattice
METADATA_KEY = "stylize"
FIGURES = ("objective", "lighting spread", "seconds per megapixel")  # what may be measured
MAX_FILE_BYTES = 1 << 30  # a style is megabytes; a larger file is something else


@dataclass(frozen=True)
class StylePicture:
    """A picture a style was learned from.

    `sha256` is the hex digest of the picture file, `thumbnail` a small base64 JPEG of it, `weight`
    its share among several.
    """

    title: str
    author: str
    year: str
    licence: str
    sha256: str
    thumbnail: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class StyleHeader:
    """Everything a style file tells beside its weights.

    `losses` are rows of (step, {loss name: value}) thinned out over the run; `licence` is that of
    the weights, `StylePicture.licence` that of a style picture. `base_sha256` is the digest of the
    file that the training started from (`TrainConfig.base`), if any; a style of norms only needs it
    to be used. `target` is what the pictures look like to VGG-16 (`appearance.pack`), `preview` a
    base64 PNG of what the style makes of the shipped photo (`verify`), `figures` what was measured
    of it, by names in `FIGURES`.
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
    licence: str = "Apache-2.0"
    package_version: str = __version__
    format_version: int = FORMAT_VERSION

    @property
    def working_size(self) -> int:
        """Pixels on the short side of a picture whose strokes are as in training."""
        return self.training.size

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, path: Path) -> "StyleHeader":
        """Parse the JSON document of the style file `path`, which errors name.

        Raises:
            StyleFileError: it is not JSON, of another format version, or an entry is wrong.
        """
        try:
            values: dict[str, Any] = {"preview": "", "figures": {}, **json.loads(text)}
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
                preview=_text(values, "preview"),
                figures=_figures(values["figures"]),
                licence=_text(values, "licence"),
                package_version=_text(values, "package_version"),
            )
        except KeyError as error:
            raise StyleFileError(f"{path}: its header lacks {error.args[0]!r}") from error
        except UsageError as error:
            if isinstance(error, StyleFileError):
                raise
            raise StyleFileError(f"{path}: its header is wrong: {error}", error.hint) from error
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise StyleFileError(f"{path}: its header is damaged ({error})") from error


def _pictures(values: dict[str, Any]) -> list[dict[str, Any]]:
    entries = values["pictures"]
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"pictures are {entries!r:.40}", "there must be at least one")
    return entries


def _picture(entry: dict[str, Any]) -> StylePicture:
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < LARGEST:
        raise UsageError(f"the weight of a picture is {weight!r:.40}", "it must be more than 0")
    texts = {key: _text(entry, key) for key in entry if key != "weight"}
    return StylePicture(**texts, weight=float(weight))


def _figures(values: Any) -> dict[str, float]:
    if not isinstance(values, dict) or not values.keys() <= set(FIGURES):
        raise UsageError(f"figures are {values!r:.40}", f"there may be {', '.join(FIGURES)}")
    for value in values.values():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < LARGEST:
            raise UsageError(f"a figure is {value!r:.40}", "it must be a number, 0 or more")
    return {name: float(value) for name, value in values.items()}


def printable(text: str) -> str:
    """Without control characters, which terminals obey."""
    return "".join(character for character in text if character.isprintable())


def _text(values: dict[str, Any], key: str) -> str:
    if not isinstance(values[key], str):
        raise TypeError(f"{key!r} is not text")
    return printable(values[key])


def read_header(path: Path) -> StyleHeader:
    """Read the header of the style file `path`; the weights stay on disk.

    Raises:
        StyleFileError: the file is missing, truncated, not safetensors, or not a style.
    """
    return StyleHeader.from_json(read_metadata(path, METADATA_KEY), path)


def read_metadata(path: Path, key: str) -> str:
    """The text under `key` in the metadata of the safetensors file `path`.

    Raises:
        StyleFileError: the file is missing, unreadable, not whole safetensors, or lacks `key`.
    """
    hint = "a style is a .safetensors file made by `stylize train`"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise StyleFileError(f"{path}: too large for a style", hint)
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
