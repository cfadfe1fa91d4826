"""`stylize info`: what is installed and what photos can be computed on, for a report of a fault."""

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from stylize import __version__
from stylize.assets import LOCAL_STYLES, shipped, style_files
from stylize.cli.defaults import find_defaults
from stylize.cli.terminal import out, print_line
from stylize.errors import StylizeError, install

EPILOG = "Examples:\n\nstylize info\n\nstylize info > report.txt"

FOR_DEVELOPERS = ("dev", "test")  # extras that no user needs
# What a line of a package's metadata says of an optional part: a distribution and the extra.
_REQUIREMENT = re.compile(r"([\w.-]+).*; *extra *== *['\"](\w+)['\"]")


def info() -> None:
    """Print versions, devices, memory, styles and optional parts, to paste into a bug report.

    The only paths in it are those of the shipped styles and of your settings.
    """
    rows = [*_versions(), *_devices(), *_styles(), *_parts()]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print_line(out, f"{name:<{width}}  {text}")


def _versions() -> Iterator[tuple[str, str]]:
    import torch

    yield "stylize", __version__
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    built = torch.version.cuda or torch.version.hip or torch.version.xpu
    yield "torch", f"{torch.__version__}, {f'built for {built}' if built else 'built for CPUs'}"
    for name in ("torchvision", "triton", "numpy", "scipy", "pillow", "safetensors"):
        yield name, _version(name) or "missing"


def _devices() -> Iterator[tuple[str, str]]:
    import psutil

    from stylize.network.device import available, choose, free_memory, has_bf16_units
    from stylize.network.memory import in_words

    for device in available():
        compute = choose(str(device), "fp32")
        bf16 = "bf16 units" if has_bf16_units(device) else "no bf16 units"
        yield f"device {device}", f"{compute.detail}, {bf16}"
    try:
        used = choose().describe()
        yield "auto chooses", f"{used.device}, {used.precision}, instance norm by {used.norm}"
    except StylizeError as error:  # such as a wrong STYLIZE_NORM
        yield "auto chooses", f"nothing: {error}"
    free, installed = free_memory(), psutil.virtual_memory().total
    yield "memory", f"{in_words(free)} free of {in_words(installed)}"


def _styles() -> Iterator[tuple[str, str]]:
    places = {name: path.parent for name, path in style_files().items()}
    models = shipped("models")
    own = [name for name, folder in places.items() if folder != models]
    yield "shipped styles", f"{len(places) - len(own)}, in {models}"
    yield "own settings", str(find_defaults(Path.cwd()) or "none")
    yield "own styles", f"{len(own)} in {LOCAL_STYLES}/" + (f": {', '.join(own)}" if own else "")


def _parts() -> Iterator[tuple[str, str]]:
    """Each extra with the versions of its distributions, or the command that adds it."""
    parts: dict[str, dict[str, str]] = {}
    for line in _requirements():
        found = _REQUIREMENT.match(line)
        if found and found[2] not in FOR_DEVELOPERS:
            parts.setdefault(found[2], {})[found[1]] = _version(found[1])
    for extra, versions in sorted(parts.items()):
        here = ", ".join(f"{name} {number}" for name, number in versions.items())
        yield f"part [{extra}]", here if all(versions.values()) else f"to add it: {install(extra)}"


def _requirements() -> list[str]:
    try:
        return requires("stylize") or []
    except PackageNotFoundError:  # run from its sources, without an installation
        return []


def _version(distribution: str) -> str:
    """Empty if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
