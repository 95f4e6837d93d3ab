"""Evaluation of a run: its trained encoders beside the weights they started from and beside raw pixels, on the store's own splits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.distributed import from_first, on_first, rank
from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.measure.embeddings import Embedded, Extract, embed, raw_pixels
from multiview.measure.knn import weighted_knn
from multiview.measure.scores import RANDOM, RAW, TRAINED, Features, Score, evaluate_features, from_json, to_json
from multiview.measure.table import compare, render
from multiview.measure.view_subsets import Group, gap, name_of, usual
from multiview.measure.view_subsets import subsets as every_subset
from multiview.model import owners
from multiview.recipe import Setup
from multiview.viewlayer import ViewLayer, present_views

if TYPE_CHECKING:
    from multiview.trained import Trained

FILE = "evaluation.json"
ONLINE_TRAIN, ONLINE_TEST = 4000, 1000
CALIBRATION = 1024
"""Training samples from which the batch-norm statistics of the random encoders are taken."""


def evaluate(
    trained: Trained,
    *,
    device: torch.device | None = None,
    console: Console | None = None,
    layer: str | None = None,
    dim: int | None = None,
    subsets: bool = False,
) -> list[Score]:
    """kNN and linear probe of every view and of all together, for trained weights, random weights and raw pixels.

    Prints the table, writes evaluation.json into the run folder, and returns the rows; an empty list where the data has no labels.
    layer: a layer of the encoders instead of their features, averaged over the picture. dim: the width of every probe. subsets: measure
    every subset of the views, not only each and all; always on the samples that have all views of the subset.
    Random weights are those the run started from, their batch-norm statistics taken from training samples.
    """
    console = console or Console(quiet=rank() != 0)
    device = device or next(trained.model.parameters()).device
    _agree(trained)
    splits = _splits(trained.store)
    reason = _unmeasurable(trained.store, splits)
    if reason:
        console.print(f"Not evaluated: {reason}", highlight=False)
        return []
    start = untrained(trained, device, layer)
    sets: dict[str, Extract] = {
        TRAINED: lambda views: pooled(trained.features(views, layer)),
        RANDOM: lambda views: pooled(start(views)),
        RAW: raw_pixels,
    }
    wanted = every_subset(trained.setup.graph.views) if subsets else usual(trained.setup.graph.views)
    groups, gaps = _measurable(trained, splits, wanted)
    for sentence in gaps:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if not groups:
        return []
    measured = {name: _features(trained, splits, extract, device) for name, extract in sets.items()}
    rows = on_first(lambda: evaluate_features(measured, dim=dim, groups=groups))
    render(rows, console)
    if trained.folder is not None and rank() == 0:
        (trained.folder / FILE).write_text(to_json(rows))
    return rows


def online_knn(trained: Trained, device: torch.device) -> dict[str, float]:
    """kNN accuracy of every view on validation samples (at most 1000, against 4000 of train) while training goes on."""
    _agree(trained)
    splits = _splits(trained.store)
    held_out = splits.get("val") or splits.get("test")
    if held_out is None or _unmeasurable(trained.store, splits):
        return {}
    views = trained.setup.views
    train = embed(trained.store, splits["train"], views, trained.features, device, most=ONLINE_TRAIN)
    test = embed(trained.store, held_out, views, trained.features, device, most=ONLINE_TEST)
    trained.model.train()
    return {
        f"knn/{view}": weighted_knn(
            train.features[view], _labels(train, view), test.features[view], _labels(test, view)
        )
        for view in views
        if (_labels(train, view) >= 0).any() and (_labels(test, view) >= 0).any()
    }


def _agree(trained: Trained) -> None:
    """The statistics of batch norm are those of the first process, as in the checkpoint: since the last forward each has its own."""
    from_first(list(trained.model.buffers()))


def compare_runs(folders: Sequence[Path], console: Console | None = None) -> None:
    """Prints the evaluations of several runs side by side; raises MultiviewError for a folder without one."""
    tables = {}
    for folder in folders:
        file = folder / FILE
        if not file.is_file():
            raise MultiviewError(f"{folder} has no {FILE}; run `multiview evaluate {folder}` first.")
        tables[folder.name if folder.name not in tables else str(folder)] = from_json(file.read_text())
    compare(tables, console or Console())


def pooled(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Feature maps (n, c, ...) as vectors (n, c), by their mean over the picture, or over time."""
    return {name: x.flatten(2).mean(2) if x.ndim > 2 else x for name, x in features.items()}


