"""Evaluation of a run: trained encoders beside untrained encoders and raw pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from multiview.distributed import on_first, rank
from multiview.files import replace_text
from multiview.measure.embeddings import Extract, embed, raw_pixels, share_buffers
from multiview.measure.features import Features, measure_features
from multiview.measure.files import EVALUATION, to_json
from multiview.measure.labelled_splits import filled_splits, labelled_positions, why_no_labels
from multiview.measure.rows import RANDOM, RAW, TRAINED, Group, Measure, group_name
from multiview.measure.table import render
from multiview.measure.untrained import untrained_features
from multiview.measure.view_subsets import each_and_all, why_not_measurable
from multiview.measure.view_subsets import subsets as every_subset
from multiview.terminal import SafeConsole

if TYPE_CHECKING:
    from multiview.trained import Trained


def evaluate(
    trained: Trained,
    *,
    device: torch.device | None = None,
    console: Console | None = None,
    layer: str | None = None,
    dim: int | None = None,
    subsets: bool = False,
) -> list[Measure]:
    """kNN and linear probe of every view and of all together, for trained encoders and controls.

    Prints the table, writes `evaluation.json` into the run folder, and returns the rows; none when
    the data has no labels. Every process must call it. The controls are raw pixels, and encoders
    with the weights that the run started from and batch-norm statistics of training samples.

    Args:
        trained: the run.
        device: of the encoders (None = that of the model).
        console: where to print.
        layer: a layer of the encoders, averaged over the picture (None = their features).
        dim: the width of every probe (None = the narrowest features).
        subsets: measure every subset of the views, on the samples that have all its views.
    """
    console = console or SafeConsole(quiet=rank() != 0)
    device = device or next(trained.model.parameters()).device
    share_buffers(trained.model)
    splits = filled_splits(trained.store)
    if reason := why_no_labels(trained.store, splits):
        console.print(f"Not evaluated: {reason}", highlight=False)
        return []
    groups = _measurable_groups(trained, splits, subsets, console)
    if not groups:
        return []
    sets = _feature_sets(trained, splits, device, layer)
    rows = on_first(lambda: measure_features(sets, dim=dim, groups=groups))
    render(rows, console)
    if trained.folder is not None and rank() == 0:
        replace_text(trained.folder / EVALUATION, to_json(rows))
    return rows


def pooled(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Feature maps (n, c, ...) as vectors (n, c): their mean over the picture, or over time."""
    return {name: x.flatten(2).mean(2) if x.ndim > 2 else x for name, x in features.items()}


def _labels_of_views(trained: Trained, rows: np.ndarray) -> dict[str, np.ndarray]:
    """view -> the labels of the rows, -1 where a row lacks the view or a label."""
    store, views = trained.store, trained.setup.views
    return {name: np.where(store.present(view.modality)[rows], store.labels[rows], -1) for name, view in views.items()}


def _measurable_groups(trained: Trained, splits: Sequence[str], subsets: bool, console: Console) -> list[Group]:
    """The groups of views that enough labelled samples have; prints why others are left out."""
    store, views = trained.store, trained.setup.views
    names = list(trained.setup.graph.views)
    labels = {split: _labels_of_views(trained, store.rows(split)) for split in splits}
    reasons = {
        group: why_not_measurable(group, labels) for group in (every_subset(names) if subsets else each_and_all(names))
    }
    for group, reason in reasons.items():
        if reason:
            sentence = f"{group_name(group, list(views))} is not measured: {reason}."
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    return [group for group, reason in reasons.items() if not reason]


def _feature_sets(
    trained: Trained, splits: Sequence[str], device: torch.device, layer: str | None
) -> dict[str, dict[str, Features]]:
    """Weights -> view -> features of every split."""
    untrained = untrained_features(trained, device, layer)
    extracts: dict[str, Extract] = {
        TRAINED: lambda views: pooled(trained.features(views, layer)),
        RANDOM: lambda views: pooled(untrained(views)),
        RAW: raw_pixels,
    }
    return {name: _features(trained, splits, extract, device, name) for name, extract in extracts.items()}


def _features(
    trained: Trained, splits: Sequence[str], extract: Extract, device: torch.device, name: str
) -> dict[str, Features]:
    views = trained.setup.views
    label = f"evaluating: features of {name}"
    chosen = {split: labelled_positions(trained.store, split, views) for split in splits}
    parts = {
        split: embed(trained.store, split, views, extract, device, label=label, positions=positions)
        for split, positions in chosen.items()
        if len(positions)
    }
    return {
        view: Features(**{split: (part.features[view], part.labels_of(view)) for split, part in parts.items()})
        for view in views
    }
