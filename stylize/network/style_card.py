"""A style's card: what its file says of it, as names and texts. Needs no torch."""

from stylize.config import ARCHITECTURES, TRAINING_SIZES, TrainConfig
from stylize.errors import visible
from stylize.network.mixture import MixedHeader
from stylize.network.style_header import StyleHeader

# The settings of a training that its card shows, where they are not the defaults.
_SETTINGS = (
    *("style_size", "content_weight", "style_weight", "palette_weight", "tone_weight"),
    *("even_weight", "tv_weight", "keep_weight", "size", "lighting", "lr", "seed"),
)


def card(header: StyleHeader) -> list[tuple[str, str]]:
    """Rows of (name, text), without the style's own name."""
    rows = [("licence", header.licence)]
    for picture in header.pictures:
        parts = (picture.title, picture.author, picture.year, picture.licence)
        rows.append(("picture", ", ".join(part for part in parts if part) or "not said"))
    return [
        *rows,
        *_origin(header),
        ("working scale", f"{header.working_size} px on the short side, as in training"),
        *((name, f"{value:.3g}") for name, value in header.figures.items()),
        ("made by", f"stylize {header.package_version}"),
    ]


def _origin(header: StyleHeader) -> list[tuple[str, str]]:
    training = header.training
    if isinstance(header, MixedHeader):
        return [
            ("part", f"{share:.3g} of {part.name}, {part.licence}") for part, share in header.parts
        ]
    if not training.steps:
        return [("trained", "elsewhere; imported")]
    start = visible(training.base or "random weights")
    steps = f"{training.steps} of {training.batch_size} photos, from {start}"
    return [("steps", steps), ("recipe", _changed_settings(header))]


def _changed_settings(header: StyleHeader) -> str:
    """What differs from the defaults, as options of `stylize train`."""
    training, architecture = header.training, header.network.architecture
    size, style_size = TRAINING_SIZES[architecture]
    usual = TrainConfig(size=size, style_size=style_size)
    changed = [f"--architecture {architecture}"] if architecture != ARCHITECTURES[0] else []
    changed += [
        f"--{name.replace('_', '-')} {getattr(training, name):g}"
        for name in _SETTINGS
        if getattr(training, name) != getattr(usual, name)
    ]
    changed += [f"--layer-weight {key}={value:g}" for key, value in training.layer_weights.items()]
    return " ".join(changed) or "the defaults"
