"""The rooms of the house and the arrows between them, drawn from the source.

A room is a folder with Python files, or a file directly in `multiview/`. An arrow is an import at
any depth, or a target such as "multiview.check.views:run". Imports for type checkers do not count.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from imports import imported, module_of, python_files

TOPS = ("multiview", "views", "encoders", "recipes")
GROUND = (
    "augment batch catalogue cgroups child commandline config cores counter_rng crop distributed errors exits files "
    "folderlock heap jointnorm jsonlines masked_forward misplaced old_import_paths option_values options papers "
    "parsing photometric plugin_fields plugins plurals record require terminal tuning typed "
    "typed_length writable"
)
FLOORS = (
    (*(f"multiview/{name}.py" for name in GROUND.split()), "multiview/data", "multiview/remote"),
    (
        *(
            "views",
            "encoders",
            "multiview/encoder.py",
            "multiview/ops",
            "multiview/view.py",
            "multiview/weights",
            "multiview/viewlayer.py",
        ),
        *(f"multiview/data/{wing}" for wing in ("columns", "files", "listing", "scenes", "store")),
    ),
    (
        *("multiview/fusion.py", "multiview/graph.py", "multiview/memory", "multiview/model.py"),
        *("multiview/objectives", "multiview/projection.py"),
        *("multiview/data/sources", "multiview/data/write"),
    ),
    (
        *("multiview/graphs", "multiview/losses", "multiview/recipe.py"),
        *("multiview/setup.py", "multiview/setup_record.py"),
        *("multiview/data/inspect", "multiview/data/load"),
    ),
    (
        *("multiview/embed", "multiview/exports", "multiview/gallery", "multiview/measure"),
        *("multiview/portable", "multiview/train"),
        "multiview/trained.py",
    ),
    (
        *(
            "multiview/doctor",
            "multiview/report",
            "multiview/settings.py",
            "multiview/check",
            "multiview/encoded_once.py",
            "multiview/finish.py",
            "multiview/load_run.py",
            "multiview/recipe_origin.py",
        ),
        *("multiview/run.py", "multiview/runs.py"),
    ),
    (
        *(
            "recipes",
            "multiview/__init__.py",
            "multiview/__main__.py",
            "multiview/cli.py",
            "multiview/commands",
            "multiview/launch.py",
        ),
        "multiview/study",
    ),
)
"""The rooms of every floor, ground floor first. Rooms import from their floor and from below."""


def sources(root: Path) -> dict[Path, str]:
    """The text of every file of the house, by its path in the checkout."""
    files = [file for top in TOPS for file in python_files(root / top)]
    return {file.relative_to(root): file.read_text("utf8") for file in files}


def room_of(path: Path) -> str:
    """`views` for `views/lab.py`, `multiview/run.py` for itself."""
    return str(path if path.parent == Path("multiview") else path.parent)


def arrows(files: Mapping[Path, str]) -> dict[tuple[str, str], str]:
    """The pairs of rooms of which the first imports the second, each with one import."""
    rooms = {module_of(path): room_of(path) for path in files}
    drawn: dict[tuple[str, str], str] = {}
    for path, source in files.items():
        for line, target in (*imported(source, path, types=False), *targets(source)):
            module = next((name for name in _prefixes(target) if name in rooms), None)
            if module not in (None, "multiview") and rooms[module] != room_of(path):
                drawn.setdefault((room_of(path), rooms[module]), f"{path}:{line} imports {target}")
    return drawn


@cache
def targets(source: str) -> tuple[tuple[int, str], ...]:
    """Line and module of every text such as "multiview.check.views:run"."""
    return tuple(_targets(source))


def _targets(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, colon, name = node.value.partition(":")
            if colon and name.isidentifier() and module.startswith("multiview."):
                yield node.lineno, module


def _prefixes(name: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def circle(drawn: Mapping[tuple[str, str], str]) -> list[str]:
    """The imports that lead from a room back to the room; none when there is no circle."""
    graph: dict[str, set[str]] = {}
    for room, below in drawn:
        graph.setdefault(room, set()).add(below)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        rooms = error.args[1]
        return [drawn[pair] for pair in zip(rooms[1:], rooms, strict=False)]
    return []


def upward(drawn: Mapping[tuple[str, str], str]) -> list[str]:
    """The imports of rooms that stand on a higher floor."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    return [text for (room, other), text in drawn.items() if floor[other] > floor[room]]


def lines_of_rooms(files: Mapping[Path, str]) -> dict[str, int]:
    """The number of lines of every room."""
    counts: dict[str, int] = {}
    for path, source in files.items():
        counts[room_of(path)] = counts.get(room_of(path), 0) + source.count("\n")
    return counts


Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def function_lengths(source: str) -> tuple[tuple[str, int, int], ...]:
    """Name, first line and lines of every function, also of those within functions."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    return tuple((node.name, node.lineno, (node.end_lineno or 0) - node.lineno + 1) for node in nodes)


def long_functions(source: str, limit: int) -> list[str]:
    """The functions with more than `limit` lines."""
    return [f"{line}: {name} has {length} lines" for name, line, length in function_lengths(source) if length > limit]


def percentile_90(files: Iterable[str]) -> int:
    """The 90th percentile of the lengths of all functions in these sources."""
    lengths = sorted(length for source in files for _, _, length in function_lengths(source))
    return lengths[int(len(lengths) * 0.9)]


def wide_lines(source: str, code: int, prose: int) -> list[str]:
    """The lines wider than `code` columns; for docstrings and comments, than `prose` columns.

    Marks for tools, `# type: ignore` and `# noqa`, do not count.
    """
    written = set(_prose_lines(source))
    numbered = enumerate((re.sub(r"  # (type: ignore|noqa).*", "", line) for line in source.splitlines()), 1)
    return [f"{n}: {len(line)} columns" for n, line in numbered if len(line) > (prose if n in written else code)]


def _prose_lines(source: str) -> Iterator[int]:
    """The numbers of the lines of docstrings and of the lines that are only a comment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
    yield from (n for n, line in enumerate(source.splitlines(), 1) if line.lstrip().startswith("#"))
