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
    """The options of a part of which a message has the name or the text."""
    for each in document.places:
        if each[: len(at)] == at and len(each) > len(at):
            text = _value(document, each)
            words = (str(each[-1]), *([text] if isinstance(text, str) else []))
            if any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message.partition(": ")[2]) for word in words):
                yield each


def _value(document: Document, at: At) -> Any:
    value = document.value
    for key in at:
        inside = isinstance(value, dict) or (isinstance(value, list) and isinstance(key, int))
        value = value[key] if inside and (not isinstance(value, dict) or key in value) else None
    return value
