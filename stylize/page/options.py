"""Query -> settings: the options of the commands that need no path, by the same names."""

from collections.abc import Mapping
from dataclasses import Field, fields
from types import UnionType
from typing import Any, get_args

from stylize.config import FILES, LOOK, ApplyConfig, Look, TrainConfig
from stylize.errors import UsageError, suggest

# These name files of the server or its own limit; a photo has its name from the client.
NOT_FOR_CLIENTS = ("masks", "anchor", "anchor_weight", "anchor_floor", "max_megapixels", "name")
BACKGROUND = "background"  # of which the command makes two switches
# Name in a query -> the field that it sets.
OPTIONS: dict[str, Field[Any]] = {
    each.name.replace("_", "-"): each
    for kind in (Look, ApplyConfig)
    for each in fields(kind)
    if each.name == BACKGROUND
    or (each.metadata.get("heading") in (LOOK, FILES) and each.name not in NOT_FOR_CLIENTS)
}
# The same for a training, whose machine and weights of VGG-16 the server chooses.
TRAINING: dict[str, Field[Any]] = {
    each.name.replace("_", "-"): each
    for each in fields(TrainConfig)
    if each.metadata.get("text") and each.name not in ("device", "precision", "vgg")
}


def read_options(query: Mapping[str, str], device: str, precision: str) -> ApplyConfig:
    """The settings of a run from the options in a query; the server decides where it computes.

    Raises UsageError: there is no such option, or its value cannot be used.
    """
    values = {"device": device, "precision": precision, **_values(query, OPTIONS)}
    look = Look.from_dict(Look.own(values))
    return ApplyConfig.from_dict({**ApplyConfig.own(values), "look": look})


def read_training(query: Mapping[str, str], device: str, precision: str) -> TrainConfig:
    """As `read_options`, for a training."""
    values = {"device": device, "precision": precision, **_values(query, TRAINING)}
    return TrainConfig.from_dict(values)


def _values(query: Mapping[str, str], known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    """The value of each setting that the query names."""
    for name in query:
        if name not in known:
            hint = suggest(name, known, "/openapi.json lists the options")
            raise UsageError(f"there is no option {name!r}", hint)
    return {known[name].name: _value(query[name], kinds_of(known[name])) for name in query}


def kinds_of(field: Field[Any]) -> tuple[type, ...]:
    """The types that a setting can have."""
    kind: Any = field.type
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _value(text: str, kinds: tuple[type, ...]) -> Any:
    """The text as one of these types; as it is where it is none of them."""
    if bool in kinds:
        return {"true": True, "false": False}.get(text, text)
    for number in (int, float):
        if number in kinds or (number is int and float in kinds):
            try:
                return number(text)
            except ValueError:
                continue
    return text
