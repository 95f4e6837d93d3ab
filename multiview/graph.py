"""The contrast graph: which views are contrasted with which, and how.

It is a frozen value that is checked when it is made.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from multiview.errors import MultiviewError, unknown_name
from multiview.objectives.base import Objective, Situation
from multiview.objectives.matryoshka import require_widths
from multiview.objectives.needs import Needs

VIEW_NAME = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A factor on the weight of an edge that changes over the run.

    Args:
        weight: first and last factor, 0 or more and not both 0.
        until: where the last factor is reached: a share of the run, or epochs when above 1.
        shape: of the way between both, linear or cosine.

    Example:
        >>> rising = mv.Schedule(weight=(0.0, 1.0), until=0.5)
        >>> mv.Edge("L", "ab", mv.CMC(), schedule=rising).weight_at(0.25)
        0.5
    """

    weight: tuple[float, float] = (0.0, 1.0)
    until: float = 1.0
    shape: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", tuple(self.weight))
        if len(self.weight) != 2 or not all(0 <= w < math.inf for w in self.weight) or not any(self.weight):
            raise MultiviewError(
                f"schedule: weight is {list(self.weight)}; give [from, to], two numbers that are 0 or more, not both 0."
            )
        if not 0 < self.until < math.inf:
            raise MultiviewError(
                f"schedule: until is {self.until}; give a share of the run up to 1, or epochs above 1."
            )
        if self.shape not in ("linear", "cosine"):
            raise unknown_name("shape of a schedule", str(self.shape), ("linear", "cosine"))

    def factor(self, done: float, epochs: float) -> float:
        """The factor when the share `done` of a run of `epochs` epochs is done."""
        until = self.until if self.until <= 1 else self.until / epochs
        share = min(1.0, done / until)
        share = (1 - math.cos(math.pi * share)) / 2 if self.shape == "cosine" else share
        return self.weight[0] + share * (self.weight[1] - self.weight[0])


def _weight_at(edge: AnyEdge, done: float, epochs: float = 1.0) -> float:
    """The weight of the edge when the share `done` of a run of `epochs` epochs is done."""
    return edge.weight if edge.schedule is None else edge.weight * edge.schedule.factor(done, epochs)


@dataclass(frozen=True)
class Edge:
    """Views `a` and `b` contrasted by `objective`; its loss counts `weight` times.

    schedule: changes the weight over the run (None = constant).

    Example:
        >>> mv.Edge("L", "ab", mv.CMC(), weight=0.5).label
        'L-ab'
    """

    a: str
    b: str
    objective: Objective
    weight: float = 1.0
    schedule: Schedule | None = None
    weight_at = _weight_at

    def __post_init__(self) -> None:
        if self.a == self.b:
            raise MultiviewError(
                f"edge {self.a}-{self.b} contrasts a view with itself; for two crops of one view give two views of "
                "different crops."
            )
        _check_values(self)
        if self.objective.fuses:
            raise MultiviewError(
                f"edge {self.label}: {self.objective.name} fuses views, of which it needs two draws each; give "
                f"HyperEdge(('{self.a}', '{self.b}', '{self.a}_2', '{self.b}_2'), {self.objective.name}()), where "
                f"'{self.a}_2' shares the encoder of '{self.a}', or write `{self.a} - {self.b}` in a graph file."
            )
        if not self.objective.pairwise and not self.objective.also_pairs:
            raise MultiviewError(
                f"edge {self.label}: {self.objective.name} contrasts three views or more together; "
                f"give HyperEdge(('{self.a}', '{self.b}', ...), {self.objective.name}()), "
                "or type --topology joint if the recipe has it."
            )

    @property
    def views(self) -> tuple[str, str]:
        """Both views."""
        return self.a, self.b

    @property
    def label(self) -> str:
        """`a-b`."""
        return "-".join(self.views)


@dataclass(frozen=True)
class HyperEdge:
    """Three `views` or more contrasted by one `objective`; its loss counts `weight` times.

    schedule: changes the weight over the run (None = constant).

    Example:
        >>> mv.HyperEdge(("L", "depth", "audio"), mv.Symile()).label
        'L-depth-audio'
    """

    views: tuple[str, ...]
    objective: Objective
    weight: float = 1.0
    schedule: Schedule | None = None
    weight_at = _weight_at

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        if len(set(self.views)) < max(3, len(self.views)):
            raise MultiviewError(
                f"hyperedge {self.label or 'of no view'} needs three different views or more; an Edge joins two views."
            )
        _check_values(self)
        if self.objective.pairwise:
            raise MultiviewError(
                f"hyperedge {self.label}: {self.objective.name} contrasts two views; give an Edge for each pair, "
                "for example by ContrastGraph.full, or an objective of many views such as Symile()."
            )
        if self.objective.fuses and (len(self.views) < 4 or len(self.views) % 2):
            raise MultiviewError(
                f"hyperedge {self.label}: {self.objective.name} fuses two views or more, and each of them occurs "
                "twice: first all views, then a second draw of each, such as ('photo', 'depth', 'photo_2', 'depth_2')."
            )

    @property
    def label(self) -> str:
        """`L-depth-audio`."""
        return "-".join(self.views)


AnyEdge = Edge | HyperEdge


def needs_of_edge(edge: AnyEdge) -> tuple[Needs, ...]:
    """What the objective of an edge needs of each of its views, in their order.

    A fusion carries the names of the views of its edge, so that every edge has its own.
    """
    needs = edge.objective.needs()
    if isinstance(needs, Needs) and needs.projector.fusion is not None:
        fusion = replace(needs.projector.fusion, views=halves(edge)[0])
        needs = replace(needs, projector=replace(needs.projector, fusion=fusion))
    return (needs,) * len(edge.views) if isinstance(needs, Needs) else needs


