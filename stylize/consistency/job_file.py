"""The job file of a brand (TOML): inputs, styles, variants, limits. Errors name the line."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Never, TypeVar

from stylize.assets import LOCAL_STYLES, SUFFIX, check_name, is_mix, split_member, style_name
from stylize.config import ApplyConfig, Look
from stylize.consistency.limits import AuditLimits
from stylize.errors import UsageError, suggest
from stylize.files import is_file, locate_here, read_toml, write_file
from stylize.network.mixture import Mixture, read_mix

REPORT_FOLDER, AUDIT = "report", "audit.json"  # beside the folders of the variants
RESERVED = (REPORT_FOLDER, AUDIT)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

EXAMPLE = """\
# A brand's job. `stylize job check FILE` shows what a run would do, `stylize job run FILE` does it.
# Paths are relative to this file. Lines that start with # are optional.

inputs = ["photos"]             # photos, and folders of photos
output = "painted"              # will hold a folder for each style and variant
styles = ["woodblock"]          # see `stylize styles`
# masks = "masks"               # mirrors the inputs; white marks the product

[look]                          # for all variants
# strength = 1.0                # 0 is the photo, 1 the full style
# preserve_color = false        # true: keep the photo's colours
# background = "stylize"        # or "keep", or "transparent"
# even_light = true             # false: leave light from one side as it is
# stroke = 1.0                  # size of forms relative to the picture; 1 is as in training

[[variant]]
name = "web"                    # name of its folder
size = 2048                     # longest side in pixels
format = "webp"                 # keep, jpg, png, webp, avif or tiff
quality = 90
# file_name = "{stem}-{style}{suffix}"
# numbered = false              # true: photos of one name get numbers (a.jpg, a~2.jpg)
# strip = false                 # true: remove all metadata
# strip_gps = false             # true: remove the location

[[variant]]
name = "thumb"
size = 512
format = "jpg"

# [[variant]]
# name = "cut-out"
# format = "png"
# background = "transparent"    # a variant can change the look

