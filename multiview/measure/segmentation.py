"""Semantic segmentation by a linear probe: a 1 x 1 convolution on the maps of a layer.

The scores of the classes are upsampled to the size of the labels. The encoders are frozen, as in
the paper's evaluation of its views of rooms (arXiv:1906.05849, Sec. 4.3). The same probe is fitted
to the maps of untrained encoders, and to the pixels of the view itself, at their full size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.distributed import rank
from multiview.errors import MultiviewError
from multiview.files import replace_text
from multiview.measure.files import SEGMENTATION, file_of, to_json
from multiview.measure.rows import MIOU, PIXEL_ACCURACY, RANDOM, RAW, TRAINED, Measure
from multiview.measure.segmentation_table import render_segmentation
from multiview.measure.untrained import untrained_features
from multiview.plurals import counted
from multiview.terminal import SafeConsole
from multiview.view import Channels, View
from multiview.viewlayer import ViewLayer

if TYPE_CHECKING:
    from multiview.trained import Trained

LABELS = " labels"
"""Name of the view that holds the labels; no view of a graph may have a blank in its name."""
UNLABELLED = -1
BATCH = 16
EPOCHS = 30
LEARNING_RATE = 1e-2

Maps = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A function from view tensors to maps (n, c, h, w)."""


@dataclass(frozen=True)
class Pictures:
    """Maps float32 (n, c, h, w) and labels int64 (n, H, W) of a split; `UNLABELLED` = no class."""

    maps: Tensor
    labels: Tensor


def segment(
    trained: Trained, modality: str, layer: str, *, classes: int = 40, console: Console | None = None
) -> list[Measure]:
    """Pixel accuracy and mean intersection over union of a probe on a layer's maps, for every view.

    Measured with the trained weights, with the untrained encoders, and on the view itself. Prints
    the table, writes `segmentation.json` into the run folder, and returns the rows.

    Args:
        trained: the run.
        modality: the stored mask whose numbers are classes, 0 = unlabelled.
        layer: the layer of the encoders.
        classes: how many of the commonest classes of train count; other pixels are unlabelled.
        console: where the table is printed.

    Raises:
        MultiviewError: The store has no such mask, or the layer has no maps.
    """
    console = console or SafeConsole(quiet=rank() != 0)
    kind = trained.store.modality(modality).kind
    if kind != "mask":
        raise MultiviewError(f"'{modality}' is {kind}, not a mask; name the mask of the classes.")
    known = commonest(trained.store, modality, classes)
    extracts: dict[str, Maps] = {
        TRAINED: lambda views: trained.features(views, layer),
        RANDOM: untrained_features(trained, next(trained.model.parameters()).device, layer),
        RAW: lambda views: views,
    }
    rows = []
    for view in trained.setup.views:
        for weights, extract in extracts.items():
            train, test = (_pictures(trained, extract, view, modality, known, split) for split in ("train", "test"))
            facts = {"layer": "" if weights == RAW else layer, "classes": len(known), "modality": modality}
            rows += _measured(train, test, facts, views=(view,), group=view, weights=weights)
    render_segmentation(rows, console)
    if trained.folder is not None and rank() == 0:
        replace_text(file := file_of(trained, SEGMENTATION), to_json(rows))
        if trained.other_data:
            console.print(f"Written to {file}; {SEGMENTATION} holds the run's own data.", highlight=False, markup=False)
    return rows


def commonest(store: Store, modality: str, most: int) -> list[int]:
    """The numbers of the `most` commonest classes in train, commonest first; 0 is no class."""
    counts = np.zeros(1, np.int64)
    for rows in np.array_split(store.rows("train"), max(1, len(store.rows("train")) // 64)):
        added = np.bincount(np.concatenate([np.ravel(mask) for mask in store.read(rows, modality)]))
        counts = np.pad(counts, (0, max(0, len(added) - len(counts))))
        counts[: len(added)] += added
    counts[0] = 0
    classes = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]][:most]
    if len(classes) < 2:
        raise MultiviewError(
            f"'{modality}' has {counted(len(classes), 'class', 'classes')} in the training split; segmentation needs "
            "two classes or more."
        )
    return classes


