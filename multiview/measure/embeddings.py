"""Frozen features of the views of a split, computed by all processes, in the order of the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from multiview.batch import Batch
from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.data.write.progress import progress_bar
from multiview.distributed import from_first, gather, rank, world
from multiview.measure.labelled_splits import spread_evenly
from multiview.view import View
from multiview.viewlayer import ViewLayer, present_views

Extract = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
Key = TypeVar("Key")

BATCH = 256
RAW_SIDE = 64
"""Raw pixels of larger views are averaged down to this side, so that the control fits in memory."""


@dataclass(frozen=True)
class Embedded:
    """Features of samples of one split.

    Args:
        features: view -> float32 (n, width).
        labels: (n,), -1 = unlabelled.
        present: view -> whether the sample has it, (n,).
    """

    features: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    present: dict[str, NDArray[np.bool_]]

    def labels_of(self, view: str) -> NDArray[np.int64]:
        """The labels (n,), with -1 also where the view is missing."""
        return np.where(self.present[view], self.labels, -1)


def embed(
    store: Store,
    split: str,
    views: Mapping[str, View],
    extract: Extract,
    device: torch.device,
    most: int | None = None,
    label: str | None = None,
    positions: NDArray[np.int64] | None = None,
) -> Embedded:
    """Features of the central crop of the samples of a split; every process must call it.

    Args:
        store: the data.
        split: its split.
        views: name -> view.
        extract: a function from view tensors to features.
        device: where views and features are computed.
        most: at most so many samples, spread evenly over the split (None = all).
        label: of the progress line (None = no line).
        positions: the samples, by their place in the split, one or more (None = all of the split).
    """
    samples = Samples(store, split, views, train=False)
    chosen = spread_evenly(np.arange(len(samples)) if positions is None else positions, most)
    features, present = collected(
        samples, views, lambda _, x: extract(x), device, chosen, label and f"{label}, {split}"
    )
    return Embedded(features, samples.labels_at(chosen), present)


def collected(
    samples: Samples,
    views: Mapping[str, View],
    compute: Callable[[Batch, Mapping[str, Tensor]], Mapping[Key, Tensor]],
    device: torch.device,
    positions: NDArray[np.int64],
    label: str | None = None,
) -> tuple[dict[Key, NDArray[np.float32]], dict[str, NDArray[np.bool_]]]:
    """What `compute` gives for a batch and its views (n, ...), for all samples, in their order.

    One pass over the samples. Every process computes a part and gets all; every process must call
    it. Returns the arrays by their names, and view -> whether a sample has it, (n,).

    Args:
        samples: the split.
        views: name -> view.
        compute: a function of a batch and its view tensors; what it returns has n rows.
        device: where views are computed.
        positions: of the samples in the split, one or more.
        label: of the progress line (None = no line).
    """
    count, layer = len(positions), ViewLayer(views).to(device)
    share = -(-count // world())
    own = positions[np.minimum(np.arange(rank() * share, (rank() + 1) * share), count - 1)]
    parts: list[tuple[dict[Key, Tensor], dict[str, Tensor]]] = []
    said = progress_bar(label) if label and rank() == 0 else nullcontext(_silent)
    with torch.no_grad(), said as progress:
        for index in torch.from_numpy(own).split(BATCH):
            progress(len(parts) * BATCH, len(own), 0)
            batch = samples[0, index].to(device)
            found = {name: x.float() for name, x in compute(batch, layer(batch)).items()}
            parts.append((found, present_views(views, batch)))
    arrays, present = (
        {name: gather(torch.cat([part[name] for part in each]))[:count].cpu().numpy() for name in each[0]}
        for each in zip(*parts, strict=True)
    )
    return arrays, present


def _silent(done: int, total: int, rejected: int) -> None:
    """The progress of a process that prints nothing."""


def share_buffers(model: nn.Module) -> None:
    """Gives every process the batch-norm statistics of the first process, as in the checkpoint.

    After a training step each process has statistics of its own.
    """
    from_first(list(model.buffers()))


def raw_pixels(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The view tensors themselves as features: the control that has no encoder."""
    return {name: _small(x).flatten(1) for name, x in views.items()}


def _small(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, RAW_SIDE) if x.ndim == 4 and max(x.shape[-2:]) > RAW_SIDE else x


def pooled(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Feature maps (n, c, ...) as vectors (n, c): their mean over the picture, or over time."""
    return {name: x.flatten(2).mean(2) if x.ndim > 2 else x for name, x in features.items()}
