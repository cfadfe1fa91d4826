"""Every setting and its default, in one place. All are frozen and validated when they are made."""

import re
import string
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, Self, get_args

from stylize.errors import UsageError

ARCHITECTURES = ("quarter", "johnson")
PRECISIONS = ("auto", "fp32", "bf16")
OUTPUT_FORMATS = ("keep", "jpg", "png", "webp", "avif", "tiff")
NAME_FIELDS = frozenset({"stem", "style", "suffix"})
STATISTICS = ("exact", "thumbnail")
BACKGROUNDS = ("stylize", "keep", "transparent")
VGG_SOURCES = ("shipped", "torchvision")
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
NORM_BACKENDS = ("auto", "torch", "triton")
NORM_VARIABLE = "STYLIZE_NORM"  # environment variable: one of them, for the whole process
AUTO = "auto"
LARGEST = 1e12  # of any number: far beyond sense, and safe in every kind of arithmetic


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}", f"choose one of {', '.join(allowed)}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < LARGEST:
        raise UsageError(f"{name} is {value}", f"it must be {least:g} or more")


def _between(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}", f"it must be from {least} to {most}")


def parse_size(text: str) -> float:
    """Bytes in words such as 700MB, 4GB or 2GiB; raises UsageError for any others."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]I?)B?", text.strip().upper())
    if match is None:
        raise UsageError(f"{text!r} is no size of memory", "give one such as 700MB or 4GB")
    number, unit = match.groups()
    base = 1024.0 if unit.endswith("I") else 1000.0
    return float(number) * base ** ("KMGT".index(unit[0]) + 1)


class _Settings:
    """What the frozen dataclasses below share: a plain dict for file headers, and back."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Build from a header's dict. Raises UsageError for an unknown, missing or wrong entry."""
        if not isinstance(values, dict):
            raise UsageError(f"settings are {type(values).__name__}, not a table")
        known = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(f"unknown setting {unknown[0]!r}", "a newer stylize may know it")
        for name, value in values.items():
            kind = known[name]
            kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
            if float in kinds:
                kinds = (*kinds, int)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                words = {bool: "true or false", str: "a text", dict: "a table"}
                hint = f"give {words.get(kinds[0], 'a number')}"
                raise UsageError(f"setting {name!r} is {value!r}", hint)
        return cls(**values)


@dataclass(frozen=True)
class NetworkConfig(_Settings):
    """The shape of a transformer network; enough to rebuild it before its weights are loaded.

    `channels` is the width at a quarter of the resolution, `body_channels` and `blocks` the width
    and number of the residual blocks, `head_channels` the width at half the resolution and
    `noise_channels` how many planes of deterministic white noise the stem sees. The `johnson`
    architecture has fixed dimensions and ignores all of these.
    """

    architecture: str = "quarter"
    channels: int = 64
    body_channels: int = 128
    blocks: int = 4
    head_channels: int = 32
    noise_channels: int = 4

    def __post_init__(self) -> None:
        _one_of("architecture", self.architecture, ARCHITECTURES)
        for name in ("channels", "body_channels", "head_channels"):
            _between(name, getattr(self, name), 1, 1024)
        _between("blocks", self.blocks, 1, 64)
        _between("noise_channels", self.noise_channels, 1, 64)