def _splits(store: Store) -> dict[str, str]:
    """The store's splits that hold samples, by the part they play."""
    return {name: name for name in ("train", "val", "test") if name in store.manifest.splits and len(store.rows(name))}


def _unmeasurable(store: Store, splits: dict[str, str]) -> str:
    missing = [name for name in ("train", "test") if name not in splits]
    if missing:
        return f"the store has no {missing[0]} split (it has {', '.join(store.manifest.splits)})."
    for name in ("train", "test"):
        if len(set(store.labels[store.rows(name)].tolist()) - {-1}) < 2:
            return f"kNN and the linear probe need labels of two classes or more in the {name} split."
    return ""


def _measurable(trained: Trained, splits: dict[str, str], wanted: Sequence[Group]) -> tuple[list[Group], list[str]]:
    """The groups of views that enough labelled samples have, and a sentence for each of the others."""
    store, views = trained.store, trained.setup.views
    labels = {
        name: {
            view: np.where(store.present(made.modality)[store.rows(split)], store.labels[store.rows(split)], -1)
            for view, made in views.items()
        }
        for name, split in splits.items()
    }
    gaps = {group: gap(group, labels) for group in wanted}
    said = [f"{name_of(g, list(views))} is not measured: {reason}." for g, reason in gaps.items() if reason]
    return [group for group, reason in gaps.items() if not reason], said


def _features(trained: Trained, splits: dict[str, str], extract: Extract, device: torch.device) -> dict[str, Features]:
    views = trained.setup.views
    parts = {name: embed(trained.store, split, views, extract, device) for name, split in splits.items()}
    return {
        view: Features(**{name: (part.features[view], _labels(part, view)) for name, part in parts.items()})
        for view in views
    }


def _labels(part: Embedded, view: str) -> NDArray[np.int64]:
    """Labels, with -1 also where the view is missing."""
    labels = part.labels.copy()
    labels[~part.present[view]] = -1
    return labels


def untrained(trained: Trained, device: torch.device, layer: str | None) -> Extract:
    """What the encoders give, or a layer of them, with the weights they started from."""
    setup = trained.setup
    using = owners(setup.encoders, tuple(setup.views))
    encoders = {name: copy.deepcopy(e).to(device) for name, e in setup.encoders.items() if isinstance(e, Encoder)}
    calibrate(setup, encoders, using, trained.store, device)
    return lambda views: {view: encoders[using[view]](x, layer) for view, x in views.items()}


def calibrate(
    setup: Setup, encoders: dict[str, Encoder], using: dict[str, str], store: Store, device: torch.device
) -> None:
    """Gives untrained encoders the batch-norm statistics of the training data: without, deep random nets are a straw man."""
    norms = [m for e in encoders.values() for m in e.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        samples = Samples(store, "train", setup.views, train=False)
        layer = ViewLayer(setup.views).to(device)
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        step = max(1, len(samples) // CALIBRATION)
        with torch.no_grad():
            for index in torch.arange(0, len(samples), step).split(256):
                batch = samples[0, index].to(device)
                present = present_views(setup.views, batch)
                for view, x in layer(batch).items():
                    if present[view].sum() > 1:
                        encoders[using[view]].train()(x[present[view]])
    for encoder in encoders.values():
        encoder.eval()
