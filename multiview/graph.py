"""The contrast graph: which views are contrasted with which, and how. A frozen value, checked when it is made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from multiview.errors import MultiviewError, unknown_name
from multiview.objectives.base import Objective, Situation

VIEW_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class Edge:
    """Views `a` and `b` contrasted by `objective`; its loss counts `weight` times."""

    a: str
    b: str
    objective: Objective
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise MultiviewError(
                f"edge {self.a}-{self.b} contrasts a view with itself; for two crops of one view give two views of different crops."
            )
        if not isinstance(self.objective, Objective):
            raise MultiviewError(
                f"edge {self.a}-{self.b}: the objective is {self.objective!r}; give one such as CMC() or SimCLR()."
            )
        if not 0 < self.weight < float("inf"):
            raise MultiviewError(
                f"edge {self.a}-{self.b}: weight is {self.weight}; give a finite number above 0, or leave the edge out."
            )

    @property
    def pair(self) -> str:
        """`a-b`."""
        return f"{self.a}-{self.b}"


@dataclass(frozen=True)
class ContrastGraph:
    """Views as nodes, `Edge`s between them. Raises MultiviewError for an unknown view, a duplicate edge or a view without an edge."""

    views: tuple[str, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        object.__setattr__(self, "edges", tuple(self.edges))
        self._check_views()
        self._check_edges()

    @classmethod
    def full(cls, views: Iterable[str], objective: Objective) -> ContrastGraph:
        """Every pair of views (the paper's full graph, arXiv:1906.05849, Eq. 8)."""
        names = tuple(views)
        return cls(names, tuple(Edge(a, b, objective) for i, a in enumerate(names) for b in names[i + 1 :]))

    @classmethod
    def core(cls, views: Iterable[str], objective: Objective, centre: str | None = None) -> ContrastGraph:
        """One view, the first or `centre`, against all others (the paper's core view, Eq. 7)."""
        names = tuple(views)
        middle = names[0] if centre is None and names else (centre or "")
        if middle not in names:
            raise unknown_name("view of this graph", middle, names)
        return cls(names, tuple(Edge(middle, other, objective) for other in names if other != middle))

    @classmethod
    def chain(cls, views: Iterable[str], objective: Objective) -> ContrastGraph:
        """Each view against the next."""
        names = tuple(views)
        return cls(names, tuple(Edge(a, b, objective) for a, b in pairwise(names)))

    @classmethod
    def of(cls, topology: str, views: Iterable[str], objective: Objective) -> ContrastGraph:
        """The topology by name: `full`, `core` or `chain`."""
        topologies = {"full": cls.full, "core": cls.core, "chain": cls.chain}
        if topology not in topologies:
            raise unknown_name("topology", topology, topologies)
        return topologies[topology](views, objective)

    def names(self) -> tuple[str, ...]:
        """A unique name an edge: `L-ab`, or `L-ab:CMC` where several edges join the pair."""
        pairs = Counter(frozenset((edge.a, edge.b)) for edge in self.edges)
        return tuple(
            f"{edge.pair}:{edge.objective.name}" if pairs[frozenset((edge.a, edge.b))] > 1 else edge.pair
            for edge in self.edges
        )

    def fitted(self, situation: Situation) -> ContrastGraph:
        """The graph with every objective fitted to the data; raises MultiviewError naming the edge that cannot work on it."""
        return replace(self, edges=tuple(_fitted(edge, situation) for edge in self.edges))

    def draw(self) -> str:
        """One line an edge: `L -- ab  CMC(...)  weight 1`."""
        width = max(len(name) for name in self.views)
        return "\n".join(f"{e.a:>{width}} -- {e.b:<{width}}  {e.objective}  weight {e.weight:g}" for e in self.edges)

    def _check_views(self) -> None:
        if len(self.views) < 2:
            raise MultiviewError(f"a contrast graph needs two views or more; given: {', '.join(self.views) or 'none'}.")
        bad = [name for name in self.views if not VIEW_NAME.fullmatch(name)]
        if bad:
            raise MultiviewError(
                f"'{bad[0]}' is no name for a view; use letters, digits and underscores, for example 'depth_left'."
            )
        twice = [name for name, count in Counter(self.views).items() if count > 1]
        if twice:
            raise MultiviewError(f"view '{twice[0]}' stands twice in the graph; every view needs a name of its own.")

    def _check_edges(self) -> None:
        for edge in self.edges:
            for view in (edge.a, edge.b):
                if view not in self.views:
                    raise unknown_name("view of this graph", view, self.views)
        _refuse_duplicates(self.edges)
        joined = {view for edge in self.edges for view in (edge.a, edge.b)}
        alone = [view for view in self.views if view not in joined]
        if alone:
            raise MultiviewError(
                f"view '{alone[0]}' is in no edge, so its encoder would never learn; add an edge or leave the view out."
            )


def _refuse_duplicates(edges: Sequence[Edge]) -> None:
    kinds = Counter((frozenset((edge.a, edge.b)), type(edge.objective)) for edge in edges)
    for edge in edges:
        if kinds[frozenset((edge.a, edge.b)), type(edge.objective)] > 1:
            raise MultiviewError(
                f"edge {edge.pair} stands twice with {edge.objective.name}; one edge scores both directions: give it a weight instead."
            )


def _fitted(edge: Edge, situation: Situation) -> Edge:
    try:
        return replace(edge, objective=edge.objective.fitted(situation))
    except MultiviewError as error:
        raise MultiviewError(f"edge {edge.pair}: {error}") from None
