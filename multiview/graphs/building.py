"""Builds the `Setup` of a graph: crops, copies of views, encoders, objectives and edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from multiview.errors import MultiviewError
from multiview.graph import AnyEdge, ContrastGraph, Edge, HyperEdge
from multiview.graphs.topology import edges_of
from multiview.graphs.values import GEOMETRY, Graph, GraphEdge, GraphView
from multiview.objectives.base import Objective
from multiview.plugins import load
from multiview.recipe import Setup
from multiview.tuning import Tuning
from multiview.view import Crop, View, make_view

if TYPE_CHECKING:
    from multiview.encoder import Encoder

T = TypeVar("T")

ENCODERS = {
    ("channels",): "mlp",
    ("channels", "times"): "resnet1d",
    ("channels", "samples"): "waveconv",
    ("channels", "points"): "pointnet",
    ("channels", "frames", "height", "width"): "frames",
    ("bytes",): "text",
}
"""The encoder of views whose axes are these; of all others convnet."""
PICTURE = ("channels", "height", "width")
OWN = "own"
SHARED = "shared"


@dataclass(frozen=True)
class Part:
    """A view of the built graph: the view of the words that it shows, and its random draw."""

    of: str
    draw: str


def setup_of(graph: Graph) -> Setup:
    """The views, encoders, contrast graph and tuning that a graph names."""
    parts, edges = parts_of(graph)
    views = views_of(graph, parts)
    built = tuple(edge_between(graph, edge, names) for edge, names in edges)
    contrast = ContrastGraph(tuple(views), built)
    return Setup(views, encoders_of(graph, parts, views), contrast, tuning_of(graph, parts), source=graph)


def views_of(graph: Graph, parts: Mapping[str, Part]) -> dict[str, View]:
    """The view of every part."""
    crops = crops_of(graph, parts)
    return {
        name: _said(f"view '{name}'", seen_by, graph.views[part.of], part.of, crops[name])
        for name, part in parts.items()
    }


def seen_by(view: GraphView, name: str, crop: Crop) -> View:
    """The view that the words name, of a crop."""
    return make_view(view.view or name, crop, view.augment, modality=view.modality, **view.options)


def crops_of(graph: Graph, parts: Mapping[str, Part]) -> dict[str, Crop]:
    """The crop of every part. Equal draws of another geometry keep the random numbers."""
    names: dict[tuple[str, Crop], str] = {}
    crops = {}
    for name, part in parts.items():
        crop = replace(graph.crop, **own_geometry(graph.views[part.of]), name=part.draw)
        first = not any(draw == part.draw for draw, _ in names)
        called = names.setdefault((part.draw, crop), part.draw if first else f"{part.draw}_{name}")
        crops[name] = crop if called == part.draw else replace(crop, name=called, draw=part.draw)
    return crops


def own_geometry(view: GraphView) -> dict[str, Any]:
    """The fields of the crop that the view has of its own."""
    return {key: value for key in GEOMETRY if (value := getattr(view, key)) is not None}


def encoders_of(graph: Graph, parts: Mapping[str, Part], views: Mapping[str, View]) -> dict[str, Encoder | str]:
    """An encoder for every view that shares none, in the order of the views."""
    owners = {name: graph.owner(part.of) for name, part in parts.items()}
    first = {owner: owner if owner in parts else name for name, owner in reversed(owners.items())}
    return {
        name: _said(f"view '{name}'", _encoder, graph.views[owner], views[name])
        if name == first[owner]
        else first[owner]
        for name, owner in owners.items()
    }


def encoder_name(view: GraphView, built: View) -> str:
    """The registered name of the encoder of a view."""
    return view.encoder or ENCODERS.get(built.axes, "convnet")


def _encoder(view: GraphView, built: View) -> Encoder:
    from multiview.encoder import make_encoder

    size = built.crop.size if built.axes == PICTURE else None
    options = ({"img_size": size} if size else {}) | dict(view.encoder_options)
    return make_encoder(encoder_name(view, built), built.channels.count, **options)


def tuning_of(graph: Graph, parts: Mapping[str, Part]) -> dict[str, Tuning]:
    """The tuning of every encoder that does not simply learn in full, by the view that owns it."""
    own = {name: graph.views[part.of].tuning for name, part in parts.items() if name == part.of}
    return {name: tuning for name, tuning in own.items() if tuning != Tuning()}


def parts_of(graph: Graph) -> tuple[dict[str, Part], list[tuple[GraphEdge, tuple[str, ...]]]]:
    """The views of the built graph, and every edge with the views that it joins.

    A view that edges read under several draws gets copies NAME_2, NAME_3 that share its encoder.
    """
    edges = graph.edges or edges_of("full", tuple(graph.views))
    read: dict[str, dict[str, None]] = {name: {} for name in graph.views}
    joins = [_drawn_twice(graph, edge) for edge in edges]
    ends = [_draws(graph, edge) for edge in joins]
    for edge, draws in zip(joins, ends, strict=True):
        for view, draw in zip(edge.views, draws, strict=True):
            read[view].setdefault(draw)
    names = _names(graph, read)
    parts: dict[str, Part] = {}
    for (view, draw), name in names.items():
        parts[name] = Part(view, name if draw.startswith(f"{OWN} ") else draw)
    joined = [
        (edge, tuple(names[view, draw] for view, draw in zip(join.views, draws, strict=True)))
        for edge, join, draws in zip(edges, joins, ends, strict=True)
    ]
    return parts, joined


def _drawn_twice(graph: Graph, edge: GraphEdge) -> GraphEdge:
    """The edge; one that fuses views with a second draw of each view behind all first ones."""
    objective = objective_of(graph, edge)
    if not objective.fuses:
        return edge
    if len(set(edge.views)) < len(edge.views):
        raise MultiviewError(
            f"edge {edge.label}: {objective.name} fuses different views, and draws each of them twice by itself; name "
            "each view once, such as `photo - depth: comm`."
        )
    return replace(edge, views=edge.views * 2)


def _base(graph: Graph, view: str) -> str:
    return graph.views[view].crop or graph.crop.name


def _draws(graph: Graph, edge: GraphEdge) -> list[str]:
    """The draw of every view of an edge; `own 2` for the second draw of a view's own.

    Equal draws of a view on several edges are encoded once. Where views are fused, the second draws
    of aligned views are aligned too.
    """
    fuses = objective_of(graph, edge).fuses
    taken: set[str] = set()
    draws: list[str] = []
    last: dict[str, int] = {}
    for view in edge.views:
        base = _base(graph, view) if edge.crop in (OWN, SHARED) else edge.crop
        last[view] = last[view] + 1 if view in last else 1 + (edge.crop == OWN and base in taken)
        draw = base
        if last[view] > 1:
            draw = f"{base}_2" if fuses and edge.crop != OWN else f"{OWN} {last[view]}"
        taken.add(draw)
        draws.append(draw)
    return draws


def _names(graph: Graph, read: Mapping[str, Mapping[str, None]]) -> dict[tuple[str, str], str]:
    """The name of each view under each draw: its own name for the first, else NAME_2, NAME_3."""
    names: dict[tuple[str, str], str] = {}
    taken = set(graph.views)
    for view, draws in read.items():
        base = _base(graph, view)
        order = sorted(draws, key=lambda draw: draw != base) or [base]
        names[view, order[0]] = view
        for draw in order[1:]:
            number = 2
            while f"{view}_{number}" in taken:
                number += 1
            names[view, draw] = f"{view}_{number}"
            taken.add(f"{view}_{number}")
    return names


def edge_between(graph: Graph, edge: GraphEdge, names: tuple[str, ...]) -> AnyEdge:
    """The edge of the words between the views of these names."""
    objective = _with_dim(graph, edge, objective_of(graph, edge))
    if len(names) == 2:
        return Edge(*names, objective, weight=edge.weight, schedule=edge.schedule)
    return HyperEdge(names, objective, weight=edge.weight, schedule=edge.schedule)


def objective_of(graph: Graph, edge: GraphEdge) -> Objective:
    """The objective of an edge; where none is named SimCLR, or Symile for three views and more."""
    if edge.objective is not None:
        return edge.objective
    return graph.objective or load("objectives", "symile" if len(edge.views) > 2 else "simclr")()


def _with_dim(graph: Graph, edge: GraphEdge, objective: Objective) -> Objective:
    """The objective with the width that the views of the edge ask for."""
    wanted = {view: dim for view in edge.views if (dim := graph.views[view].dim) is not None}
    if not wanted:
        return objective
    if len(set(wanted.values())) > 1:
        said = " and ".join(f"{dim} of '{view}'" for view, dim in wanted.items())
        raise MultiviewError(f"edge {edge.label}: dim is {said}; the embeddings of one edge need one width.")
    if "dim" not in {each.name for each in fields(objective)}:
        raise MultiviewError(f"edge {edge.label}: {objective.name} has no option dim; leave dim of its views out.")
    (view, dim), *_ = wanted.items()
    refuse_other_dim(edge, view, dim)
    return replace(objective, dim=dim)  # type: ignore[call-arg]


def refuse_other_dim(edge: GraphEdge, view: str, dim: int) -> None:
    """Raises MultiviewError when the edge itself asks for another width than its view.

    The default width counts as not asked for: files of runs hold all options of an objective.
    """
    usual = {each.name: each.default for each in fields(edge.objective)}.get("dim") if edge.objective else None
    own = getattr(edge.objective, "dim", None)
    if own not in (None, dim, usual):
        raise MultiviewError(
            f"edge {edge.label}: dim is {own}, and dim of its view '{view}' is {dim}; leave out one of the two."
        )


def _said(what: str, make: Callable[..., T], *args: Any) -> T:
    """`make(*args)`; its mistakes begin with `what`."""
    with mistakes_of(what):
        return make(*args)


@contextmanager
def mistakes_of(what: str) -> Iterator[None]:
    """A mistake of the block begins with `what`; TypeError and ValueError are mistakes too."""
    try:
        yield
    except MultiviewError as error:
        raise MultiviewError(f"{what}: {error}") from error
    except (TypeError, ValueError) as error:
        raise MultiviewError(f"{what} has an option of the wrong kind: {error}.") from error
