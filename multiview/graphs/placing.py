"""Finds the line of a graph file that a later mistake is about, such as a mistake in weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from multiview.graphs.reading import listed_edges
from multiview.graphs.yamlfile import At, Document


def placed(document: Document, message: str) -> str:
    """The message, behind the place of the view, edge or option that it begins with."""
    at = _about(document, message)
    place = document.place(at) if at else ""
    return f"{place}: {message}" if place else message


def _about(document: Document, message: str) -> At:
    """The way to the part of the document that a message is about; empty when it is unknown."""
    if view := re.match(r"view '(\w+)'", message):
        at: At = ("views", view[1])
    elif edge := re.match(r"(?:hyper)?edge ([\w-]+)", message):
        at = _edge(document, tuple(edge[1].split("-")))
    elif option := re.match(r"\w+: (\w+) is ", message):
        return next((each for each in document.places if each[-1:] == (option[1],)), ())
    else:
        return ()
    return next(_options(document, at, message), at if at in document.places else ())


def _edge(document: Document, views: tuple[str, ...]) -> At:
    """The edge between these views; the topology when no edges are listed."""
    given = document.value.get("edges")
    found = (at for at, names, _ in listed_edges(document, given or ()) if names == views)
    return next(found, ("topology",))


def _options(document: Document, at: At, message: str) -> Iterator[At]:
    """The options of a part of which a message has the text, the longest first, or else the name.

    A message about a file of weights has the name of the file, and may speak of the encoder too.
    """
    inside = [each for each in document.places if each[: len(at)] == at and len(each) > len(at)]
    texts = {each: text for each in inside if isinstance(text := _value(document, each), str) and text}
    said = message.partition(": ")[2]
    yield from sorted((each for each, text in texts.items() if _says(said, text)), key=lambda each: -len(texts[each]))
    yield from (each for each in inside if _says(said, str(each[-1])))


def _says(message: str, words: str) -> bool:
    """Whether a message has these words, or the last part of a path or of a name with a colon."""
    names = (words, words.replace("\\", "/").rpartition("/")[2], words.rpartition(":")[2])
    return any(name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) for name in names)


def _value(document: Document, at: At) -> Any:
    value = document.value
    for key in at:
        inside = isinstance(value, dict) or (isinstance(value, list) and isinstance(key, int))
        value = value[key] if inside and (not isinstance(value, dict) or key in value) else None
    return value
