"""All public names: package, plugins, commands, options, recipe fields, modules, definitions.

A list of names is one text with spaces, so that a golden has one line per command or module.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import distribution
from types import ModuleType
from typing import Any

from goldens import command

import multiview

OPTION = re.compile(r"^  (?:-h, )?(--[A-Za-z][\w.]*)|\[(--\w+)\]", re.MULTILINE)
POSITIONAL = re.compile(r"^positional arguments:\n((?:  .*\n)+)", re.MULTILINE)
SUBJECTS = ("view", "encoder", "objective", "source")


def public() -> list[str]:
    """The names that `import multiview as mv` offers."""
    return sorted(multiview.__all__)


def entry_points() -> dict[str, dict[str, str]]:
    """Group -> name -> target, of this package."""
    found: dict[str, dict[str, str]] = {}
    for point in distribution("multiview-cmc").entry_points:
        found.setdefault(point.group, {})[point.name] = point.value
    return {group: dict(sorted(names.items())) for group, names in sorted(found.items())}


def plugins(group: str) -> list[str]:
    """The names in a group of entry points."""
    return list(entry_points()[f"multiview.{group}"])


def options() -> dict[str, str]:
    """Command -> the arguments that its --help lists; of recipes with every objective too."""
    found = [[], *([name] for name in commands())]
    found += [["preprocess", name] for name in plugins("sources")]
    found += [["train", name] for name in plugins("recipes")]
    found += [["train", "cmc_lab", "--objective", name] for name in plugins("objectives") if name != "symile"]
    found += [["train", "cmc_rgbd", "--topology", "joint", "--objective", "symile"]]
    found += [["check", "parity", "cmc_lab"], *(["check", subject] for subject in SUBJECTS)]
    return {" ".join(words): " ".join(_options(help_of(words))) for words in found}


def _options(text: str) -> list[str]:
    """The options that a text of --help lists, and the names of what is given without a dash."""
    options = {one or other for one, other in OPTION.findall(text)}
    given = [name for block in POSITIONAL.findall(text) for name in re.findall(r"^  (\w+)", block, re.MULTILINE)]
    return [*given, *sorted(options)]


def help_of(words: list[str]) -> str:
    """What a command's --help prints."""
    said = io.StringIO()
    with redirect_stdout(said):
        assert command(*words, "--help") == 0
    return said.getvalue()


def commands() -> list[str]:
    """The commands that `multiview --help` lists."""
    return re.findall(r"^  (\w+) ", help_of([]), re.MULTILINE)


def recipe_fields() -> dict[str, dict[str, str]]:
    """Recipe -> dotted field -> repr of its default, or the class name of a field with fields."""
    points = {
        point.name: point for point in distribution("multiview-cmc").entry_points.select(group="multiview.recipes")
    }
    return {name: dict(_fields(points[name].load())) for name in sorted(points)}


def _fields(kind: type, value: Any = None, prefix: str = "") -> Iterator[tuple[str, str]]:
    for each in fields(kind):
        default = _default(each) if value is None else getattr(value, each.name)
        if is_dataclass(default):
            yield prefix + each.name, type(default).__name__
            yield from _fields(type(default), default, f"{prefix}{each.name}.")
        else:
            yield prefix + each.name, repr(default)


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def modules() -> dict[str, str]:
    """Module path -> the public names that it defines; of a package also those that it gathers."""
    paths = ["multiview", *(each.name for each in pkgutil.walk_packages(multiview.__path__, "multiview."))]
    return {path: _names(importlib.import_module(path)) for path in sorted(paths)}


def _names(module: ModuleType) -> str:
    tree = ast.parse(inspect.getsource(module))
    found = {name for node in tree.body for name in _defined(node, gathers=hasattr(module, "__path__"))}
    found |= set(getattr(module, "__all__", ()))
    return " ".join(sorted(name for name in found if not name.startswith("_") and hasattr(module, name)))


def _defined(node: ast.stmt, gathers: bool) -> Iterator[str]:
    """The names that a statement at a module's top defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
    elif gathers and isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multiview"):
        yield from (alias.asname or alias.name for alias in node.names)
