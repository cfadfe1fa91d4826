"""Every setting: its default, its range, and its line in `--help`.

A field made by `option` with a text becomes an option of the command that takes the dataclass
(`stylize.cli.options`).
"""

from dataclasses import dataclass, field
from typing import Any

from stylize.errors import UsageError
from stylize.settings import Settings, check_choice, check_number, check_pattern, option

AUTO = "auto"
DRAFT_REVISE = "draft-revise"
ARCHITECTURES = (DRAFT_REVISE, "quarter", "johnson")
# Architecture -> the usual size of crops and style picture in training, in pixels.
TRAINING_SIZES = {DRAFT_REVISE: (320, 160), "quarter": (256, 512), "johnson": (256, 512)}
PRECISIONS = (AUTO, "fp32", "bf16")
ENGINES = (LOCAL, RAY) = ("local", "ray")
KEEP = "keep"  # the photo's own format
OUTPUT_FORMATS = (KEEP, "jpg", "png", "webp", "avif", "heic", "tiff")
CODECS = ("h264", "h265", "av1")
NAME_FIELDS = frozenset({"stem", "style", "suffix"})
LEAST_SIZE = 32  # pixels, of a training crop
STATISTICS = ("exact", "thumbnail")
BACKGROUNDS = ("stylize", "keep", "transparent")
VGG_SOURCES = ("shipped", "torchvision")
STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
NORM_BACKENDS = (AUTO, "torch", "triton")
NORM_VARIABLE = "STYLIZE_NORM"  # environment variable: a norm backend, for the whole process

DEVICE_HELP = "auto, cpu, cuda, cuda:N, xpu (Intel) or mps (Apple)."
PRECISION_HELP = "auto, fp32 or bf16 (auto: bf16 where the hardware computes in it)."

# Headings in `--help`.
RUN, LOOK, FILES, MACHINE = "Run", "Look", "Files", "Machine"


