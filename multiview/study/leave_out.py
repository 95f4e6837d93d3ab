"""The changed graphs of a study: a view less, an edge less, other edges, one view alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from multiview.config import Train
from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.building import OWN, SHARED, objective_of
from multiview.graphs.topology import edges_of
from multiview.graphs.values import Graph, GraphEdge, GraphView
from multiview.objectives.base import Objective
from multiview.objectives.simclr import SimCLR
from multiview.study.plan import ALONE, BASE, EDGE, OPTION, TOPOLOGY, VIEW
from multiview.tuning import Tuning

ALONE_SCALE = 0.3
"""Smallest share of a picture in the crops of one view alone: two crops must differ."""
ALONE_TEMPERATURE = 0.2


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A changed graph and budget. kind, subject: as those of `plan.Variant`."""

    name: str
    kind: str
    subject: str
    graph: Graph
    train: Train


def explicit(graph: Graph) -> Graph:
    """The graph with every edge written out, each with its objective."""
    edges = graph.edges or edges_of("full", tuple(graph.views))
    return replace(graph, edges=tuple(replace(edge, objective=objective_of(graph, edge)) for edge in edges))


def with_tuning(graph: Graph, tuning: Mapping[str, Tuning]) -> Graph:
    """The graph with the tuning of a setup, which holds the files of `--weights`.

    So the weights stay with their encoder, also when a variant gives it to another view.
    """
    views = {name: replace(view, tuning=tuning.get(name, view.tuning)) for name, view in graph.views.items()}
    return replace(graph, views=views)


def base_of(graph: Graph, train: Train) -> Changed:
    """The setting that all others are compared with."""
    return Changed(name=BASE, kind=BASE, subject="all", graph=explicit(graph), train=train)


def without_view(graph: Graph, view: str) -> Graph | str:
    """The graph without a view and its edges; a sentence where too little is left."""
    edges = tuple(edge for each in graph.edges if (edge := _edge_without(each, view)))
    return _kept(graph, edges, [name for name in graph.views if name != view], f"without {view}")


def _edge_without(edge: GraphEdge, view: str) -> GraphEdge | None:
    """The edge; without the view where its objective can contrast the others; else None."""
    left = tuple(name for name in edge.views if name != view)
    if len(left) == len(edge.views):
        return edge
    of_two = edge.objective is not None and (edge.objective.fuses or edge.objective.also_pairs)
    return replace(edge, views=left) if len(left) > (1 if of_two else 2) else None


def without_edge(graph: Graph, edge: GraphEdge) -> Graph | str:
    """The graph without an edge; a sentence where a view would have no edge."""
    edges = tuple(each for each in graph.edges if each is not edge)
    return _kept(graph, edges, list(graph.views), f"without the edge {edge.label}")


def _kept(graph: Graph, edges: tuple[GraphEdge, ...], views: Sequence[str], what: str) -> Graph | str:
    joined = {name for edge in edges for name in edge.views}
    lonely = [name for name in views if name not in joined]
    if lonely:
        return f"{what}, no edge would train {', '.join(lonely)}"
    return replace(graph, views=_with_owners(graph, views), edges=edges)


def _with_owners(graph: Graph, views: Sequence[str]) -> dict[str, GraphView]:
    """The views of these names; the first heir of an encoder whose owner is left out owns it."""
    heirs: dict[str, str] = {}
    found = {}
    for name in views:
        owner = graph.owner(name)
        heir = owner if owner in views else heirs.setdefault(owner, name)
        found[name] = _owning(graph, name, owner) if heir == name else replace(graph.views[name], share=heir)
    return found


def _owning(graph: Graph, name: str, owner: str) -> GraphView:
    """A view with the encoder of its owner as its own."""
    of = graph.views[owner]
    view = replace(graph.views[name], share=None, encoder=of.encoder, encoder_options=of.encoder_options)
    return replace(view, tuning=of.tuning)


def alone(graph: Graph, view: str) -> Graph:
    """One view by SimCLR: two crops of it, or two augmented copies, with the graph's widths."""
    kept = replace(_with_owners(graph, [view])[view], crop=None)
    low, high = graph.crop.scale
    dims = [getattr(edge.objective, "dim", None) for edge in graph.edges if view in edge.views]
    options = {"dim": next(filter(None, dims))} if any(dims) else {}
    edge = GraphEdge((view, view), SimCLR(temperature=ALONE_TEMPERATURE, **options), crop=OWN)
    crop = replace(graph.crop, scale=(min(ALONE_SCALE, low), high))
    return Graph(views={view: kept}, edges=(edge,), crop=crop)


