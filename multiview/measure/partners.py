"""Which views of a run can find each other, by which embedding, and on which held-out samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from multiview.graph import ContrastGraph, needs_of_edge
from multiview.measure.cuts import has_places
from multiview.measure.retrieval import Partners, pool
from multiview.model import fused_names, needs_of, owners
from multiview.objectives.needs import Head
from multiview.recipe import Setup

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.view import View

OWN, CENTRAL = "own", "central"
"""Query and gallery are cut at different places; or one of them has no places."""
FEWEST = 2
"""Samples of a pool; with one sample there is nothing to confuse it with."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured without labels.

    Args:
        split: the held-out split; `train` when the store has no other.
        pairs: every ordered pair of views that share an embedding, with its pool; and each view
            without a partner with itself, when crops show parts of it.
        heads: the projectors of each pair: of the query and of the gallery.
        alone: view -> positions of its pool, for each view without a partner.
        left_out: sentences on pairs of different views that are not searched for.
        cut: the views of which query and gallery are different crops; when there is no pair that
            needs it, none.
    """

    split: str
    pairs: tuple[Partners, ...]
    heads: tuple[tuple[Head, Head], ...]
    alone: Mapping[str, NDArray[np.int64]]
    left_out: tuple[str, ...]
    cut: frozenset[str] = frozenset()

    @property
    def positions(self) -> NDArray[np.int64]:
        """All samples that are needed, ascending."""
        return np.unique(np.concatenate([*(pair.positions for pair in self.pairs), *self.alone.values()]))


def plan(setup: Setup, store: Store, splits: Sequence[str]) -> Plan | None:
    """What can be measured without labels; None when no split holds two samples of a view."""
    split = next((name for name in ("test", "val", *splits) if name in splits), None)
    if split is None:
        return None
    pairs, heads, left_out = [], [], []
    places = _with_places(setup, store)
    views = setup.graph.drawn_once
    for query, gallery in permutations(views, 2):
        if is_same_input(setup, query, gallery):  # without random crops one always finds the other
            continue
        shared = shared_heads(setup.graph, query, gallery)
        positions = pool(_with_all(setup, store, split, (query, gallery)))
        reason = _why_not(split, shared is not None, len(positions))
        if shared is None or reason:
            left_out += [f"{query} and {gallery} are not searched for: {reason}."] * (query < gallery)
            continue
        pairs.append(
            Partners(query=query, gallery=gallery, facts=_facts(query, gallery, shared, places), positions=positions)
        )
        heads.append(shared[1:])
    pairs, heads = _without_copies(setup, pairs, heads)
    alone = [view for view in views if not any(view in (pair.query, pair.gallery) for pair in pairs)]
    alone = [view for i, view in enumerate(alone) if not copied_from(setup, view, alone[:i])]
    pools = {view: pool(_with_all(setup, store, split, (view,))) for view in alone}
    pools = {view: positions for view, positions in pools.items() if len(positions) >= FEWEST}
    if not pairs and not pools:
        return None
    own = {view: head for view, head in _own_heads(setup.graph).items() if view in pools and view in places}
    pairs += [_with_itself(view, head, places, pools[view]) for view, head in own.items()]
    heads += [(head, head) for head in own.values()]
    needed = any(pair.facts["crop"] == OWN for pair in pairs)
    cut = places if needed else frozenset[str]()
    return Plan(split=split, pairs=tuple(pairs), heads=tuple(heads), alone=pools, left_out=tuple(left_out), cut=cut)


def _without_copies(
    setup: Setup, pairs: Sequence[Partners], heads: Sequence[tuple[Head, Head]]
) -> tuple[list[Partners], list[tuple[Head, Head]]]:
    """The pairs without those that measure the same again, by another draw of a view.

    A pair that stays takes the edge of a copy when it has none itself.
    """
    kept: list[tuple[Partners, tuple[Head, Head]]] = []
    for pair, head in zip(pairs, heads, strict=True):
        at = next((i for i, (first, same) in enumerate(kept) if same == head and _copies(setup, first, pair)), None)
        if at is None:
            kept.append((pair, head))
        elif pair.facts["edge"] and not kept[at][0].facts["edge"]:
            first = kept[at][0]
            kept[at] = replace(first, facts={**first.facts, "edge": pair.facts["edge"]}), head
    return [pair for pair, _ in kept], [head for _, head in kept]


def _copies(setup: Setup, one: Partners, other: Partners) -> bool:
    """Whether two pairs ask for the same views, but for what training draws at random."""
    sides = ((one.query, other.query), (one.gallery, other.gallery))
    return all(a == b or is_same_input(setup, a, b) for a, b in sides)


def _with_itself(view: str, head: Head, places: frozenset[str], positions: NDArray[np.int64]) -> Partners:
    """Two crops of one view."""
    return Partners(query=view, gallery=view, facts=_facts(view, view, ("", head, head), places), positions=positions)


def _own_heads(graph: ContrastGraph) -> dict[str, Head]:
    """View -> the projector of its first edge."""
    return {view: needs.projector for view, needs in reversed(needs_of(graph))}


def _with_places(setup: Setup, store: Store) -> frozenset[str]:
    """The views whose crops show parts of a sample."""
    stored = {modality.name: modality for modality in store.manifest.modalities}
    return frozenset(name for name, view in setup.views.items() if has_places(view, stored[view.modality]))


def _why_not(split: str, is_shared: bool, samples: int) -> str:
    """The reason why two views are not searched for, "" when they are."""
    if not is_shared:
        return "no edge gives them an embedding in common"
    return f"fewer than {FEWEST} samples of the {split} split have both" if samples < FEWEST else ""


def _facts(query: str, gallery: str, shared: tuple[str, Head, Head], places: frozenset[str]) -> dict[str, Any]:
    facts = {"embedding": "z", "head": shared[1].name, "edge": shared[0], "similarity": "cosine"}
    return {**facts, "crop": OWN if {query, gallery} <= places else CENTRAL, "same_crop": False}


def shared_heads(graph: ContrastGraph, query: str, gallery: str) -> tuple[str, Head, Head] | None:
    """The edge that contrasts two views and their projectors in it.

    Without such an edge: "" and a projector of the same form that other edges give both views.
    None when the views share no embedding.
    """
    for name, edge in graph.named_edges().items():
        needs = dict(zip(edge.views, needs_of_edge(edge), strict=True))
        if {query, gallery} <= needs.keys() and needs[query].projector.dim == needs[gallery].projector.dim:
            return name, needs[query].projector, needs[gallery].projector
    known = needs_of(graph)
    theirs = [needs.projector for view, needs in known if view == gallery]
    return next((("", n.projector, n.projector) for view, n in known if view == query and n.projector in theirs), None)


def is_same_input(setup: Setup, a: str, b: str) -> bool:
    """Whether two views share an encoder and, without random crops and augmentation, are equal."""
    owner_of = owners(setup.encoders, (a, b))
    return owner_of[a] == owner_of[b] and setup.views[a].undrawn == setup.views[b].undrawn


def distinct_views(setup: Setup) -> tuple[str, ...]:
    """The views that are drawn once, without those that are the same input as an earlier one."""
    return tuple(view for view, first in _first_names(setup).items() if not first)


def measured_views(setup: Setup) -> dict[str, View]:
    """The distinct views, and all that a fused embedding reads."""
    fused = {view for head in fused_names(setup.graph) if head.fusion for view in head.fusion.views}
    distinct = distinct_views(setup)
    return {name: view for name, view in setup.views.items() if name in distinct or name in fused}


def same_views_in_words(setup: Setup) -> list[str]:
    """A sentence on the views that are not measured again, or none."""
    same = [f"{view} (as {first})" for view, first in _first_names(setup).items() if first]
    return [f"Not measured twice: {', '.join(same)}, equal without random crops and augmentation."] if same else []


def _first_names(setup: Setup) -> dict[str, str]:
    """View that is drawn once -> the earlier view that is the same input, "" when there is none."""
    views = setup.graph.drawn_once
    return {view: copied_from(setup, view, views[:i]) for i, view in enumerate(views)}


def copied_from(setup: Setup, view: str, others: Sequence[str]) -> str:
    """The first of the others that is the same input, "" when there is none."""
    return next((other for other in others if is_same_input(setup, view, other)), "")


def _with_all(setup: Setup, store: Store, split: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    rows = store.rows(split)
    return np.flatnonzero(np.all([store.present(setup.views[name].modality)[rows] for name in names], axis=0))
