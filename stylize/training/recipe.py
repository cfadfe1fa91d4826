"""The recipe of a training: the options of `stylize train` as a TOML file, and back."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stylize.errors import UsageError, suggest
from stylize.files import read_toml

HEAD = "# Repeat this training with: stylize train --recipe FILE --name another\n"


def read_recipe(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """The settings in a recipe; the command checks their values.

    Raises UsageError: it cannot be read, is not TOML, or has a setting that is not in `known`.
    """
    _, settings = read_toml(path, "--recipe takes the recipe.toml of a training")
    for name in settings:
        if name not in known:
            hint = suggest(name, known, "`stylize train --help` lists them")
            raise UsageError(f"{path}: there is no setting {name!r}", hint)
        if isinstance(settings[name], dict):
            raise UsageError(f"{path}: {name} is a table", "give it a value, or a list of them")
    return settings


def write_recipe(settings: Mapping[str, Any]) -> str:
    """A recipe as text; leaves out settings that are None, makes paths absolute."""
    import tomli_w

    return HEAD + tomli_w.dumps({k: _plain(v) for k, v in settings.items() if v is not None})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
