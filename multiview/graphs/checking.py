"""Finds the mistakes of a graph before a run begins, and the line on which each was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.graphs.building import (
    Part,
    crops_of,
    edge_between,
    encoder_name,
    mistakes_of,
    own_geometry,
    parts_of,
    seen_by,
)
from multiview.graphs.values import Graph, GraphEdge, GraphView
from multiview.graphs.yamlfile import At, Document
from multiview.plugins import check_options
from multiview.view import View

T = TypeVar("T")


def check(graph: Graph, document: Document) -> Graph:
    """The graph with all names written out. Raises MultiviewError with the place of a mistake.

    Builds views and edges, and asks for the encoders' options, but makes no encoder.
    """
    for name, view in graph.views.items():
        for key, value in own_geometry(view).items():
            _at(document, ("views", name, key), f"view '{name}'", replace, graph.crop, **{key: value})
    parts, edges = parts_of(graph)
    views = _views(graph, document, parts)
    named = {name: _named(graph, document, name, views) for name in graph.views}
    _check_edges(graph, document, parts, edges)
    return replace(graph, views=named, edges=tuple(edge for edge, _ in edges))


def _at(document: Document, at: At, what: str, make: Callable[..., T], *args: Any, **options: Any) -> T:
    """`make(...)`; its mistakes begin with the place, and with what they are about."""
    try:
        with mistakes_of(what):
            return make(*args, **options)
    except MultiviewError as error:
        document.fail(at, error)


def _views(graph: Graph, document: Document, parts: Mapping[str, Part]) -> dict[str, View]:
    """Every view of the words, built."""
    crops = crops_of(graph, parts)
    built = {}
    for name, part in parts.items():
        at, view = ("views", part.of, "view"), graph.views[part.of]
        built[part.of] = _at(document, at, f"view '{part.of}'", seen_by, view, part.of, crops[name])
    return built


def _named(graph: Graph, document: Document, name: str, views: Mapping[str, View]) -> GraphView:
    """The view of the words with its registered name, modality and encoder."""
    from multiview.encoder import encoder_factory

    view, built = graph.views[name], views[name]
    full = replace(view, view=view.view or name, modality=built.modality)
    if view.share is not None:
        _check_share(document, name, built, graph.owner(name), views[graph.owner(name)])
        return full
    encoder, at, what = encoder_name(view, built), ("views", name, "encoder"), f"view '{name}'"
    _, _, factory = _at(document, at, what, encoder_factory, encoder)
    also = ("width", "img_size", "seed")
    _at(document, at, what, check_options, f"encoder '{encoder}'", factory, view.encoder_options, also)
    return replace(full, encoder=encoder)


def _check_share(document: Document, name: str, view: View, owner: str, other: View) -> None:
    """Raises MultiviewError when two views that share an encoder have another shape."""
    if (view.channels.count, view.axes) != (other.channels.count, other.axes):
        document.fail(
            ("views", name, "share"),
            f"view '{name}' has {_shape(view)}, but the encoder of '{owner}' takes {_shape(other)}; leave out share, "
            "so that the view gets an encoder of its own.",
        )


def _shape(view: View) -> str:
    """`2 channels (height, width)`."""
    count = view.channels.count
    axes = [axis for axis in view.axes if axis != "channels"]
    return f"{count} {'channel' if count == 1 else 'channels'}" + (f" ({', '.join(axes)})" if axes else "")


def _check_edges(
    graph: Graph, document: Document, parts: Mapping[str, Part], edges: list[tuple[GraphEdge, tuple[str, ...]]]
) -> None:
    built = []
    places = [at for at in document.places if at[:1] == ("edges",) and len(at) == 2]
    for number, (edge, names) in enumerate(edges):
        at: At = places[number] if len(places) == len(edges) else ("edges",)
        try:
            built.append(edge_between(graph, edge, names))
            ContrastGraph(tuple(dict.fromkeys(view for each in built for view in each.views)), tuple(built))
        except MultiviewError as error:
            document.fail(at if at in document.places else ("topology",), error)
    try:
        ContrastGraph(tuple(parts), tuple(built))
    except MultiviewError as error:
        alone = [view for view in graph.views if f"'{view}'" in str(error)]
        document.fail(("views", *alone[:1]), error)