@dataclass(frozen=True)
class NetworkConfig(Settings):
    """The shape of a transformer network; enough to rebuild it before its weights are loaded.

    `channels` is the width at a quarter of the resolution, `body_channels` and `blocks` the width
    and number of the residual blocks, `head_channels` the width at half the resolution, and
    `noise_channels` the number of noise planes. `draft-revise` uses these for its draft, which has
    `draft_size` pixels on the short side; `johnson` has fixed dimensions and ignores all of them.
    """

    architecture: str = option(
        DRAFT_REVISE,
        "draft-revise (forms as large as in the picture), quarter (one pass, small strokes) or "
        "johnson (the network of the paper).",
        choices=ARCHITECTURES,
    )
    channels: int = option(64, least=1, most=1024)
    body_channels: int = option(128, least=1, most=1024)
    blocks: int = option(4, least=1, most=64)
    head_channels: int = option(32, least=1, most=1024)
    noise_channels: int = option(4, least=1, most=64)
    draft_size: int = option(160, least=16, most=1024)
    reviser_channels: int = option(48, least=1, most=1024)
    reviser_body_channels: int = option(96, least=1, most=1024)
    reviser_blocks: int = option(2, least=1, most=64)
    reviser_head_channels: int = option(24, least=1, most=1024)
    reviser_detail_channels: int = option(16, least=1, most=1024)
    finisher_channels: int = option(32, least=1, most=1024)
    finisher_blocks: int = option(1, least=0, most=64)
    finisher_head_channels: int = option(16, least=1, most=1024)
    finisher_detail_channels: int = option(8, least=1, most=1024)


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How one style is trained. Sizes are in pixels; weights multiply the relative losses.

    Training crops grow from half of `size` to `size`; `style_size` is the short side of the style
    picture beside them. Their ratio sets how large the strokes are. A network that drafts is
    trained in three stages: its draft at half of `size`, with the style picture at `style_size`,
    then its reviser and its finisher at `size`, with the picture at twice `style_size`.
    `layer_weights` multiply the style loss of single layers (1 where not named).

    `base` is the style or the shipped base network that training starts from ("auto": the shipped
    base for the default network; empty: random weights). With `many`, training makes a set: every
    picture is a style of its own, with its own norms, and `base` may name a style for each.
    """

    steps: int = option(0, "Optimizer steps (0: a good number for that start).", least=0)
    batch_size: int = option(2, "Photos per step.", least=1)
    size: int = option(
        0,
        "Side of the training crops at the end, in pixels (0: 320 for draft-revise, else 256).",
        least=0,
        most=4096,
    )
    style_size: int = option(
        0,
        "Short side of the style picture, in pixels (0: 160 for draft-revise, else 512). Larger "
        "makes larger strokes.",
        least=0,
        most=4096,
    )
    base: str = AUTO
    only_norm: bool = option(False, "Train the norms only: a style of 0.1 MB that needs its base.")
    many: bool = False
    patience: int = option(
        0, "Stop early after this many steps without progress (0: never).", least=0
    )
    content_weight: float = option(2.0, "Weight of the photo's content.", least=0)
    style_weight: float = option(1.0, "Weight of the style.", least=0)
    layer_weights: dict = field(default_factory=dict)  # type: ignore[type-arg]
    palette_weight: float = option(0.5, "Weight of the style picture's colours.", least=0)
    tone_weight: float = option(
        1.0, "Weight of light areas staying lighter than dark ones.", least=0
    )
    even_weight: float = option(
        0.3, "Weight of even colour where the photo's colour is even.", least=0
    )
    tv_weight: float = option(0.05, "Weight of smoothness (total variation).", least=0)
    keep_weight: float = option(1.0, "Weight of a revision staying close to its draft.", least=0)
    lighting: float = option(
        1.0, "How much the light of the training photos varies, from 0 to 1.", least=0, most=1
    )
    lr: float = option(0.02, "Learning rate.", above=0)
    seed: int = option(0, "Random seed. Same seed, same style.", least=0, most=2**32 - 1)
    device: str = option(AUTO, DEVICE_HELP)
    precision: str = option(AUTO, PRECISION_HELP, choices=PRECISIONS)
    vgg: str = option(
        "shipped",
        "VGG-16 weights: shipped, or torchvision (downloads 528 MB once).",
        choices=VGG_SOURCES,
    )
    preview_every: int = option(200, "Steps between preview sheets (0: one, at the end).", least=0)
    checkpoint_every: int = option(100, "Steps between checkpoints.", least=1)
    keep: int = option(2, "Number of checkpoints to keep.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "style_size"):
            if getattr(self, name):  # 0 chooses one
                check_number(name, getattr(self, name), least=LEAST_SIZE, most=4096)
        if self.content_weight == 0 and self.style_weight == 0:
            raise UsageError("content_weight and style_weight are both 0", "give one a value")
        for layer, weight in self.layer_weights.items():
            check_choice("a layer with a weight", layer, STYLE_LAYERS)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise UsageError(f"the weight of {layer} is {weight!r}", "it must be a number")
            check_number(f"the weight of {layer}", weight, least=0)
        if self.only_norm and not self.base:
            hint = "give --from a style"
            raise UsageError("only norms of random weights cannot be trained", hint)
        if self.many and self.only_norm:
            hint = "leave out --only-norm"
            raise UsageError("a base of many styles is more than its norms", hint)

    def weight(self, loss: str) -> float:
        """What multiplies the loss of that name in the total."""
        if loss.startswith("style "):
            layer = loss.removeprefix("style ")
            return self.style_weight * float(self.layer_weights.get(layer, 1))
        return float(getattr(self, f"{loss}_weight"))


@dataclass(frozen=True)
class Card(Settings):
    """What a style says of its picture."""

    title: str = option("", "Title of the picture, for the style's card.")
    author: str = option("", "Author of the picture.")
    year: str = option("", "Year of the picture.")
    licence: str = option("", "Licence of the picture.")


@dataclass(frozen=True)
class Look(Settings):
    """Changes to the network's result that need no training.

    `background` says what happens outside of a photo's mask. `even_light` applies unless the photo
    has transparency or a mask in use. Only styles that draft can have a `stroke` other than 1.
    `statistics` "thumbnail" affects large photos only.
    """

    strength: float = option(
        1.0, "From 0 (the photo) to 1 (the full style).", LOOK, least=0, most=1
    )
    preserve_color: bool = option(False, "Keep the photo's colours.", LOOK)
    background: str = option("stylize", choices=BACKGROUNDS)
    refine: int = option(
        0,
        "Optimise each photo's draft for so many steps, a few seconds in all. For single pictures.",
        LOOK,
        least=0,
        most=1000,
    )
    even_light: bool = option(
        True, "Even out light that falls off to one side or to the corners.", LOOK
    )
    stroke: float = option(
        1.0,
        "Size of forms and strokes, relative to the picture; 1 is as in training.",
        LOOK,
        least=0.1,
        most=4,
    )
    statistics: str = option(
        "exact",
        "exact, or thumbnail: an approximation for huge photos that needs almost no memory.",
        MACHINE,
        choices=STATISTICS,
    )

    @property
    def plain(self) -> bool:
        """Whether the network's result stays as it is."""
        return self.strength == 1 and not self.preserve_color and not self.masked

    @property
    def masked(self) -> bool:
        """Whether product and background are treated differently."""
        return self.background != "stylize"


