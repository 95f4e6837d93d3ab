"""Semantic segmentation by a linear probe: a 1 x 1 convolution on the maps of a layer, upsampled to the labels.

As the paper evaluates its views of rooms (arXiv:1906.05849, Sec. 4.3), with the encoders frozen. The same probe sees the maps of untrained
encoders and the pixels of the view itself, whose maps are whole pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.distributed import rank
from multiview.errors import MultiviewError
from multiview.measure.run import untrained
from multiview.measure.scores import RANDOM, RAW, TRAINED
from multiview.plurals import counted
from multiview.view import Channels, View
from multiview.viewlayer import ViewLayer

if TYPE_CHECKING:
    from multiview.trained import Trained

FILE = "segmentation.json"
LABELS = " labels"
"""Name of the view that the labels are; no view of a graph may have a blank."""
UNLABELLED = -1
BATCH = 16
EPOCHS = 30
RATE = 1e-2

Maps = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class SegmentationScore:
    """What a probe on one view reached: shares from 0 to 1 of the labelled pixels of the test pictures.

    pixel: of pixels that are right. miou: intersection over union, the mean over classes that occur. classes: in train. cells: rows and
    columns of the maps that were probed. train, test: pictures.
    """

    features: str
    view: str
    layer: str
    width: int
    cells: str
    pixel: float
    miou: float
    classes: int
    train: int
    test: int


@dataclass(frozen=True)
class Pictures:
    """Maps and labels of a split: float32 (n, c, h, w); int64 (n, H, W), `UNLABELLED` where no class is known."""

    maps: Tensor
    labels: Tensor


def segment(
    trained: Trained, modality: str, layer: str, *, classes: int = 40, console: Console | None = None
) -> list[SegmentationScore]:
    """Probes a layer's maps for the classes of a stored mask: trained, with the weights of the start, and the view itself.

    modality: a mask whose numbers are classes, 0 = unlabelled. classes: the commonest ones of train that count; the others are unlabelled.
    Prints the table and writes segmentation.json into the run folder. Raises MultiviewError when the store has no such mask, or the layer
    no maps.
    """
    console = console or Console(quiet=rank() != 0)
    store = trained.store
    if store.modality(modality).kind != "mask":
        raise MultiviewError(
            f"'{modality}' is {store.modality(modality).kind}, not a mask; name the mask of the classes."
        )
    known = commonest(store, modality, classes)
    device = next(trained.model.parameters()).device
    extract: dict[str, Maps] = {
        TRAINED: lambda views: trained.features(views, layer),
        RANDOM: untrained(trained, device, layer),
        RAW: lambda views: views,
    }
    scores = []
    for view in trained.setup.views:
        for name, maps in extract.items():
            train, test = (_pictures(trained, maps, view, modality, known, split) for split in ("train", "test"))
            scores.append(_score(name, view, layer, train, test, len(known)))
    show(scores, console)
    if trained.folder is not None and rank() == 0:
        (trained.folder / FILE).write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n")
    return scores


def commonest(store: Store, modality: str, most: int) -> list[int]:
    """The numbers, without 0, of the `most` commonest classes among the pixels of the training split, commonest first."""
    counts = np.zeros(1, np.int64)
    for rows in np.array_split(store.rows("train"), max(1, len(store.rows("train")) // 64)):
        found = np.bincount(np.concatenate([np.ravel(mask) for mask in store.read(rows, modality)]))
        counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
        counts[: len(found)] += found
    counts[0] = 0
    classes = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]][:most]
    if len(classes) < 2:
        raise MultiviewError(
            f"'{modality}' has {counted(len(classes), 'class', 'classes')} in the training split; segmentation tells two or more apart."
        )
    return classes


def _pictures(trained: Trained, extract: Maps, view: str, modality: str, known: list[int], split: str) -> Pictures:
    """Maps and labels of the central crops of a split, of the samples that have both the view and the mask."""
    setup, device = trained.setup, next(trained.model.parameters()).device
    seen = setup.views[view]
    label = View(
        modality=modality, channels=Channels("label", 1, "class", 0, 1), crop=seen.crop, mean=(0.0,), std=(1.0,)
    )
    views = {**setup.views, LABELS: label}
    samples, layer = Samples(trained.store, split, views, train=False), ViewLayer(views).to(device)
    maps, labels = [], []
    with torch.no_grad():
        for index in torch.arange(len(samples)).split(BATCH):
            batch = samples[0, index].to(device)
            tensors = layer(batch)
            there = batch.present[seen.modality] & batch.present[modality]
            made = extract({name: x for name, x in tensors.items() if name != LABELS})[view]
            maps.append(made[there].float())
            labels.append(_numbered(tensors[LABELS][there, 0], known))
    found = Pictures(torch.cat(maps), torch.cat(labels))
    _demand_maps(found, view, split)
    return found


def _demand_maps(found: Pictures, view: str, split: str) -> None:
    if found.maps.ndim != 4:
        raise MultiviewError(
            f"view '{view}' has no map there but {tuple(found.maps.shape[1:])} a sample; choose an earlier layer."
        )
    if not len(found.maps):
        raise MultiviewError(f"no sample of the split '{split}' has both the view '{view}' and its labels.")


def _numbered(labels: Tensor, known: list[int]) -> Tensor:
    """Class numbers of the store as places in `known`, `UNLABELLED` for all others."""
    place = torch.full((max(int(labels.max()) if labels.numel() else 0, *known) + 1,), UNLABELLED, device=labels.device)
    place[torch.tensor(known, device=labels.device)] = torch.arange(len(known), device=labels.device)
    return place[labels]


def _score(name: str, view: str, layer: str, train: Pictures, test: Pictures, classes: int) -> SegmentationScore:
    probe = fitted(train, classes)
    counts = confusion(probe, test, classes)
    right, union = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    return SegmentationScore(
        features=name,
        view=view,
        layer="" if name == RAW else layer,
        width=train.maps.shape[1],
        cells="x".join(map(str, train.maps.shape[2:])),
        pixel=(right.sum() / counts.sum().clamp(min=1)).item(),
        miou=(right[union > 0] / union[union > 0]).mean().item(),
        classes=classes,
        train=len(train.maps),
        test=len(test.maps),
    )


class Probe(nn.Module):
    """Maps (n, c, h, w), standardised by the training pictures, -> scores of classes (n, classes, h, w)."""

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


def fitted(train: Pictures, classes: int) -> Probe:
    """A probe trained by Adam, its rate falling to 0 along a cosine, from zeros, in an order that is always the same."""
    probe = Probe(train.maps, classes)
    steps = EPOCHS * -(-len(train.maps) // BATCH)
    optimiser = torch.optim.Adam(probe.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for index in _orders(len(train.maps)):
        labels = train.labels[index]
        loss = F.cross_entropy(
            probe(train.maps[index], labels.shape[1:]), labels, ignore_index=UNLABELLED, reduction="sum"
        )
        optimiser.zero_grad()
        (loss / (labels != UNLABELLED).sum().clamp(min=1)).backward()
        optimiser.step()
        schedule.step()
    return probe


def _orders(count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        yield from torch.randperm(count, generator=generator).split(BATCH)


@torch.no_grad()
def confusion(probe: Probe, test: Pictures, classes: int) -> Tensor:
    """How many labelled pixels of class i (row) were taken for class j (column): int64 (classes, classes)."""
    counts = torch.zeros(classes * classes, dtype=torch.int64)
    for maps, labels in zip(test.maps.split(BATCH), test.labels.split(BATCH), strict=True):
        guess, known = probe(maps, labels.shape[1:]).argmax(1), labels != UNLABELLED
        counts += torch.bincount((labels[known] * classes + guess[known]).cpu(), minlength=classes * classes)
    return counts.view(classes, classes)


def show(scores: list[SegmentationScore], console: Console) -> None:
    """Prints a row a view and feature set."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("view", "features", "layer", "maps", "pixel %", "mIoU %"):
        table.add_column(name, justify="right" if "%" in name else "left")
    for s in scores:
        table.add_row(
            s.view, s.features, s.layer or "-", f"{s.width} x {s.cells}", f"{100 * s.pixel:.1f}", f"{100 * s.miou:.1f}"
        )
    console.print(table)
    head = scores[0]
    console.print(
        f"{head.train} train and {counted(head.test, 'test picture')}, {head.classes} classes; unlabelled pixels do not count.",
        highlight=False,
    )