def topologies(graph: Graph, core: str | None) -> Iterator[tuple[str, Graph]]:
    """Full, core and chain with the objective and the crops of the first edge."""
    first = graph.edges[0]
    names = tuple(graph.views)
    if core is not None and core not in names:
        raise unknown_name("view of this graph", core, names)
    for topology in ("full", f"core:{core or names[0]}", "chain"):
        edges = (replace(e, objective=first.objective, crop=first.crop) for e in edges_of(topology, names))
        yield topology.replace(":", "-"), replace(graph, edges=tuple(edges))


def with_option(changed: Changed, name: str, text: str) -> Changed:
    """The setting with one option changed: of every objective that has it, or of the crops.

    Args:
        changed: the setting.
        name: `crop` (of every edge: own, shared), a field of an objective, such as temperature,
            `K` (negatives), or an option of training, such as `train.batch`.
        text: the value.
    """
    import yaml

    value, field = yaml.safe_load(text), {"K": "negatives", "k": "negatives"}.get(name, name)
    changed = replace(changed, name=f"{name}={text}", kind=OPTION, subject=f"{name}={text}")
    if field == "crop":
        return replace(changed, graph=_with_crop(changed.graph, str(value)))
    in_train = field.removeprefix("train.")
    if field.startswith("train.") or in_train in {each.name for each in fields(Train)}:
        return replace(changed, train=_with_field(changed.train, in_train, value))
    if not any(_has(edge.objective, field) for edge in changed.graph.edges):
        raise _unknown_option(changed.graph, name)
    edges = tuple(_with_objective_option(edge, field, value) for edge in changed.graph.edges)
    return replace(changed, graph=replace(changed.graph, edges=edges))


def _with_field(train: Train, name: str, value: Any) -> Train:
    if name not in {each.name for each in fields(Train)}:
        raise unknown_name("option of training", name, [each.name for each in fields(Train)])
    return replace(train, **{name: value})


def _with_crop(graph: Graph, crop: str) -> Graph:
    if crop not in (OWN, SHARED):
        raise MultiviewError(f"--sweep crop: '{crop}' is no choice; give own or shared.")
    return replace(graph, edges=tuple(replace(edge, crop=crop) for edge in graph.edges))


def _with_objective_option(edge: GraphEdge, field: str, value: Any) -> GraphEdge:
    if edge.objective is None or not _has(edge.objective, field):
        return edge
    return replace(edge, objective=replace(edge.objective, **{field: value}))


def _has(objective: Objective | None, field: str) -> bool:
    return objective is not None and field in {each.name for each in fields(objective)}


def _unknown_option(graph: Graph, name: str) -> MultiviewError:
    names = sorted({each.name for edge in graph.edges if edge.objective for each in fields(edge.objective)})
    return unknown_name("option to sweep", name, ["crop", "train.batch", *names])


def changes(
    base: Changed, parts: Sequence[str], core: str | None, sweeps: Sequence[tuple[str, str]]
) -> tuple[list[Changed], list[str]]:
    """The changed settings that differ from the base and from each other, and what was left out."""
    made, said = list[Changed](), list[str]()
    for each in _proposed(base, parts, core, sweeps):
        if isinstance(each, str):
            said.append(each)
        elif (same := _same(each, [base, *made])) is not None:
            said.append(f"{each.name} is the same setting as {same.name}")
        else:
            made.append(each)
    return made, said


def _same(one: Changed, others: Sequence[Changed]) -> Changed | None:
    return next((other for other in others if _facts(other) == _facts(one)), None)


def _facts(changed: Changed) -> tuple[Any, ...]:
    """What training depends on; neither the order of edges nor that of the views of an edge."""
    edges = {(frozenset(e.views), len(e.views), repr(e.objective), e.weight, e.crop) for e in changed.graph.edges}
    return changed.graph.views, edges, changed.graph.crop, changed.train


def _proposed(
    base: Changed, parts: Sequence[str], core: str | None, sweeps: Sequence[tuple[str, str]]
) -> Iterator[Changed | str]:
    graph, several = base.graph, len(base.graph.views) > 1

    def made(name: str, kind: str, subject: str, found: Graph | str) -> Changed | str:
        if isinstance(found, str):
            return f"{name} is left out: {found}"
        return Changed(name=name, kind=kind, subject=subject, graph=found, train=base.train)

    for view in graph.views if "views" in parts and several else ():
        yield made(f"without-{view}", VIEW, view, without_view(graph, view))
    for edge in graph.edges if "edges" in parts and len(graph.edges) > 1 else ():
        yield made(f"without-edge-{edge.label}", EDGE, edge.label, without_edge(graph, edge))
    for name, found in topologies(graph, core) if "topology" in parts and len(graph.views) > 2 else ():
        yield made(name, TOPOLOGY, name, found)
    for view in graph.views if "alone" in parts and several else ():
        yield made(f"alone-{view}", ALONE, view, alone(graph, view))
    for option, text in sweeps:
        yield with_option(base, option, text)
