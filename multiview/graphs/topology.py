"""The edges of a topology by its name: full, core, chain and joint, each perhaps with `+self`."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.values import GraphEdge

TOPOLOGIES = ("full", "core", "chain", "joint")
SELF = re.compile(r"\s*\+\s*self\s*(?::\s*([^\s+]+)\s*)?$")
"""`+self` or `+self:0.5` behind a topology: the weight of the edges of a view with itself."""


def edges_of(topology: str, views: tuple[str, ...]) -> tuple[GraphEdge, ...]:
    """The edges of a topology; of one view, an edge between two crops of the view.

    `core:photo` contrasts `photo` with all others, `core` the first view. `full+self` adds an edge
    between two crops of every view (Cross + Self), of weight 1, or 0.5 in `full+self:0.5`. It keeps
    what a view has alone, which contrast between views alone does not ask for.
    """
    topology, weight = _without_self(topology)
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
    own = () if weight is None else tuple(GraphEdge((view, view), weight=weight) for view in views)
    return tuple(GraphEdge(each) for each in joined[name]) + own


def _without_self(topology: str) -> tuple[str, float | None]:
    """The topology before `+self`, and the weight of these edges (None = there is no `+self`)."""
    found = SELF.search(topology)
    if found is None:
        return topology, None
    try:
        weight = 1.0 if found[1] is None else float(found[1])
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise MultiviewError(f"+self:{found[1]} has no weight; give a number above 0, as in full+self:0.5.")
    return topology[: found.start()], weight


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
