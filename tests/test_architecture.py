"""Rooms import one way only, files stay short, and torch stays out of what must start fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stylize

PACKAGE = Path(stylize.__file__).parent
VOCABULARY, COMMAND = "vocabulary", "command"
# What each room may import beside itself. Modules in the package's root folder are the vocabulary
# that every room speaks, but for the style that is ready for use and `python -m stylize`.
MAY_IMPORT = {
    VOCABULARY: set(),
    "photos": {VOCABULARY},
    "network": {VOCABULARY},
    "objective": {VOCABULARY, "photos"},
    "style": {VOCABULARY, "photos", "network", "objective"},
    "training": {VOCABULARY, "photos", "network", "objective", "style"},
    "storage": {VOCABULARY},
    "video": {VOCABULARY, "photos", "network", "style"},
    "batch": {VOCABULARY, "photos", "network", "style", "storage", "video"},
    "api": {VOCABULARY, "photos", "network", "style", "batch"},
    "export": {VOCABULARY, "photos", "network", "style"},
    "consistency": {
        *(VOCABULARY, "photos", "network", "objective", "style", "training", "batch"),
    },
    "page": {
        *(VOCABULARY, "photos", "network", "style", "training", "batch"),
    },
    "cli": {
        *(VOCABULARY, "photos", "network", "style", "training", "batch", "consistency", "export"),
        "page",
    },
    COMMAND: {"cli"},
}
SINGLE = {"style": "style", "__main__": COMMAND}  # rooms of one module
WITHOUT_TORCH = (
    *("assets", "config", "errors", "events", "files", "settings", "cli.main"),
    *("photos.exif", "photos.metadata", "network.style_header", "network.style_card"),
    *("training.recipe", "batch.plan", "batch.manifest", "batch.tasks", "batch.catalog"),
    *("consistency.job_file", "storage.connect", "storage.store", "storage.lease"),
)
MOST_FILES_IN_ROOT = 10
MOST_LINES = 320
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def room_of(module: str) -> str:
    room, _, rest = module.partition(".")
    if room in SINGLE:
        return SINGLE[room]
    return room if rest or (PACKAGE / room).is_dir() else VOCABULARY


def imports_of(module: str) -> set[str]:
    """The modules of this package that `module` imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name.removeprefix("stylize.") in MODULES}
            found |= modules or {node.module}
    return {name.removeprefix("stylize.") for name in found if name.startswith("stylize.")}


def test_every_room_is_known():
    assert {room_of(module) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    room = room_of(module)
    for name in imports_of(module):
        assert room_of(name) in MAY_IMPORT[room] | {room}, f"{module} imports {name}"


def test_no_import_cycles():
    graph = {module: imports_of(module) for module in MODULES}
    while graph:
        free = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert free, f"a cycle among {sorted(graph)}"
        for module in free:
            del graph[module]


def test_the_root_folder_is_small():
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= MOST_FILES_IN_ROOT


@pytest.mark.parametrize("module", MODULES)
def test_no_file_is_long(module):
    assert len(MODULES[module].read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_module_leaves_torch_out(module):
    code = f"import sys, stylize.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
