"""Who imports whom, read from the source.

Imports count at any depth, under TYPE_CHECKING, by string and by attribute.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

LAYERS = ("views", "encoders", "recipes")
MAY_IMPORT = {"core": (), "views": ("views",), "encoders": ("encoders",), "recipes": LAYERS}
BY_STRING = ("import_module", "__import__", "find_spec")


def python_files(folder: Path) -> list[Path]:
    """Every Python file below a folder, without following links."""
    return sorted(Path(at) / name for at, _, names in os.walk(folder) for name in names if name.endswith(".py"))


def module_of(path: Path) -> str:
    """The import name of a path in the checkout: `views/lab.py` is `multiview.views.lab`."""
    parts = path.with_suffix("").parts
    parts = parts if parts[0] == "multiview" else ("multiview", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    """`views`, `encoders` or `recipes` for what lies in them, `core` for the rest of multiview."""
    second = module.split(".")[1:2]
    return second[0] if second and second[0] in LAYERS else "core"


FACE = Path("multiview/__init__.py")
"""The public face names views and encoders for type checkers only."""


def offences(source: str, path: Path) -> list[str]:
    """A sentence for every forbidden import of a file; `path` is relative to the checkout."""
    layer = layer_of(module_of(path)) if path.parts[0] in ("multiview", *LAYERS) else "outside"
    found = []
    for line, target in imported(source, path, types=path != FACE):
        first = target.split(".")[0]
        if first in LAYERS:
            found.append(f"{path}:{line}: imports {target}; write multiview.{target}")
        elif first == "multiview" and layer != "outside" and layer_of(target) not in ("core", *MAY_IMPORT[layer]):
            found.append(f"{path}:{line}: {layer} imports {target}")
    return found


@cache  # several tests ask about the same files
def imported(source: str, path: Path, types: bool = True) -> tuple[tuple[int, str], ...]:
    """Line and dotted name of every import; types: also those under TYPE_CHECKING."""
    return tuple(_imported(source, path, types))


def _imported(source: str, path: Path, types: bool) -> Iterator[tuple[int, str]]:
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    nodes = list(ast.walk(ast.parse(source, str(path))))
    names = dict(_names_of_the_root(nodes))
    left_out = set() if types or "TYPE_CHECKING" not in source else set(_for_type_checkers(nodes))
    for node in nodes:
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from _by_string(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield node.lineno, f"multiview.{node.attr}"


def _for_type_checkers(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Everything in the body of `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (inner for statement in node.body for inner in ast.walk(statement))


def _base(node: ast.ImportFrom, package: str) -> str:
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _by_string(node: ast.Call) -> Iterator[tuple[int, str]]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in BY_STRING and node.args and isinstance(node.args[0], ast.Constant):
        yield node.lineno, str(node.args[0].value)


def _names_of_the_root(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Local names of the package `multiview`; its attributes reach everything."""
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import) else ():
            if alias.name == "multiview" or (alias.name.startswith("multiview.") and not alias.asname):
                yield alias.asname or "multiview", "multiview"
