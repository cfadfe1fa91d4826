"""How the package is built: modules, levels of imports, edges between rooms, lines, long functions.

    python bench/structure.py [PACKAGE]

Reads the sources with `ast` and imports nothing. The level of a module is one more than that of the
highest module it imports. PACKAGE is a folder; the default is this checkout's `stylize`.
"""

import ast
import sys
from collections import Counter
from functools import cache
from pathlib import Path

LONGEST = 10  # functions to list


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name below the package -> file; `__init__` files stand for their folder."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = path
    found.pop("", None)
    return found


def imports_of(path: Path, package: str, modules: dict[str, Path]) -> set[str]:
    """Names of the modules of the package that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inside if name.removeprefix(f"{package}.") in modules} or {
                node.module
            }
    own = {name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")}
    return own & modules.keys()


def room_of(module: str, package: Path) -> str:
    room = module.split(".", maxsplit=1)[0]
    return room if (package / room).is_dir() else "(root)"


def main() -> None:
    package = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "stylize")
    modules = modules_of(package)
    graph = {name: imports_of(path, package.name, modules) for name, path in modules.items()}

    @cache
    def level(module: str) -> int:
        return 1 + max((level(needed) for needed in graph[module]), default=0)

    edges = [(module, needed) for module, names in graph.items() for needed in names]
    print(f"modules {len(modules)}, imports {len(edges)}, levels {max(map(level, modules))}")
    print(f"files in the root folder {sum(path.is_file() for path in package.iterdir())}")

    rooms = Counter((room_of(one, package), room_of(other, package)) for one, other in edges)
    print("\nimports from room to room")
    for (one, other), count in sorted(rooms.items()):
        if one != other:
            print(f"  {one:12} -> {other:12} {count:4}")

    lines: Counter[str] = Counter()
    for path in package.rglob("*.py"):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        lines[room_of(module, package)] += len(path.read_text().splitlines())
    print("\nlines")
    for room, count in lines.most_common():
        print(f"  {room:12} {count:6}")
    print(f"  {'all':12} {lines.total():6}")

    functions = sorted(
        (
            (node.end_lineno - node.lineno + 1, f"{module}.{node.name}")
            for module, path in modules.items()
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef) and node.end_lineno
        ),
        reverse=True,
    )
    print("\nlongest functions, in lines")
    for count, name in functions[:LONGEST]:
        print(f"  {count:4} {name}")


if __name__ == "__main__":
    main()
