"""Retrieval on the validation split while training goes on, as the evaluation measures it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from multiview.measure.cuts import GALLERY, QUERY
from multiview.measure.embeddings import share_buffers
from multiview.measure.labelled_splits import filled_splits, spread_evenly
from multiview.measure.partners import plan
from multiview.measure.retrieval import ranks
from multiview.measure.rows import TRAINED
from multiview.measure.unlabelled import Passes
from multiview.measure.unlabelled_rows import Embeddings

if TYPE_CHECKING:
    from multiview.trained import Trained

SAMPLES = 1000


def online_retrieval(trained: Trained, device: torch.device) -> dict[str, float]:
    """`retrieval/a -> b` -> R@1 among at most 1000 validation samples, for each pair of views.

    As in the evaluation, see `multiview.measure.partners`. Empty without a validation split. Every
    process of a run must call it. Afterwards the model is in training mode.
    """
    share_buffers(trained.model)
    found = plan(trained.setup, trained.store, ["val"]) if "val" in filled_splits(trained.store) else None
    if found is None or not found.pairs:
        return {}
    pairs = [replace(pair, positions=spread_evenly(pair.positions, SAMPLES)) for pair in found.pairs]
    found = replace(found, pairs=tuple(pairs), alone={})
    passes = Passes(trained, {TRAINED: trained.model.eval()}, device, label=None)
    query = passes.over("val", found.positions, QUERY if found.cut else "")
    gallery = passes.over("val", found.positions, GALLERY) if found.cut else query
    embed = Embeddings(found, passes.models, (query, gallery))
    values = {
        f"retrieval/{pair.name}": float((ranks(*embed.of_pair(TRAINED, i)) == 1).mean()) for i, pair in enumerate(pairs)
    }
    trained.model.train()
    return values
