"""The held-out samples that the page of a run shows, and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.measure.cuts import GALLERY, QUERY
from multiview.measure.embeddings import embed, pooled
from multiview.measure.labelled_splits import filled_splits
from multiview.measure.partners import distinct_views, plan, shared_heads
from multiview.measure.retrieval import pool
from multiview.measure.rows import TRAINED
from multiview.measure.unlabelled import Passes
from multiview.model import needs_of
from multiview.objectives.needs import Head

if TYPE_CHECKING:
    from multiview.trained import Trained

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """At most 2,000 samples of one split, with the embeddings of all views that differ.

    Args:
        split: `test`, else `val`, else `train`.
        rows: of the samples in the store, (n,).
        present: view -> whether the sample has it, (n,).
        z: view -> its embeddings (n, d) on the unit sphere, of the first edge of the view.
        pairs: (query, gallery) -> the embeddings of both that are compared. A view is paired with
            itself, and with every view that shares an embedding with it.
        crops: view without a partner -> its embeddings on the two crops that the evaluation ranks.
    """

    split: str
    rows: NDArray[np.int64]
    present: Mapping[str, NDArray[np.bool_]]
    z: Mapping[str, Vectors]
    pairs: Mapping[tuple[str, str], tuple[Vectors, Vectors]]
    crops: Mapping[str, tuple[Vectors, Vectors]] = field(default_factory=dict)


def held_out(trained: Trained) -> HeldOut | None:
    """The samples to show; None when no split holds a sample. Every process must call it."""
    store, views = trained.store, trained.setup.views
    filled = filled_splits(store)
    split = next((name for name in ("test", "val", *filled) if name in filled), None)
    if split is None:
        return None
    rows = store.rows(split)
    usable = np.flatnonzero(np.any([store.present(view.modality)[rows] for view in views.values()], axis=0))
    positions = pool(usable)
    if not len(positions):
        return None
    device = next(trained.model.parameters()).device
    model = trained.model.eval()
    of = embed(store, split, views, lambda x: pooled(model.features(x)), device, positions=positions)
    z = _embeddings(trained, of.features, device)
    known = {view: needs.projector for view, needs in reversed(needs_of(trained.setup.graph))}
    first = {view: known[view] for view in distinct_views(trained.setup)}
    searched = plan(trained.setup, store, filled)
    is_cut = searched is not None and bool(searched.cut)
    queries, found = (_on_crop(trained, split, positions, cut, device) if is_cut else z for cut in (QUERY, GALLERY))
    pairs = {
        (a, b): (queries[a, heads[0]], found[b, heads[1]]) if a != b else (z[a, heads[0]], z[a, heads[1]])
        for a, b in product(first, repeat=2)
        if (heads := _heads(trained, first, a, b))
    }
    alone = {pair.query for pair in searched.pairs if pair.query == pair.gallery} if searched else set()
    return HeldOut(
        split=split,
        rows=rows[positions],
        present=of.present,
        z={view: z[view, head] for view, head in first.items()},
        pairs=pairs,
        crops={view: (queries[view, first[view]], found[view, first[view]]) for view in first if view in alone},
    )


def _on_crop(
    trained: Trained, split: str, positions: NDArray[np.int64], cut: str, device: torch.device
) -> dict[tuple[str, Head], Vectors]:
    """The embeddings on a crop that the evaluation ranks."""
    passes = Passes(trained, {TRAINED: trained.model}, device, label=None)
    arrays = passes.over(split, positions, cut).arrays
    return _embeddings(trained, {view: arrays["h", TRAINED, view] for view in trained.setup.views}, device)


def _heads(trained: Trained, first: Mapping[str, Head], a: str, b: str) -> tuple[Head, Head] | None:
    if a == b:
        return first[a], first[a]
    shared = shared_heads(trained.setup.graph, a, b)
    return shared[1:] if shared else None


@torch.no_grad()
def _embeddings(trained: Trained, features: Mapping[str, Any], device: torch.device) -> dict[tuple[str, Head], Vectors]:
    """(view, projector) -> embeddings (n, d) on the unit sphere."""
    made = {}
    for view, needs in needs_of(trained.setup.graph):
        h = torch.from_numpy(features[view]).to(device)
        z = trained.model.projector(view, needs.projector)(h).float().cpu().numpy()
        made[view, needs.projector] = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return made