[audit]                         # of the first variant; beyond its limits, the exit code is 1
# max_spread = 0.5
# max_outliers = 0
# report = true                 # write report/report.html beside the variants
"""

_JOB = {"inputs", "output", "styles", "masks", "look", "variant", "audit"}
_LOOK = {field.name for field in fields(Look)}
_FILES = {"size", "format", "quality", "numbered", "strip", "strip_gps"}
_FILE_NAME = "file_name"  # `name` of the settings: a variant has one of its own
_LIMITS = {field.name for field in fields(AuditLimits)}

Settings = TypeVar("Settings", Look, ApplyConfig, AuditLimits)


@dataclass(frozen=True)
class Variant:
    """One way to write all photos, into a folder of that name."""

    name: str
    config: ApplyConfig


@dataclass(frozen=True)
class Brand:
    """The content of a job file. Outputs go to `output`/STYLE/VARIANT.

    `styles` maps names to what `find_mixture` accepts. Without `limits`, nothing is audited.
    """

    path: Path
    inputs: tuple[Path, ...]
    output: Path
    styles: dict[str, str]
    variants: tuple[Variant, ...]
    limits: AuditLimits | None
    report: bool

    def folder(self, style: str, variant: str) -> Path:
        return self.output / style / variant


def read_brand(path: Path) -> Brand:
    """Read and check a job file; the job itself checks that its inputs and styles exist.

    Raises UsageError: it cannot be read, or an entry is unknown, missing or wrong; names the line.
    """
    text, values = read_toml(path, "`stylize job new` writes one; texts stand in quotes")
    top = Table(path, text, values)
    top.refuse_others(_JOB)
    look, audit = top.table("look"), top.table("audit")
    look.refuse_others(_LOOK)
    audit.refuse_others({*_LIMITS, "report"})
    limits = {key: value for key, value in audit.values.items() if key != "report"}
    masks = top.text("masks")
    for key in ("inputs", "output", "masks"):
        top.refuse_urls(key)
    try:
        styles = [_style(path, style) for style in top.texts("styles")]
    except UsageError as error:
        raise top.wrong("styles", str(error), error.hint) from error
    if len({name for name, _ in styles}) < len(styles):
        raise top.wrong("styles", "two styles have one name", "name each once")
    return Brand(
        path=path,
        inputs=tuple(path.parent / text for text in top.texts("inputs")),
        output=path.parent / (top.text("output") or top.missing("output")),
        styles=dict(styles),
        variants=_variants(top, look, str(path.parent / masks) if masks else None),
        limits=audit.settings(AuditLimits, limits) if "audit" in values else None,
        report=audit.flag("report", default=True),
    )


def _style(path: Path, style: str) -> tuple[str, str]:
    """A style's name, and its path relative to the job file if it is a file or a local style; of
    a mix, these of all its styles."""
    if is_mix(style):
        parts = {_style(path, part)[1]: weight for part, weight in read_mix(style).items()}
        mixture = Mixture.of(parts)
        return mixture.name, str(mixture)
    whole, member = split_member(style)
    if whole.endswith(SUFFIX) or "/" in whole:
        name, place = style_name(Path(whole)), str(path.parent / whole)
    else:
        name = check_name(whole)
        trained = path.parent / LOCAL_STYLES / (whole + SUFFIX)
        place = str(trained) if is_file(trained) else whole
    return (f"{name}-{member}", f"{place}:{member}") if member else (name, place)


def _variants(top: "Table", look: "Table", masks: str | None) -> tuple[Variant, ...]:
    variants: dict[str, Variant] = {}
    for table in top.tables("variant"):
        table.refuse_others({"name", _FILE_NAME, *_FILES, *_LOOK})
        name = table.text("name") or table.missing("name")
        if not _NAME.fullmatch(name) or name.casefold() in (*variants, *RESERVED):
            hint = "another one, of letters, digits, '-', '_' and '.'"
            raise table.wrong("name", f"{name!r} cannot be a variant's name", hint)
        own = {key: value for key, value in table.values.items() if key in _LOOK}
        table.settings(Look, own)
        settings = {key: value for key, value in table.values.items() if key in _FILES}
        if _FILE_NAME in table.values:
            table.settings(ApplyConfig, {"name": table.values[_FILE_NAME]}, key=_FILE_NAME)
            settings["name"] = table.values[_FILE_NAME]
        merged = look.settings(Look, {**look.values, **own})
        if masks and "background" not in {**look.values, **own}:
            merged = replace(merged, background="keep")
        config = table.settings(ApplyConfig, settings)
        try:
            config = replace(config, look=merged, masks=masks)
        except UsageError as error:
            raise table.wrong(None, str(error), error.hint) from error
        variants[name.casefold()] = Variant(name, config)
    return tuple(variants.values()) or top.missing("variant")


@dataclass(frozen=True)
class Table:
    """One table of a job file, the `index`-th of its name."""

    path: Path
    source: str
    values: Mapping[str, Any]
    name: str = ""
    index: int = 0

    def wrong(self, key: str | None, what: str, hint: str) -> UsageError:
        return UsageError(f"{self.path}:{self._line(key)}: {what}", hint)

    def missing(self, key: str) -> Never:
        near = [line for line in EXAMPLE.splitlines() if line.strip("[# ").startswith(key)]
        raise self.wrong(None, f"{key} is missing", f"such as {near[0].split('  ')[0]}")

    def refuse_others(self, known: Iterable[str]) -> None:
        for key in self.values:
            if key not in known:
                hint = suggest(key, known, f"there are {', '.join(sorted(known))}")
                raise self.wrong(key, f"there is no setting {key!r} here", hint)

    def settings(self, kind: type[Settings], values: Mapping[str, Any], key: str = "") -> Settings:
        """Settings of that `kind`; errors name the line of the wrong value, or of `key`."""
        for name, value in values.items():
            try:
                kind.from_dict({name: value})
            except UsageError as error:
                raise self.wrong(key or name, str(error), error.hint) from error
        return kind.from_dict(dict(values))

    def text(self, key: str) -> str:
        """The text under `key`, or an empty one."""
        value = self.values.get(key, "")
        if not isinstance(value, str):
            raise self.wrong(key, f"{key} is {value!r}", "give a text, in quotes")
        return value

    def refuse_urls(self, key: str) -> None:
        value = self.values.get(key)
        for text in value if isinstance(value, list) else [value]:
            try:
                locate_here(str(text))
            except UsageError as error:
                raise self.wrong(key, str(error), error.hint) from error

    def texts(self, key: str) -> list[str]:
        value = self.values.get(key) or self.missing(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, f"{key} is {value!r}", f'give a list of texts: {key} = ["..."]')
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{key} is {value!r}", "give true or false")
        return value

    def table(self, key: str) -> "Table":
        """The table under `key`, or an empty one."""
        values = self.values.get(key, {})
        if not isinstance(values, dict):
            raise self.wrong(key, f"{key} is no table", f"write [{key}], and its settings below")
        return Table(self.path, self.source, values, key)

    def tables(self, key: str) -> list["Table"]:
        several = self.values.get(key, [])
        if not isinstance(several, list) or not all(isinstance(each, dict) for each in several):
            raise self.wrong(key, f"{key} is no list of tables", f"write [[{key}]] above each")
        return [
            Table(self.path, self.source, values, key, index)
            for index, values in enumerate(several)
        ]

    def _line(self, key: str | None) -> int:
        """The line of a key of this table, or of the table itself, or 1."""
        here, seen = "", 0
        for number, line in enumerate(self.source.splitlines(), start=1):
            if header := re.match(r"\s*\[\[?\s*([\w-]+)\s*\]", line):
                here = header[1]
                seen += here == self.name
                at_header = here == self.name and seen == self.index + 1
                if at_header and (key is None or key == self.name):
                    return number
            elif here == self.name and seen in (0, self.index + 1):
                found = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
                if found and found[1] == key:
                    return number
            elif not here and re.match(rf"\s*{re.escape(self.name)}\s*=", line):  # an inline table
                return number
        # An error in the file itself may be about a table.
        pattern = rf"^\s*\[*\s*{re.escape(key or '')}\b"
        named = re.search(pattern, self.source, re.MULTILINE) if key else None
        return self.source.count("\n", 0, named.start()) + 1 if named else 1


def write_example(path: Path) -> None:
    """Write a job file to start from; raises UsageError if the file exists."""
    if os.path.lexists(path):
        raise UsageError(f"{path} exists", "choose another name")
    try:
        write_file(path, EXAMPLE.encode())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "choose another place") from error
