"""The installed plugins of every group: name, package, one line of help, and errors.

The help is read from the source text. Plugins of this package are therefore not imported. Plugins
of other packages are imported, because only an import shows whether they work.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from multiview.papers import PREFIX, about, paper_files
from multiview.plugins import Plugin, installed

OURS = "multiview-cmc"


@dataclass(frozen=True)
class Entry:
    """One line of the list: a plugin and the first sentence of its docstring.

    `trouble` says why the plugin cannot be used; "" = it can.
    """

    plugin: Plugin
    help: str
    trouble: str = ""


def entries(group: str) -> list[Entry]:
    """Every plugin of a group, by name."""
    plugins = installed(group)
    names = Counter(plugin.name for plugin in plugins)
    return [_entry(plugin, names[plugin.name]) for plugin in plugins]


def lines(groups: Sequence[str]) -> Iterator[str]:
    """The lines that `multiview list` prints."""
    by_group = {group: [*entries(group), *(_papers() if group == "recipes" else ())] for group in groups}
    plugins = [entry.plugin for listed in by_group.values() for entry in listed]
    name_width = max((len(plugin.name) for plugin in plugins), default=0)
    origin_width = max((len(plugin.origin) for plugin in plugins), default=0)
    for group, listed in by_group.items():
        yield group
        for entry in listed:
            text = f"BROKEN: {entry.trouble}" if entry.trouble else entry.help
            yield f"  {entry.plugin.name:<{name_width}}  {entry.plugin.origin:<{origin_width}}  {text}".rstrip()


def _papers() -> list[Entry]:
    """The graph files with the settings of papers, under the names that `multiview train` takes."""
    named = paper_files().items()
    return [Entry(Plugin(f"{PREFIX}{name}", "recipes", str(path), OURS), about(path)) for name, path in named]


def _entry(plugin: Plugin, registered: int) -> Entry:
    """`registered`: how many packages register the name."""
    trouble = _trouble(plugin)
    about = "" if trouble else help_of(plugin.target)
    if registered > 1:
        about = f"{about} ({registered} packages register this name: write {plugin.whole})".lstrip()
    return Entry(plugin, about, trouble)


def _trouble(plugin: Plugin) -> str:
    """Why a plugin cannot be imported. Of this package's plugins only the file is looked for."""
    if plugin.origin == OURS:
        return "" if source_of(plugin.target.partition(":")[0]) else f"there is no {plugin.target}"
    try:
        plugin.imported()
    except (Exception, SystemExit) as cause:  # an import can do anything; the list must go on
        return f"{type(cause).__name__}: {cause} ({plugin.target})"
    return ""


def _parsed(module: str) -> ast.Module | None:
    file = source_of(module)
    try:
        return ast.parse(file.read_text("utf8")) if file else None
    except (OSError, SyntaxError, ValueError):
        return None


def help_of(target: str) -> str:
    """The first sentence of the docstring of `module:attribute`, else of its module, else "".

    A name that is assigned (`left, right = 1, 2`) is described by the string below the assignment.
    """
    module, _, attribute = target.partition(":")
    tree = _parsed(module)
    if tree is None:
        return ""
    node: ast.AST | None = tree
    for name in attribute.split("."):
        node = next((child for child in getattr(node, "body", ()) if getattr(child, "name", None) == name), None)
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    own = ast.get_docstring(node) if isinstance(node, documented) else None
    return first_sentence(own or _below(tree, attribute) or ast.get_docstring(tree) or "")


def _below(tree: ast.Module, name: str) -> str:
    """The string below the assignment of a name: the line that holds `name`, else the whole."""
    for statement, after in pairwise(tree.body):
        if isinstance(statement, ast.Assign) and isinstance(after, ast.Expr) and name in _assigned(statement):
            text = after.value.value if isinstance(after.value, ast.Constant) else ""
            whole = text if isinstance(text, str) else ""
            return next((line for line in whole.splitlines() if f"`{name}`" in line), whole)
    return ""


def _assigned(statement: ast.Assign) -> set[str]:
    return {node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def first_sentence(text: str) -> str:
    """The first sentence of a text, in one line."""
    opening = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", opening)[0]


def source_of(module: str) -> Path | None:
    """The file of a module, found without importing the packages around the module."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
        folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
        for folder in folders:
            for file in (folder.joinpath(*rest).with_suffix(".py"), folder.joinpath(*rest, "__init__.py")):
                if rest and file.is_file():
                    return file
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