@dataclass(frozen=True)
class ApplyConfig(Settings):
    """How photos are stylized, and what is written.

    `masks` is a folder that mirrors the inputs and holds masks for some or all photos. `anchor` is
    a reference photo, or "auto" for the mean of the set. `max_memory` is in bytes, for the device
    and for the host (None: half of what is free).
    """

    size: int | None = option(
        None, "Longest side in pixels; larger photos are scaled down.", FILES, least=1
    )
    batch_size: int = option(
        1, "Photos of one size that go through the network at once.", MACHINE, least=1
    )
    device: str = option(AUTO, DEVICE_HELP, MACHINE)
    precision: str = option(AUTO, PRECISION_HELP, MACHINE, choices=PRECISIONS)
    engine: str = option(
        LOCAL, "local (this process), or ray (workers of a Ray cluster).", MACHINE, choices=ENGINES
    )
    address: str | None = option(
        None,
        "Address of the Ray cluster, such as auto (default: one of this machine alone).",
        MACHINE,
        metavar="HOST:PORT|auto",
    )
    overwrite: bool = option(
        False, "Redo everything, and replace files that stylize did not write.", RUN
    )
    fail_fast: bool = option(False, "Stop at the first failure.", RUN)
    look: Look = field(default_factory=Look)
    masks: str | None = option(
        None,
        "Folder that mirrors the inputs and holds masks (white: product), as rembg writes them. "
        "Implies --keep-background unless --cut-out is given.",
        LOOK,
        metavar="DIR",
    )
    anchor: str | None = option(
        None,
        "Pull the statistics of all photos towards those of this photo, or of the set.",
        LOOK,
        metavar="PHOTO|auto",
    )
    anchor_weight: float = option(0.5, "How far to pull, from 0 to 1.", LOOK, least=0, most=1)
    anchor_floor: float = option(
        0.1, "Smallest variance, as a share of the anchor's, from 0 to 1.", LOOK, least=0, most=1
    )
    format: str = option(KEEP, f"{', '.join(OUTPUT_FORMATS)}.", FILES, choices=OUTPUT_FORMATS)
    quality: int | None = option(
        None, "1 to 100: JPEG (default 95), WebP (95), AVIF, HEIC (90).", FILES, least=1, most=100
    )
    name: str = option(
        "{stem}{suffix}", "Pattern of file names, such as {stem}-{style}{suffix}.", FILES
    )
    numbered: bool = option(
        False,
        "Number photos of several inputs that would have one name (a.jpg, a~2.jpg), in the order "
        "of the inputs.",
        FILES,
    )
    strip: bool = option(False, "Remove all metadata (EXIF, XMP, IPTC).", FILES)
    strip_gps: bool = option(False, "Remove GPS coordinates.", FILES)
    codec: str = option("h264", f"Of clips: {', '.join(CODECS)}.", FILES, choices=CODECS)
    crf: int | None = option(
        None,
        "Constant rate factor of clips, 0 (best) to 51 (default: 18 for h264, 20 for h265, 24 for "
        "av1).",
        FILES,
        least=0,
        most=51,
    )
    max_megapixels: float = option(
        200.0, "Refuse larger pictures. All frames of an animation count.", FILES, above=0
    )
    max_memory: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_memory is not None and not 0 < self.max_memory < 1e18:
            raise UsageError(f"max_memory is {self.max_memory}", "give one such as 4GB")
        check_pattern(self.name, NAME_FIELDS)
        if self.address is not None and self.engine != RAY:
            raise UsageError("--address is for Ray", "add --engine ray")
        if self.look.background == "transparent" and self.format == "jpg":
            raise UsageError("JPEG has no transparency", "choose another format: png, webp, avif")

    def recipe(self) -> dict[str, Any]:
        """The settings that decide what an output looks like."""
        return self._named("size", "precision", "look", "quality", "strip", "strip_gps")

    def clip_recipe(self) -> dict[str, Any]:
        """Those that decide what a clip looks like, beside these."""
        return self._named("codec", "crf")

    def _named(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in self.to_dict().items() if name in names}