@dataclass(frozen=True)
class TrainConfig(_Settings):
    """How one style is trained. Sizes are pixels; weights multiply the relative losses.

    `size` is the side of the square training crops at the end (it starts at half of that),
    `style_size` the short side that the style picture is scaled to: their ratio sets how large the
    strokes are. `layer_weights` multiply the style loss of single layers, 1 where not named.

    `base` is the style, or the shipped base network, that the weights start from ("auto": the
    latter for the default network); empty: random ones. `only_norm` trains nothing but the scales
    and shifts of the norms. `many` makes such a base: every picture is a style of its own, with
    norms of its own. `steps` is 0 for as many as are good for that start; `patience` steps without
    progress end the first half of a training early, 0 is never. `keep` checkpoints are kept.

    `lighting` is how far the light of the photos that the network sees is changed, from 0 to 1.
    """

    steps: int = 0
    batch_size: int = 2
    size: int = 256
    style_size: int = 512
    base: str = AUTO
    only_norm: bool = False
    many: bool = False
    patience: int = 0
    content_weight: float = 1.0
    style_weight: float = 1.0
    layer_weights: dict = field(default_factory=dict)  # type: ignore[type-arg]
    tone_weight: float = 2.0
    even_weight: float = 1.0
    tv_weight: float = 0.05
    lighting: float = 1.0
    lr: float = 0.02
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    vgg: str = "shipped"
    preview_every: int = 200
    checkpoint_every: int = 100
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("batch_size", "checkpoint_every", "keep"):
            _at_least(name, getattr(self, name), 1)
        for name in ("steps", "patience"):
            _at_least(name, getattr(self, name), 0)
        for name in ("size", "style_size"):
            _between(name, getattr(self, name), 32, 4096)
        for name in ("content_weight", "style_weight", "tone_weight", "even_weight", "tv_weight"):
            _at_least(name, getattr(self, name), 0)
        if not 0 <= self.lighting <= 1:
            raise UsageError(f"lighting is {self.lighting}", "it must be from 0 to 1")
        _at_least("preview_every", self.preview_every, 0)
        _between("seed", self.seed, 0, 2**32 - 1)
        if self.content_weight == 0 and self.style_weight == 0:
            raise UsageError("content_weight and style_weight are both 0", "give one a value")
        if not 0 < self.lr < LARGEST:
            raise UsageError(f"lr is {self.lr}", "it must be more than 0")
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("vgg", self.vgg, VGG_SOURCES)
        for layer, weight in self.layer_weights.items():
            _one_of("a layer with a weight", layer, STYLE_LAYERS)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise UsageError(f"the weight of {layer} is {weight!r}", "it must be a number")
            _at_least(f"the weight of {layer}", weight, 0)
        if self.only_norm and not self.base:
            raise UsageError(
                "only norms of random weights cannot be trained", "give --from a style"
            )
        if self.many and self.only_norm:
            raise UsageError(
                "a base of many styles is more than its norms", "leave out --only-norm"
            )

    def weight(self, loss: str) -> float:
        """What multiplies the loss of that name in the total."""
        if loss.startswith("style "):
            layer = loss.removeprefix("style ")
            return self.style_weight * float(self.layer_weights.get(layer, 1))
        return float(getattr(self, f"{loss}_weight"))


@dataclass(frozen=True)
class Look(_Settings):
    """What is made of the network's result, without any training.

    `strength` 0 is the photo, 1 the stylized picture. `preserve_color` takes lightness from the
    stylized picture and colour from the photo. `background` says what becomes of everything outside
    of a photo's mask: stylized, kept as it is, or transparent. With `even_light`, light that falls
    off to one side or to the corners is taken out of what the network sees, unless the photo is
    transparent or has a mask that counts. `stroke` is the size of the strokes in relation to the
    picture, 1 that of the training; without, they are as large in pixels. `statistics` are those of
    the whole photo ("exact") or, if it is large, of a "thumbnail".
    """

    strength: float = 1.0
    preserve_color: bool = False
    background: str = "stylize"
    even_light: bool = True
    stroke: float | None = None
    statistics: str = "exact"

    def __post_init__(self) -> None:
        if self.stroke is not None and not 0.1 <= self.stroke <= 4:
            raise UsageError(f"stroke is {self.stroke}", "it must be from 0.1 to 4")
        _one_of("statistics", self.statistics, STATISTICS)
        _one_of("background", self.background, BACKGROUNDS)
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is {self.strength}", "it must be from 0 to 1")

    @property
    def plain(self) -> bool:
        """Whether the network's result is left as it is."""
        return self.strength == 1 and not self.preserve_color and not self.masked

    @property
    def masked(self) -> bool:
        """Whether it matters what is product in a photo."""
        return self.background != "stylize"


