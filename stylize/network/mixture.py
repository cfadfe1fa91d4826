"""What a style is made of: one file, or several with weights, which is a mix. Needs no torch."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stylize.assets import check_name, find_style, is_mix, style_name
from stylize.errors import StyleFileError, UsageError
from stylize.files import digest
from stylize.network.style_header import StyleHeader, read_header

LONGEST_NAME = 64  # characters, as `check_name` wants
_PART = re.compile(r"(.+?)=([^=,/]*)(?:,|\Z)")
HINT = "such as woodblock=0.7,ink=0.3"


@dataclass(frozen=True)
class Mixture:
    """Style files with their weights: above 0, the largest first. `find_mixture` makes one of
    `str(mixture)` again."""

    weights: tuple[tuple[Path, float], ...]

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> "Mixture":
        """A mix of styles, by name or by path. Those with weight 0 are left out.

        Raises:
            StyleFileError: there is no such style.
            UsageError: a weight is negative or not finite, all are 0, or two styles have one name.
        """
        found: dict[str, tuple[Path, float]] = {}
        for style, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise UsageError(f"the weight of {style} is {weight}", f"give 0 or more, {HINT}")
            path = find_style(style)
            if style_name(path) in found:
                raise UsageError(f"two styles are called {style_name(path)}", "give each once")
            found[style_name(path)] = path, weight
        parts = [part for _, part in sorted(found.items()) if part[1] > 0]
        if not parts:
            raise UsageError("all weights of the mix are 0", f"give one a value, {HINT}")
        return cls(tuple(sorted(parts, key=lambda part: -part[1])))

    @property
    def files(self) -> list[Path]:
        return [path for path, _ in self.weights]

    @property
    def shares(self) -> list[float]:
        """The weights, divided by their sum."""
        whole = math.fsum(weight for _, weight in self.weights)
        return [weight / whole for _, weight in self.weights]

    @property
    def name(self) -> str:
        """That of the style, or of all with their shares, such as `ink-0.75-woodblock-0.25`; a
        hash replaces the end of a long one. Raises UsageError: a file has no valid name."""
        names = [style_name(path) for path in self.files]
        if len(names) == 1:
            return names[0]
        name = "-".join(f"{n}-{share:.3g}" for n, share in zip(names, self.shares, strict=True))
        if len(name) > LONGEST_NAME:
            mark = "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
            name = name[: LONGEST_NAME - len(mark)] + mark
        return check_name(name)

    def digest(self) -> str:
        """The sha256 of the file, or of all digests and shares, in hex; raises OSError."""
        digests = [digest(path) for path in self.files]
        if len(digests) == 1:
            return digests[0]
        lines = (
            f"{sha256} {share!r}\n" for sha256, share in zip(digests, self.shares, strict=True)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return str(self.files[0])
        return ",".join(f"{path}={weight!r}" for path, weight in self.weights)


def find_mixture(style: str) -> Mixture:
    """A style by name or path, or a mix such as `woodblock=0.7,ink=0.3`.

    Raises:
        StyleFileError: there is no such style.
        UsageError: a style of a mix has no weight or a wrong one, or stands there twice.
    """
    return Mixture.of(read_mix(style)) if is_mix(style) else Mixture(((find_style(style), 1.0),))


def read_mix(style: str) -> dict[str, float]:
    """Style -> weight; raises UsageError as `find_mixture`."""
    parts = _PART.findall(style)
    if "".join(f"{name}={weight}," for name, weight in parts) != f"{style},":
        raise UsageError(f"a style of the mix {style} has no weight", f"give each one, {HINT}")
    weights: dict[str, float] = {}
    for name, text in parts:
        if name in weights:
            raise UsageError(f"{name} stands twice in the mix", "give each style once")
        try:
            weights[name] = float(text)
        except ValueError as error:
            raise UsageError(
                f"the weight of {name} is {text!r}", f"give a number, {HINT}"
            ) from error
    return weights


@dataclass(frozen=True)
class MixedHeader(StyleHeader):
    """The header of a mix, which has no file of its own: made of those of its `parts`, each with
    its share."""

    parts: tuple[tuple[StyleHeader, float], ...] = ()


def mix_headers(mixture: Mixture) -> StyleHeader:
    """The header of the style, or of the mix.

    Raises StyleFileError: a file is damaged, or the networks have different shapes.
    """
    headers = [read_header(path) for path in mixture.files]
    first = headers[0]
    if len(headers) == 1:
        return first
    for header in headers[1:]:
        if header.network != first.network:
            raise StyleFileError(
                f"{header.name} and {first.name} cannot be mixed: their networks differ in shape",
                "mix styles of one architecture, trained at the same size",
            )
    parts = tuple(zip(headers, mixture.shares, strict=True))
    return MixedHeader(
        name=mixture.name,
        network=first.network,
        training=first.training,
        pictures=[
            replace(picture, weight=share * picture.weight / sum(p.weight for p in header.pictures))
            for header, share in parts
            for picture in header.pictures
        ],
        licence=" and ".join(dict.fromkeys(header.licence for header in headers)),
        parts=parts,
    )
