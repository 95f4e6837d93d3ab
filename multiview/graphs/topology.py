"""The edges of a topology by its name: full, core, chain and joint."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.values import GraphEdge

TOPOLOGIES = ("full", "core", "chain", "joint")


def edges_of(topology: str, views: tuple[str, ...]) -> tuple[GraphEdge, ...]:
    """The edges of a topology; of one view, an edge between two crops of the view.

    `core:photo` contrasts `photo` with all others, `core` the first view.
    """
    name, centre = _name_and_centre(topology, views)
    if len(views) == 1:
        return (GraphEdge(views * 2),)
    middle = centre or views[0]
    joined = {
        "full": combinations(views, 2),
        "core": ((middle, other) for other in views if other != middle),
        "chain": pairwise(views),
        "joint": iter([views]),
    }
    return tuple(GraphEdge(each) for each in joined[name])


def _name_and_centre(topology: str, views: tuple[str, ...]) -> tuple[str, str | None]:
    """`core` and `photo` of `core:photo`. Raises MultiviewError for what is no topology."""
    found = re.fullmatch(r"\s*(\w+)\s*(?::\s*(\w+)\s*)?", topology)
    name, centre = (found[1], found[2]) if found else (topology, None)
    if name not in TOPOLOGIES:
        raise unknown_name("topology", name, TOPOLOGIES)
    if centre is not None and name != "core":
        raise MultiviewError(f"the topology {name} has no centre; write {name}, or core:{centre}.")
    if centre is not None and centre not in views:
        raise unknown_name("view of this graph", centre, views)
    return name, centre
