"""Imports only point to lower levels; torch stays out of what must start fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stylize

PACKAGE = Path(stylize.__file__).parent
LEVELS = (
    (
        *("_version", "errors", "config", "assets", "files", "events", "header"),
        *("plan", "manifest", "todo", "recipe", "brand"),
    ),
    (
        *("device", "memory", "buffers", "exif", "metadata", "pixels", "images", "tensors"),
        *("formats", "masks", "look", "batches"),
        *("srgb", "lighting", "shading", "content", "workers"),
    ),
    (
        *("instance_norm", "instance_norm_ops", "instance_norm_torch"),
        *("instance_norm_triton", "instance_norm_kernels", "network", "strips"),
        *("checkpoint", "many_styles", "anchor"),
    ),
    ("vgg", "loss", "appearance"),
    (
        "optimizer",
        "trainer",
        "preview",
        "board",
        "run_folder",
        "training_loop",
        "style",
        "reader",
        "pipeline",
        "apply",
        "train",
        "audit",
        "light_spread",
        "report",
        "job",
        "verify",
        "sheet",
        "progress",
        "progress_audit",
        "progress_job",
        "progress_styles",
    ),
    (
        "cli_common",
        "cli_apply",
        "cli_train",
        "cli_audit",
        "cli_job",
        "cli_styles",
        "cli",
        "__main__",
    ),
)
WITHOUT_TORCH = (*LEVELS[0], "exif", "metadata", "progress", "cli")


def level_of(module: str) -> int:
    return next(level for level, names in enumerate(LEVELS) if module in names)


def imports_of(path: Path) -> set[str]:
    """Modules that `path` imports, at the top or inside functions: stylize ones by their name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "stylize":
                found |= {f"stylize.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def test_every_module_has_a_level():
    assert sorted(name for names in LEVELS for name in names) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    for name in imports_of(PACKAGE / f"{module}.py"):
        if name.startswith("stylize."):
            assert level_of(name.removeprefix("stylize.")) <= level_of(module), name


def test_no_import_cycles():
    graph = {
        module: {
            name.removeprefix("stylize.")
            for name in imports_of(PACKAGE / f"{module}.py")
            if name.startswith("stylize.")
        }
        for module in MODULES
    }
    while graph:
        free = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert free, f"a cycle among {sorted(graph)}"
        for module in free:
            del graph[module]


@pytest.mark.parametrize("module", MODULES)
def test_no_file_is_long(module):
    assert len((PACKAGE / f"{module}.py").read_text().splitlines()) <= 320


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_module_leaves_torch_out(module):
    code = f"import sys, stylize.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