def _pictures(trained: Trained, extract: Maps, view: str, modality: str, known: list[int], split: str) -> Pictures:
    """Maps and labels of the central crops of the samples that have both the view and the mask.

    No other view is made or encoded, and no other sample.
    """
    probed, device = trained.setup.views[view], next(trained.model.parameters()).device
    label = Channels("label", 1, "class", 0, 1)
    mask = View(modality=modality, channels=label, crop=probed.crop, mean=(0.0,), std=(1.0,))
    views = {view: probed, LABELS: mask}
    samples, layer = Samples(trained.store, split, views, train=False), ViewLayer(views).to(device)
    maps, labels = [], []
    with torch.no_grad():
        for index in torch.from_numpy(_with_both(trained.store, split, views)).split(BATCH):
            batch = samples[0, index].to(device)
            tensors = layer(batch)
            present = batch.present[probed.modality] & batch.present[modality]  # without unreadable files
            maps.append(extract({view: tensors[view]})[view][present].float())
            labels.append(_numbered(tensors[LABELS][present, 0], known))
    if not sum(map(len, maps)):
        raise MultiviewError(f"no sample of the split '{split}' has both the view '{view}' and its labels.")
    pictures = Pictures(torch.cat(maps), torch.cat(labels))
    _require_maps(pictures, view)
    return pictures


def _with_both(store: Store, split: str, views: Mapping[str, View]) -> NDArray[np.int64]:
    """The positions in a split of the samples that have all of the views."""
    rows = store.rows(split)
    return np.flatnonzero(np.all([store.present(view.modality)[rows] for view in views.values()], axis=0))


def _require_maps(pictures: Pictures, view: str) -> None:
    if pictures.maps.ndim != 4:
        raise MultiviewError(
            f"view '{view}' has no map at this layer but {tuple(pictures.maps.shape[1:])} per sample; choose an "
            "earlier layer with --layer."
        )


def _numbered(labels: Tensor, known: list[int]) -> Tensor:
    """Class numbers of the store as positions in `known`, `UNLABELLED` for all other numbers."""
    size = max(int(labels.max()) if labels.numel() else 0, *known) + 1
    position = torch.full((size,), UNLABELLED, device=labels.device)
    position[torch.tensor(known, device=labels.device)] = torch.arange(len(known), device=labels.device)
    return position[labels]


def _measured(train: Pictures, test: Pictures, facts: Mapping[str, Any], **names: Any) -> list[Measure]:
    """The rows of one view and weights; names: the fields of a row that say what was measured."""
    counts = confusion(fit_probe(train, facts["classes"]), test, facts["classes"])
    right, union = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    values = {
        PIXEL_ACCURACY: (right.sum() / counts.sum().clamp(min=1)).item(),
        MIOU: (right[union > 0] / union[union > 0]).mean().item(),
    }
    common = names | {
        "width": train.maps.shape[1],
        "samples": {"train": len(train.maps), "test": len(test.maps)},
        "facts": {**facts, "cells": "x".join(map(str, train.maps.shape[2:]))},
    }
    return [Measure(measure=name, value=value, **common) for name, value in values.items()]


class Probe(nn.Module):
    """Maps (n, c, h, w), standardised by the training pictures -> scores (n, classes, H, W)."""

    def __init__(self, maps: Tensor, classes: int) -> None:
        super().__init__()
        self.mean = maps.mean((0, 2, 3), keepdim=True)
        self.std = maps.std((0, 2, 3), keepdim=True).clamp(min=1e-6)
        self.linear = nn.Conv2d(maps.shape[1], classes, 1, device=maps.device)
        for weights in self.linear.parameters():
            nn.init.zeros_(weights)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Scores at the size of the labels."""
        scores = self.linear((maps - self.mean) / self.std)
        return F.interpolate(scores, size, mode="bilinear", align_corners=False)


def fit_probe(train: Pictures, classes: int) -> Probe:
    """A probe trained from zeros by Adam, with a cosine schedule and a fixed order of pictures."""
    probe = Probe(train.maps, classes)
    steps = EPOCHS * -(-len(train.maps) // BATCH)
    optimiser = torch.optim.Adam(probe.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for index in _batches(len(train.maps)):
        labels = train.labels[index]
        scores = probe(train.maps[index], labels.shape[1:])
        loss = F.cross_entropy(scores, labels, ignore_index=UNLABELLED, reduction="sum")
        optimiser.zero_grad()
        (loss / (labels != UNLABELLED).sum().clamp(min=1)).backward()
        optimiser.step()
        schedule.step()
    return probe


def _batches(count: int) -> Iterator[Tensor]:
    """The picture numbers of every batch of all epochs."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        yield from torch.randperm(count, generator=generator).split(BATCH)


@torch.no_grad()
def confusion(probe: Probe, test: Pictures, classes: int) -> Tensor:
    """Numbers of labelled pixels of class i (row) predicted as class j (column), int64."""
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    for maps, labels in zip(test.maps.split(BATCH), test.labels.split(BATCH), strict=True):
        guess, known = probe(maps, labels.shape[1:]).argmax(1), labels != UNLABELLED
        counts += torch.bincount((labels[known] * classes + guess[known]).cpu(), minlength=classes * classes)
    return counts.view(classes, classes)
