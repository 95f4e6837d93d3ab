"""The targets of a run measured: features of all weights, then probes of every column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.measure.embeddings import Embedded, Extract
from multiview.measure.linear import Probes, common_dim
from multiview.measure.partners import distinct_views, shared_heads
from multiview.measure.plain_values import statistics
from multiview.measure.rows import Group, Measure
from multiview.measure.target_rows import Plan, Samples, target_rows
from multiview.measure.targets import LABEL, Target
from multiview.measure.transfer import Spaces, transfer_rows
from multiview.model import MultiviewModel
from multiview.objectives.needs import Head

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.trained import Trained

Parts = Mapping[str, Mapping[str, Embedded]]
"""Weights -> split -> features."""


def plain_statistics(trained: Trained) -> Extract:
    """A function from view tensors to simple statistics of them, the control `statistics`."""
    views = trained.setup.views
    return lambda tensors: {name: statistics(views[name], x) for name, x in tensors.items()}


def target_positions(store: Store, split: str, targets: Sequence[Target]) -> NDArray[np.int64]:
    """The positions in a split, ascending, of samples with a value of any target."""
    rows = store.rows(split)
    known = [target.known[rows] for target in targets]
    return np.flatnonzero(np.any(known, axis=0)) if known else np.empty(0, np.int64)


def predictions(
    trained: Trained,
    targets: Sequence[Target],
    groups: Sequence[Group],
    parts: Parts,
    positions: Mapping[str, NDArray[np.int64]],
    models: Mapping[str, MultiviewModel],
    *,
    dim: int | None,
    probe: str,
    through_z: bool,
    probes: Probes | None = None,
) -> list[Measure]:
    """The rows of all targets, and of the transfer of probes between views.

    Args:
        targets: what is predicted.
        groups: which views are put side by side.
        parts: the features of every kind of weights.
        positions: split -> the samples that the features are of.
        models: weights -> the model, for its projectors.
        dim: the width of every probe (None = the narrowest features).
        probe: `linear` or `mlp`.
        through_z: whether the features are those that the projectors take.
        probes: probes that were fitted before.
    """
    splits = {split: _samples(trained.store, parts, split, at) for split, at in positions.items() if len(at)}
    thorough = [target for target in targets if target.asked or target.name == LABEL]
    views = list(distinct_views(trained.setup))
    of_models = [splits["train"].features[name] for name in models]
    widths = [of[view].shape[1] for of in of_models for group in groups for view in group if view in of]
    plan = Plan(
        targets=targets,
        groups=groups,
        views=views,
        dim=dim or common_dim(widths, len(splits["train"].rows)),
        probe=probe,
        thorough=[target.name for target in thorough],
        probes=probes,
    )
    spaces = _spaces(trained, models, splits) if through_z else {}
    return [*target_rows(plan, splits), *transfer_rows(thorough, splits, spaces, views)]


def _samples(store: Store, parts: Parts, split: str, at: NDArray[np.int64]) -> Samples:
    of_split = {weights: of_splits[split] for weights, of_splits in parts.items()}
    first = next(iter(of_split.values()))
    features = {weights: part.features for weights, part in of_split.items()}
    return Samples(rows=store.rows(split)[at], features=features, present=first.present)


@torch.no_grad()
def _spaces(trained: Trained, models: Mapping[str, MultiviewModel], splits: Mapping[str, Samples]) -> Spaces:
    """The embeddings z of every pair of views that share a space."""
    views, graph = distinct_views(trained.setup), trained.setup.graph
    shared = {(a, b): heads[1:] for a in views for b in views if a != b and (heads := shared_heads(graph, a, b))}
    made: dict[tuple[str, str, str, Head], NDArray[Any]] = {}

    def z(weights: str, split: str, view: str, head: Head) -> NDArray[Any]:
        key = (weights, split, view, head)
        if key not in made:
            model = models[weights].eval()
            h = torch.from_numpy(splits[split].features[weights][view]).to(next(model.parameters()).device)
            made[key] = model.projector(view, head)(h).float().cpu().numpy()
        return made[key]

    return {
        (a, b): {w: {s: (z(w, s, a, heads[0]), z(w, s, b, heads[1])) for s in splits} for w in models}
        for (a, b), heads in shared.items()
    }
