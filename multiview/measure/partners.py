"""Which views of a run can find each other, by which embedding, and on which held-out samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.graph import ContrastGraph, needs_of_edge
from multiview.measure.retrieval import Partners, measured, pool, spread_row
from multiview.measure.rows import RANDOM, TRAINED, Measure
from multiview.model import MultiviewModel, needs_of, owners
from multiview.objectives.needs import Head
from multiview.recipe import Setup
from multiview.view import Crop, View

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.measure.embeddings import Embedded

FEWEST = 2
"""Samples of a pool; with one sample there is nothing to confuse it with."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured without labels.

    Args:
        split: the held-out split; `train` when the store has no other.
        pairs: every ordered pair of views that share an embedding, with its pool.
        heads: the projectors of each pair: of the query and of the gallery.
        alone: view -> positions of its pool, for each view without a partner.
        left_out: sentences on pairs of views that are not searched for.
    """

    split: str
    pairs: tuple[Partners, ...]
    heads: tuple[tuple[Head, Head], ...]
    alone: Mapping[str, NDArray[np.int64]]
    left_out: tuple[str, ...]

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
    for query, gallery in permutations(setup.graph.views, 2):
        shared = shared_heads(setup.graph, query, gallery)
        positions = pool(_with_all(setup, store, split, (query, gallery)))
        reason = _why_not(setup, split, query, gallery, shared is not None, len(positions))
        if shared is None or reason:
            left_out += [f"{query} and {gallery} are not searched for: {reason}."] * (query < gallery)
            continue
        pairs.append(
            Partners(query=query, gallery=gallery, facts=_facts(setup, query, gallery, shared), positions=positions)
        )
        heads.append(shared[1:])
    alone = [view for view in setup.graph.views if not any(view in (pair.query, pair.gallery) for pair in pairs)]
    alone = [view for i, view in enumerate(alone) if not any(is_same_input(setup, view, other) for other in alone[:i])]
    pools = {view: pool(_with_all(setup, store, split, (view,))) for view in alone}
    pools = {view: positions for view, positions in pools.items() if len(positions) >= FEWEST}
    if not pairs and not pools:
        return None
    return Plan(split=split, pairs=tuple(pairs), heads=tuple(heads), alone=pools, left_out=tuple(left_out))


def _why_not(setup: Setup, split: str, query: str, gallery: str, is_shared: bool, samples: int) -> str:
    """The reason why two views are not searched for, "" when they are."""
    if not is_shared:
        return "no edge gives them an embedding in common"
    if is_same_input(setup, query, gallery):
        return "without random crops they are the same input of the same encoder, so that one always finds the other"
    return f"fewer than {FEWEST} samples of the {split} split have both" if samples < FEWEST else ""


def _facts(setup: Setup, query: str, gallery: str, shared: tuple[str, Head, Head]) -> dict[str, Any]:
    first, second = setup.views[query], setup.views[gallery]
    same_crop = first.crop == second.crop and len(first.axes) > 1 and len(second.axes) > 1  # a table has no places
    facts = {"embedding": "z", "head": shared[1].name, "edge": shared[0], "similarity": "cosine"}
    return {**facts, "crop": "central", "same_crop": same_crop}


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
    return owner_of[a] == owner_of[b] and _fixed(setup.views[a]) == _fixed(setup.views[b])


def _fixed(view: View) -> View:
    """The view without all that training draws at random; the central crop has a size only."""
    return replace(
        view, crop=Crop(size=view.crop.size, seconds=view.crop.seconds), augment=None, mask=None, distort=None
    )


def _with_all(setup: Setup, store: Store, split: str, names: tuple[str, ...]) -> NDArray[np.int64]:
    rows = store.rows(split)
    return np.flatnonzero(np.all([store.present(setup.views[name].modality)[rows] for name in names], axis=0))


@torch.no_grad()
def embeddings_of(
    of: Plan, models: Mapping[str, MultiviewModel], parts: Mapping[str, Embedded], places: NDArray[np.int64]
) -> dict[str, dict[int, tuple[NDArray[Any], NDArray[Any]]]]:
    """Weights -> number of the pair -> embeddings of queries and gallery, from the features.

    Args:
        of: the plan.
        models: weights -> the model whose projectors are used.
        parts: weights -> features of samples of the split.
        places: the positions of these samples in the split, ascending.
    """
    found: dict[str, dict[int, tuple[NDArray[Any], NDArray[Any]]]] = {}
    for weights in (TRAINED, RANDOM):
        model, features = models[weights].eval(), parts[weights].features
        device = next(model.parameters()).device
        made: dict[tuple[str, Head], NDArray[Any]] = {}
        found[weights] = {}
        there = parts[weights].present
        for i, (pair, heads) in enumerate(zip(of.pairs, of.heads, strict=True)):
            at = np.searchsorted(places, pair.positions)
            at = at[there[pair.query][at] & there[pair.gallery][at]]  # without files that cannot be read
            for view, head in zip((pair.query, pair.gallery), heads, strict=True):
                if (view, head) not in made:
                    h = torch.from_numpy(features[view]).to(device)
                    made[view, head] = model.projector(view, head)(h).float().cpu().numpy()
            query, gallery = (made[key] for key in zip((pair.query, pair.gallery), heads, strict=True))
            found[weights][i] = query[at], gallery[at]
    return found


def searches(
    of: Plan, models: Mapping[str, MultiviewModel], parts: Mapping[str, Embedded], places: NDArray[np.int64]
) -> list[Measure]:
    """The rows of retrieval of every pair, and of the effective rank of views without a partner.

    The arguments are those of `embeddings_of`.
    """
    rows = measured(of.pairs, embeddings_of(of, models, parts, places), of.split) if of.pairs else []
    for view, positions in of.alone.items():
        for weights in (TRAINED, RANDOM):
            at = np.searchsorted(places, positions)
            at = at[parts[weights].present[view][at]]
            rows.append(spread_row(view, parts[weights].features[view][at], weights, of.split))
    return rows