def halves(edge: AnyEdge) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The views of an edge that fuses them: the first draw of each, and the second."""
    middle = len(edge.views) // 2
    return tuple(edge.views[:middle]), tuple(edge.views[middle:])


def _prefixes(edge: AnyEdge) -> str:
    widths = edge.objective.matryoshka
    return f"  prefixes {', '.join(map(str, widths))}" if widths else ""


def _check_values(edge: AnyEdge) -> None:
    if not isinstance(edge.objective, Objective):
        raise MultiviewError(
            f"edge {edge.label}: the objective is {edge.objective!r}; give an objective such as CMC() or SimCLR()."
        )
    number = isinstance(edge.weight, (int, float)) and not isinstance(edge.weight, bool)
    if not number or not 0 < edge.weight < float("inf"):
        raise MultiviewError(
            f"edge {edge.label}: weight is {edge.weight}; give a finite number above 0, or leave the edge out."
        )
    if edge.schedule is not None and not isinstance(edge.schedule, Schedule):
        raise MultiviewError(f"edge {edge.label}: schedule is {edge.schedule!r}; give mv.Schedule(weight=(0, 1)).")
    if edge.objective.matryoshka:
        require_widths(edge.objective)


@dataclass(frozen=True)
class ContrastGraph:
    """Views as nodes, `Edge`s and `HyperEdge`s between them.

    Raises MultiviewError for an unknown view, a duplicate edge or a view without an edge.

    Example:
        >>> mv.ContrastGraph.core(["L", "ab", "depth"], mv.SimCLR()).names()
        ('L-ab', 'L-depth')
    """

    views: tuple[str, ...]
    edges: tuple[AnyEdge, ...]

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
    def joint(cls, views: Iterable[str], objective: Objective) -> ContrastGraph:
        """One hyperedge over all views, for an objective such as Symile."""
        names = tuple(views)
        return cls(names, (HyperEdge(names, objective),))

    @classmethod
    def of(cls, topology: str, views: Iterable[str], objective: Objective) -> ContrastGraph:
        """The topology by name: `full`, `core`, `chain` or `joint`."""
        topologies = {"full": cls.full, "core": cls.core, "chain": cls.chain, "joint": cls.joint}
        if topology not in topologies:
            raise unknown_name("topology", topology, topologies)
        return topologies[topology](views, objective)

    @property
    def drawn_once(self) -> tuple[str, ...]:
        """The views without the second draws that only edges read which fuse views."""
        fusing = [edge for edge in self.edges if edge.objective.fuses]
        read = {view for edge in self.edges if edge not in fusing for view in edge.views}
        read |= {view for edge in fusing for view in halves(edge)[0]}
        return tuple(view for view in self.views if view in read)

    def names(self) -> tuple[str, ...]:
        """A unique name per edge: `L-ab`, or `L-ab:CMC` where several edges join the same views."""
        joined = Counter(frozenset(edge.views) for edge in self.edges)
        return tuple(
            f"{edge.label}:{edge.objective.name}" if joined[frozenset(edge.views)] > 1 else edge.label
            for edge in self.edges
        )

    def named_edges(self) -> dict[str, AnyEdge]:
        """The edges by their unique names, in their order."""
        return dict(zip(self.names(), self.edges, strict=True))

    def resolved(self, situation: Situation) -> ContrastGraph:
        """The graph with every objective resolved for the data (`Objective.resolved`).

        Raises MultiviewError that names the edge whose objective cannot work with the data or the
        batch.
        """
        return replace(self, edges=tuple(_resolved(edge, situation) for edge in self.edges))

    fitted = resolved  # its former name

    def draw(self) -> str:
        """One line per edge: `L -- ab  CMC(...)  weight 1`."""
        joined = [" -- ".join(edge.views) for edge in self.edges]
        width = max(len(text) for text in joined)
        return "\n".join(
            f"{text:<{width}}  {e.objective}  weight {e.weight:g}{_prefixes(e)}"
            for text, e in zip(joined, self.edges, strict=True)
        )

    def _check_views(self) -> None:
        if len(self.views) < 2:
            raise MultiviewError(f"a contrast graph needs two views or more; given: {', '.join(self.views) or 'none'}.")
        bad = [name for name in self.views if not VIEW_NAME.fullmatch(name)]
        if bad:
            raise MultiviewError(
                f"'{bad[0]}' is not a name for a view; use letters, digits and underscores, for example 'depth_left'."
            )
        twice = [name for name, count in Counter(self.views).items() if count > 1]
        if twice:
            raise MultiviewError(f"view '{twice[0]}' occurs twice in the graph; every view needs its own name.")

    def _check_edges(self) -> None:
        for edge in self.edges:
            for view in edge.views:
                if view not in self.views:
                    raise unknown_name("view of this graph", view, self.views)
        _refuse_duplicates(self.edges)
        joined = {view for edge in self.edges for view in edge.views}
        alone = [view for view in self.views if view not in joined]
        if alone:
            raise MultiviewError(
                f"view '{alone[0]}' is in no edge, so its encoder would never learn; add an edge or leave the view out."
            )


def _refuse_duplicates(edges: Sequence[AnyEdge]) -> None:
    kinds = Counter((frozenset(edge.views), type(edge.objective)) for edge in edges)
    for edge in edges:
        if kinds[frozenset(edge.views), type(edge.objective)] > 1:
            raise MultiviewError(
                f"edge {edge.label} occurs twice with {edge.objective.name}; one edge already scores all "
                "directions: give it a weight instead."
            )


def _resolved(edge: AnyEdge, situation: Situation) -> AnyEdge:
    try:
        return replace(edge, objective=edge.objective.resolved(situation))
    except MultiviewError as error:
        raise MultiviewError(f"edge {edge.label}: {error}") from None
