"""Strict YAML: plain values, and the line of every value; every fault is one sentence.

Refused: duplicate keys, tabs, anchors and aliases, tags, several documents, text that is not UTF-8,
and files that are too large or nested too deeply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from multiview.errors import MultiviewError
from multiview.parsing import parsing

LARGEST = 1 << 20
"""Bytes of the largest file."""
DEEPEST = 20
"""Levels of mappings and lists within each other."""

At = tuple[str | int, ...]
"""Where a value stands: keys of mappings and places in lists, from the top."""


@dataclass
class Document:
    """A value of YAML, and where each part was written.

    places: `graph.yaml:12`, or the option of the command line, by the way to the part.
    """

    value: Any = None
    places: dict[At, str] = field(default_factory=dict)

    def place(self, at: At) -> str:
        """Where the part was written, else the nearest part around it."""
        while at and at not in self.places:
            at = at[:-1]
        return self.places.get(at, "")

    def fail(self, at: At, message: object) -> NoReturn:
        """Raises MultiviewError that begins with the place of the part."""
        place = self.place(at)
        raise MultiviewError(f"{place}: {message}" if place else str(message))

    def put(self, at: At, value: Any, place: str) -> None:
        """Replaces or adds a part, written in one place; makes the mappings around it."""
        for old in [each for each in self.places if each[: len(at)] == at]:
            del self.places[old]
        self.places[at] = place
        around = self.value
        for depth, key in enumerate(at[:-1]):
            if isinstance(around, dict) and around.get(key) is None:
                around[key] = {}
                self.places.setdefault(at[: depth + 1], place)
            around = around[key]
        around[at[-1]] = value


def read_document(path: Path) -> Document:
    """The value in a YAML file. Raises MultiviewError with file and line."""
    with parsing(f"the graph file {path}", "Give the path of a YAML file."):
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"it has {size} bytes, more than {LARGEST}")
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise MultiviewError(f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8.") from None
    return document_of(text, str(path))


def document_of(text: str, name: str, numbered: bool = True) -> Document:
    """The value of a YAML text. `name`: of the file, or of an option, which has no line numbers."""
    if len(text) > LARGEST:
        raise MultiviewError(f"{name} has {len(text)} characters, more than {LARGEST}.")
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r" *\t", line) and line.strip():
            raise MultiviewError(f"{_at(name, number, numbered)}: a tab begins this line; indent with spaces.")
    reader = _Reader(name, numbered)
    try:
        node = reader.compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _at(name, mark.line + 1 if mark else 1, numbered)
        raise MultiviewError(f"{place}: this is no YAML: {_problem(error)}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is nested too deeply"
        raise MultiviewError(f"{name}: this is no YAML: {reason}.") from None
    document = Document(places={(): _at(name, 1, numbered)})
    document.value = None if node is None else reader.value(node, (), document.places)
    return document


def _problem(error: yaml.MarkedYAMLError) -> str:
    """The parser's problem, with what to write instead where that is known."""
    problem = (error.problem or error.context or "it cannot be read").strip()
    if "'\\t'" in problem:
        return "there is a tab; write spaces."
    if "mapping values are not allowed" in problem:
        return 'a second colon in this line; put the text into quotes, as in "core: photo", or begin a new line.'
    if "expected a single document" in str(error):
        return "it holds several documents; leave only one, without a line `---` within."
    return f"{problem}."


def _at(name: str, line: int, numbered: bool) -> str:
    return f"{name}:{line}" if numbered else name


class _Loader(yaml.SafeLoader):
    """Composes nodes, but no anchors, aliases or tags, and none that are nested too deeply."""

    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are not read here; write the values out, or put the text into "
                "quotes",
                problem_mark=event.start_mark,
            )
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem="tags (!) are not read here", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"it is nested more than {DEEPEST} levels deep", problem_mark=event.start_mark
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if not tag.endswith((":float", ":timestamp", ":merge", ":value"))]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(  # YAML 1.1 takes 1e-3 for a text
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.\d[\d_]*(?:[eE][-+]?\d+)?|\.inf|\.nan)$"
    ),
    list("-+0123456789."),
)


class _Reader:
    """Turns nodes into plain values, and notes the line of each."""

    def __init__(self, name: str, numbered: bool) -> None:
        self.name, self.numbered = name, numbered
        self.loader: _Loader | None = None

    def compose(self, text: str) -> Node | None:
        self.loader = _Loader(text)
        return self.loader.get_single_node()

    def value(self, node: Node, at: At, places: dict[At, str]) -> Any:
        places[at] = self._place(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, at, places)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*at, number), places) for number, item in enumerate(node.value)]
        assert self.loader is not None
        return self.loader.construct_object(node)

    def _mapping(self, node: MappingNode, at: At, places: dict[At, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                raise MultiviewError(f"{self._place(key)}: a mapping or a list stands in place of a name.")
            if key.value in values:
                first = places[(*at, key.value)].rpartition(":")[2]
                where = f" (line {first})" if self.numbered else ""
                raise MultiviewError(f"{self._place(key)}: '{key.value}' occurs twice{where}; leave one out.")
            values[key.value] = self.value(item, (*at, key.value), places)
            places[(*at, key.value)] = self._place(key)
        return values

    def _place(self, node: Node) -> str:
        return _at(self.name, node.start_mark.line + 1, self.numbered)


def kind_of(value: Any) -> str:
    """What a value of YAML is, in words."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "empty" if value is None else repr(value)
