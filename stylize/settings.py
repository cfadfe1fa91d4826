"""What settings are made of: frozen dataclasses that check themselves when they are made."""

import re
import string
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from types import UnionType
from typing import Any, Self, get_args

from stylize.errors import UsageError

LARGEST = 1e12  # of any number: beyond any useful value, and safe in every kind of arithmetic


def option(
    default: Any,
    text: str = "",
    heading: str = "",
    metavar: str | None = None,
    choices: tuple[str, ...] = (),
    **limits: float,
) -> Any:
    """A field with a default and a range; with `text`, it is also an option of a command.

    `limits` are `least` and `most` (inclusive) or `above` (exclusive).
    """
    rule = {"text": text, "heading": heading, "metavar": metavar}
    return field(default=default, metadata={**rule, "choices": choices, "limits": limits})


def parse_size(text: str) -> float:
    """Bytes from a text such as 700MB, 4GB or 2GiB; raises UsageError for any other text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]I?)B?", text.strip().upper())
    if match is None:
        raise UsageError(f"{text!r} is no size of memory", "give one such as 700MB or 4GB")
    number, unit = match.groups()
    base = 1024.0 if unit.endswith("I") else 1000.0
    return float(number) * base ** ("KMGT".index(unit[0]) + 1)


def check_number(name: str, value: float, **limits: float) -> None:
    """Raise UsageError unless `value` is within `least`, `most`, `above`, and below LARGEST."""
    if "most" in limits:
        fits = limits["least"] <= value <= limits["most"]
        hint = f"it must be from {limits['least']:g} to {limits['most']:g}"
    elif "least" in limits:
        fits, hint = limits["least"] <= value < LARGEST, f"it must be {limits['least']:g} or more"
    else:
        fits = limits["above"] < value < LARGEST
        hint = f"it must be more than {limits['above']:g}"
    if not fits:
        raise UsageError(f"{name} is {value}", hint)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} is {value!r}", f"choose one of {', '.join(choices)}")


def check_pattern(name: str, known: frozenset[str]) -> None:
    """Raise UsageError unless the pattern of file names has fields that are `known`."""
    hint = "such as {stem}-{style}{suffix}: it must hold {stem} and end in {suffix}"
    try:
        parts = list(string.Formatter().parse(name))
    except ValueError as error:
        raise UsageError(f"name is {name!r}: {error}", hint) from error
    named = {field for _, field, _, _ in parts if field is not None}
    plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    if (
        not {"stem"} <= named <= known
        or not plain
        or not name.endswith("{suffix}")
        or any(character in name for character in "/\\\0")
    ):
        raise UsageError(f"name is {name!r}", hint)


class Settings:
    """Base of settings: checks values when they are made, converts to and from a plain dict."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value, rule = getattr(self, each.name), each.metadata
            if not rule or (value is None and each.default is None):
                continue
            if rule["choices"]:
                check_choice(each.name, value, rule["choices"])
            if rule["limits"]:
                check_number(each.name, value, **rule["limits"])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def own(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of `values` that are settings of this class."""
        names = {each.name for each in fields(cls)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if name in names}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Build from a file header's dict. Raises UsageError for an unknown or wrong entry."""
        if not isinstance(values, dict):
            raise UsageError(f"settings are {type(values).__name__}, not a table")
        types = {each.name: each.type for each in fields(cls)}  # type: ignore[arg-type]
        for name, value in values.items():
            if name not in types:
                raise UsageError(f"unknown setting {name!r}", "a newer stylize may know it")
            kind = types[name]
            kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
            if float in kinds:
                kinds = (*kinds, int)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                words = {bool: "true or false", str: "a text", dict: "a table"}
                hint = f"give {words.get(kinds[0], 'a number')}"
                raise UsageError(f"setting {name!r} is {value!r}", hint)
        return cls(**values)