@dataclass(frozen=True)
class ApplyConfig(_Settings):
    """How photos are stylized, and what is written.

    `size` is the longest side in pixels (None: as the photo is). `format` is that of the outputs,
    `quality` what its lossy encoder is given (None: a good one), `name` the pattern of file names.
    `masks` is a folder that mirrors the inputs, with a mask for some or all photos. `anchor` is a
    photo whose statistics hold those of all others, or "auto" for the mean of the set; how far is
    `anchor_weight`, and no variance falls below `anchor_floor` times that of the anchor. `strip`
    leaves all metadata out, `strip_gps` the place. A picture of more than `max_megapixels`, all
    frames together, is refused. `max_memory` is in bytes, for the device and for the host (None:
    half of what is free).
    """

    size: int | None = None
    batch_size: int = 1
    device: str = "auto"
    precision: str = "auto"
    overwrite: bool = False
    fail_fast: bool = False
    look: Look = field(default_factory=Look)
    masks: str | None = None
    anchor: str | None = None
    anchor_weight: float = 0.5
    anchor_floor: float = 0.1
    format: str = "keep"
    quality: int | None = None
    name: str = "{stem}{suffix}"
    strip: bool = False
    strip_gps: bool = False
    max_megapixels: float = 200.0
    max_memory: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            _at_least("size", self.size, 1)
        _at_least("batch_size", self.batch_size, 1)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("format", self.format, OUTPUT_FORMATS)
        if self.quality is not None:
            _between("quality", self.quality, 1, 100)
        for name in ("anchor_weight", "anchor_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}", "it must be from 0 to 1")
        if not 0 < self.max_megapixels < LARGEST:
            raise UsageError(f"max_megapixels is {self.max_megapixels}", "it must be more than 0")
        if self.max_memory is not None and not 0 < self.max_memory < 1e18:
            raise UsageError(f"max_memory is {self.max_memory}", "give one such as 4GB")
        _file_name_pattern(self.name)
        if self.look.background == "transparent" and self.format == "jpg":
            raise UsageError("JPEG has no transparency", "choose another format: png, webp, avif")
        if self.anchor is not None and self.look.stroke is not None:
            # Strokes are drawn at other sizes than the anchor is seen at.
            raise UsageError("an anchor and a stroke exclude each other", "leave out one of them")

    def recipe(self) -> dict[str, Any]:
        """The settings that decide what an output looks like."""
        names = ("size", "precision", "look", "quality", "strip", "strip_gps")
        return {name: value for name, value in self.to_dict().items() if name in names}


@dataclass(frozen=True)
class AuditLimits(_Settings):
    """What a set must keep to: `max_spread` and `max_outliers`; None is no limit."""

    max_spread: float | None = None
    max_outliers: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_spread", "max_outliers"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 0)

    def broken(self, spread: float, outliers: int) -> list[str]:
        """In words, which limits are not kept."""
        found = []
        if self.max_spread is not None and spread > self.max_spread:
            found.append(f"spread {spread:.3f}, more than {self.max_spread:g}")
        if self.max_outliers is not None and outliers > self.max_outliers:
            found.append(f"{outliers} outliers, more than {self.max_outliers}")
        return found


def _file_name_pattern(name: str) -> None:
    hint = "such as {stem}-{style}{suffix}: it must hold {stem} and end in {suffix}"
    try:
        parts = list(string.Formatter().parse(name))
    except ValueError as error:
        raise UsageError(f"name is {name!r}: {error}", hint) from error
    named = {field for _, field, _, _ in parts if field is not None}
    plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    if (
        not {"stem"} <= named <= NAME_FIELDS
        or not plain
        or not name.endswith("{suffix}")
        or any(character in name for character in "/\\\0")
    ):
        raise UsageError(f"name is {name!r}", hint)
