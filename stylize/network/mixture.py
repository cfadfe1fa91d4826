"""What a style is made of: one file, or several with weights, which is a mix. Needs no torch."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stylize.assets import check_name, find_style, is_mix, split_member, style_name
from stylize.errors import StyleFileError, UsageError
from stylize.files import digest
from stylize.network.style_header import StyleHeader, read_header

LONGEST_NAME = 64  # characters, as `check_name` wants
_PART = re.compile(r"(.+?)=([^=,/]*)(?:,|\Z)")
HINT = "such as woodblock=0.7,ink=0.3"


@dataclass(frozen=True)
class Part:
    """A style: its file, or of a set the file and which `member` of it."""

    path: Path
    member: str = ""
    weight: float = 1.0

    @classmethod
    def find(cls, style: str, weight: float = 1.0) -> "Part":
        """Raises StyleFileError: there is no such file."""
        whole, member = split_member(style)
        return cls(find_style(whole), member, weight)

    @property
    def name(self) -> str:
        """Such as `ink` or `shop-ink`. Raises UsageError: the file has no valid name."""
        return "-".join(filter(None, (style_name(self.path), self.member)))

    def digest(self) -> str:
        """Raises OSError."""
        whole = digest(self.path)
        if not self.member:
            return whole
        return hashlib.sha256(f"{whole} {self.member}".encode()).hexdigest()

    def header(self) -> StyleHeader:
        """Raises StyleFileError, as `read_header`."""
        return read_header(self.path, self.member)

    def __str__(self) -> str:
        return ":".join(filter(None, (str(self.path), self.member)))


@dataclass(frozen=True)
class Mixture:
    """Styles with their weights: above 0, the largest first. `find_mixture` makes one of
    `str(mixture)` again."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> "Mixture":
        """A mix of styles, by name or by path. Those with weight 0 are left out.

        Raises:
            StyleFileError: there is no such style.
            UsageError: a weight is negative or not finite, all are 0, or two styles have one name.
        """
        found: dict[str, Part] = {}
        for style, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise UsageError(f"the weight of {style} is {weight}", f"give 0 or more, {HINT}")
            part = Part.find(style, weight)
            if part.name in found:
                raise UsageError(f"two styles are called {part.name}", "give each once")
            found[part.name] = part
        parts = [part for _, part in sorted(found.items()) if part.weight > 0]
        if not parts:
            raise UsageError("all weights of the mix are 0", f"give one a value, {HINT}")
        return cls(tuple(sorted(parts, key=lambda part: -part.weight)))

    @property
    def files(self) -> list[Path]:
        return [part.path for part in self.parts]

    @property
    def shares(self) -> list[float]:
        """The weights, divided by their sum."""
        whole = math.fsum(part.weight for part in self.parts)
        return [part.weight / whole for part in self.parts]

    @property
    def name(self) -> str:
        """That of the style, or of all with their shares, such as `ink-0.75-woodblock-0.25`; a
        hash replaces the end of a long one. Raises UsageError: a file has no valid name."""
        names = [part.name for part in self.parts]
        if len(names) == 1:
            return names[0]
        name = "-".join(f"{n}-{share:.3g}" for n, share in zip(names, self.shares, strict=True))
        if len(name) > LONGEST_NAME:
            mark = "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
            name = name[: LONGEST_NAME - len(mark)] + mark
        return check_name(name)

    def digest(self) -> str:
        """The sha256 of the file, or of all digests and shares, in hex; raises OSError."""
        digests = [part.digest() for part in self.parts]
        if len(digests) == 1:
            return digests[0]
        lines = (
            f"{sha256} {share!r}\n" for sha256, share in zip(digests, self.shares, strict=True)
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def __str__(self) -> str:
        if len(self.parts) == 1:
            return str(self.parts[0])
        return ",".join(f"{part}={part.weight!r}" for part in self.parts)


def find_mixture(style: str) -> Mixture:
    """A style by name or path, or a mix such as `woodblock=0.7,ink=0.3`.

    Raises:
        StyleFileError: there is no such style.
        UsageError: a style of a mix has no weight or a wrong one, or stands there twice.
    """
    return Mixture.of(read_mix(style)) if is_mix(style) else Mixture((Part.find(style),))


def singles(styles: Iterable[str]) -> list[str]:
    """The styles by name or path, each by itself: in place of a set stand those in it.

    Raises StyleFileError: there is no such style. One that cannot be read stays as it is.
    """
    found = []
    for style in styles:
        part = Part.find(style)
        try:
            members = [] if part.member else part.header().members
        except StyleFileError:
            members = []
        found += [f"{style}:{member}" for member in members] or [style]
    return found


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
    headers = [part.header() for part in mixture.parts]
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
