"""Writes a graph as plain values and as YAML, from which an equal graph is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import yaml

from multiview.graph import Schedule
from multiview.graphs.building import SHARED
from multiview.graphs.values import GEOMETRY, Graph, GraphEdge, GraphView
from multiview.objectives.base import Objective
from multiview.photometric import NAMED, Augment
from multiview.plugin_fields import kind_of
from multiview.record import to_plain
from multiview.tuning import Tuning
from multiview.view import Crop


def graph_to_yaml(graph: Graph) -> str:
    """YAML text of a graph."""
    return yaml.safe_dump(
        graph_to_plain(graph), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


def graph_to_plain(graph: Graph) -> dict[str, Any]:
    """The graph as mappings, lists, texts and numbers."""
    plain: dict[str, Any] = {"crop": fields_of(graph.crop, Crop())}
    plain["views"] = {name: view_to_plain(view) for name, view in graph.views.items()}
    if graph.edges:
        plain["edges"] = [edge_to_plain(edge) for edge in graph.edges]
    if graph.objective is not None:
        plain["objective"] = objective_to_plain(graph.objective)
    return plain if plain["crop"] else {name: value for name, value in plain.items() if name != "crop"}


def plain_parts(views: Mapping[str, Any], edges: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Views and edges as plain values; what is plain already stays as it is."""
    return (
        {name: view_to_plain(view) if isinstance(view, GraphView) else view for name, view in views.items()},
        [edge_to_plain(edge) if isinstance(edge, GraphEdge) else edge for edge in edges],
    )


def view_to_plain(view: GraphView) -> dict[str, Any]:
    """A view: what is not the default; options stand with the name that they belong to."""
    plain = _named("view", view.view, view.options) | _named("encoder", view.encoder, view.encoder_options)
    for name in ("modality", "share", "crop", *GEOMETRY, "dim"):
        if getattr(view, name) is not None:
            plain[name] = _plain(getattr(view, name))
    if view.augment is not None:
        plain["augment"] = augment_to_plain(view.augment)
    return plain | fields_of(view.tuning, Tuning())


def _named(key: str, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """`{view: rgb}`, `{view: {name: rgb, option: 1}}`, or nothing."""
    if options:
        return {key: ({} if name is None else {"name": name}) | {each: _plain(x) for each, x in options.items()}}
    return {} if name is None else {key: name}


def augment_to_plain(augment: Any) -> Any:
    """The name of a ready augmentation, else its options."""
    names = [name for name, known in NAMED.items() if known == augment]
    if names:
        return names[0]
    return fields_of(augment, Augment()) if isinstance(augment, Augment) else to_plain(augment)


def edge_to_plain(edge: GraphEdge) -> dict[str, Any]:
    """An edge as `{photo - depth: {objective: cmc, ...}}`."""
    options: dict[str, Any] = {}
    if edge.objective is not None:
        named = objective_to_plain(edge.objective)
        options = {"objective": named.pop("name"), **named}
    if edge.weight != 1.0:
        options["weight"] = edge.weight
    if edge.crop != SHARED:
        options["crop"] = edge.crop
    if edge.schedule is not None:
        options["schedule"] = fields_of(edge.schedule, None)
    return {" - ".join(edge.views): options}


def objective_to_plain(objective: Objective) -> dict[str, Any]:
    """Name and all options of an objective."""
    return {"name": kind_of(objective, Objective), **fields_of(objective, None)}


def fields_of(value: Crop | Tuning | Augment | Schedule | Objective, default: Any) -> dict[str, Any]:
    """The fields that differ from those of `default` (None: all)."""
    return {
        each.name: _plain(getattr(value, each.name))
        for each in fields(value)
        if each.init and (default is None or getattr(value, each.name) != getattr(default, each.name))
    }


def _plain(value: Any) -> Any:
    return list(map(_plain, value)) if isinstance(value, (list, tuple)) else to_plain(value)
