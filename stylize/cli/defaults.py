"""Settings of one's own: defaults for the options of `stylize apply` and `stylize train`.

They lie in stylize.toml, or in pyproject.toml under [tool.stylize], in the current folder or one
above it. Relative paths in them are relative to the file.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stylize.cli.terminal import err, print_line
from stylize.config import AUTO
from stylize.errors import UsageError, suggest
from stylize.files import read_toml

FILE, PROJECT = "stylize.toml", "pyproject.toml"
COMMANDS = ("apply", "train")
NONE = "none"  # no file
# Said on each run, or not at all.
NEVER = ("help", "json", "resume", "overwrite", "recipe", "watch", "defaults")
PATHS = ("output", "masks", "anchor", "content", "log_dir")  # parameters that hold a path
HINT = "`stylize apply --help` and `stylize train --help` list the settings"


def find_defaults(start: Path) -> Path | None:
    """The first file of settings in `start` or above it.

    A file of another user, who may have left it in a shared folder, is passed over, and said so.
    """
    for folder in (start, *start.parents):
        for path in (folder / FILE, folder / PROJECT):
            if not path.is_file() or (path.name == PROJECT and not _of_project(path)):
                continue
            if path.stat().st_uid in (os.getuid(), 0):
                return path
            print_line(err, f"{path} belongs to another user and is not used", "yellow")
    return None


def _of_project(path: Path) -> bool:
    try:
        tools = read_toml(path, HINT)[1].get("tool")
    except UsageError:  # a file that is not ours to judge
        return False
    return isinstance(tools, dict) and isinstance(tools.get("stylize"), dict)


def names_of(context: typer.Context, without: Iterable[str] = NEVER) -> dict[str, str]:
    """Parameter of the command -> its name in a file: that of the option, without dashes."""
    return {
        parameter.name: max(parameter.opts, key=len).lstrip("-")
        for parameter in context.command.params
        if parameter.name and parameter.name not in without
    }


def as_parameters(
    context: typer.Context, path: Path, settings: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    """`settings` of the file `path` under the names of the command's parameters (`names`).

    Raises UsageError: a switch is not true or false, or something else is.
    """
    words = {word: name for name, word in names.items()}
    flags = {p.name for p in context.command.params if getattr(p, "is_flag", False)}
    for word, value in settings.items():
        if isinstance(value, bool) != (words[word] in flags):
            hint = "true or false" if words[word] in flags else "as on the command line"
            raise UsageError(f"{path}: {word} is {value!r}", f"give it a value {hint}")
    return {words[word]: value for word, value in settings.items()}


def _use(context: typer.Context, given: Path | None) -> Path | None:
    """Make the settings of a file the defaults of the command; returns the file."""
    if given is not None and str(given) == NONE:
        return None
    path = given or find_defaults(Path.cwd())
    if path is None or context.resilient_parsing:  # the latter while the shell completes a word
        return None
    _, tables = read_toml(path, HINT)
    if path.name == PROJECT:
        tables = tables["tool"]["stylize"] if _of_project(path) else {}
    for name in tables:
        if name not in COMMANDS:
            hint = suggest(name, COMMANDS, "it may have [apply] and [train]")
            raise UsageError(f"{path}: there is no table [{name}]", hint)
    settings = tables.get(context.info_name or "", {})
    if not isinstance(settings, dict):
        raise UsageError(f"{path}: {context.info_name} is {settings!r}", "it must be a table")
    arguments = {p.name or "" for p in context.command.params if p.param_type_name == "argument"}
    names = names_of(context, {*NEVER, *arguments})
    for word in settings:
        if word not in names.values():
            raise UsageError(
                f"{path}: [{context.info_name}] has no setting {word!r}",
                suggest(word, names.values(), HINT),
            )
    found = as_parameters(context, path, settings, names)
    for name in PATHS:
        if name in found and found[name] != AUTO:
            found[name] = str(path.absolute().parent / str(found[name]))
    # A recipe has been read before or will be read after this; it wins.
    context.default_map = {**found, **(context.default_map or {})}
    return path


Defaults = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        callback=_use,
        is_eager=True,
        metavar="FILE|none",
        help="File with settings of your own. By default stylize.toml, or pyproject.toml with "
        "[tool.stylize], in this folder or above.",
    ),
]
