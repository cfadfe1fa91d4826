"""Where the shipped styles and weights are, and which file a style's name stands for."""

import re
from pathlib import Path

from stylize.errors import StyleFileError, UsageError, suggest
from stylize.files import is_file

SUFFIX = ".safetensors"
LOCAL_STYLES = Path("styles")  # where `stylize train` writes, relative to the working folder
VGG16 = "vgg16-relu4_3" + SUFFIX
BASE = "base"  # the shipped network of many styles that training starts from
SCRATCH = "scratch"  # random weights instead of a base

_PACKAGE = Path(__file__).parent
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def shipped(folder: str) -> Path:
    """The folder `models` or `weights`, in the installed package or in the checkout."""
    installed = _PACKAGE / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def check_name(name: str) -> str:
    """`name` if it is valid for a style and its file; raises UsageError otherwise."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a style",
            "use up to 64 lower-case letters, digits, '-', '_' and '.', a letter or digit first",
        )
    return name


def style_name(path: Path) -> str:
    """The name of the style in the file `path`: what every path that holds the name is made of.

    Raises UsageError: it breaks the rule of `check_name`.
    """
    return check_name(path.name.removesuffix(SUFFIX))


def style_files() -> dict[str, Path]:
    """Name -> file of all styles; a local style wins over a shipped one of the same name."""
    return {
        path.name.removesuffix(SUFFIX): path
        for folder in (shipped("models"), LOCAL_STYLES)
        for path in sorted(folder.glob("*" + SUFFIX))
    }


def split_styles(text: str) -> list[str]:
    """Names and files of styles with commas between them; a file may have commas in its name, and
    a mix (`is_mix`) is one style."""
    return [text] if is_file(text) or is_mix(text) else text.split(",")


def is_mix(style: str) -> bool:
    """Whether a style is a mix: styles with weights, such as `woodblock=0.7,ink=0.3`."""
    parts = [] if is_file(style) else style.split(",")
    return any("=" in part and not is_file(part) for part in parts)


def split_member(style: str) -> tuple[str, str]:
    """A style, and which one of it if it is a set: `shop:ink`; else, the second is empty."""
    whole, _, member = style.rpartition(":")
    named = whole and _NAME.fullmatch(member) and not is_file(style)
    return (whole, member) if named else (style, "")


def find_style(style: str) -> Path:
    """The file of a style given by name or by path.

    Raises StyleFileError: there is no such style; the hint suggests similar names.
    """
    if style.endswith(SUFFIX) or "/" in style or Path(style).is_file():
        path = Path(style)
        if not path.is_file():
            raise StyleFileError(f"no style file {style}", "`stylize styles` lists what there is")
        return path
    return find_named_style(style)


def find_named_style(name: str) -> Path:
    """As `find_style`, for a name that comes from elsewhere and must never be used as a path."""
    known = style_files()
    if name not in known:
        hint = suggest(name, known, "`stylize styles` lists what there is")
        if is_mix(name):
            hint = "mixes are for `stylize apply`, `stylize audit`, jobs, and `mix` in Python"
        raise StyleFileError(f"no style named {name!r}", hint)
    return known[name]


def find_base(name: str) -> Path:
    """The file that training starts from: the shipped base, or a style (`find_style`).

    Raises StyleFileError: there is no such file.
    """
    return _shipped_base() if name == BASE else find_style(name)


def find_named_base(name: str) -> Path:
    """As `find_base`, for a name that comes from a file and must never be used as a path."""
    return _shipped_base() if name == BASE else find_named_style(name)


def _shipped_base() -> Path:
    base = shipped("weights") / (BASE + SUFFIX)
    if not base.is_file():
        raise StyleFileError(f"{base} is missing", "reinstall, or use --from scratch")
    return base
