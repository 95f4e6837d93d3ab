"""What a store holds under each name, as far as the choice of a graph depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multiview.data.modality import Modality
from multiview.data.store.statistics import channels

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

PROBED = 48
"""How many training samples, evenly spread, are read of each modality."""
GREY = 1.0
"""Largest mean difference between the colour channels of grey pictures, of 255."""
COUNTED = ("table",)
"""Kinds of which many more samples are read: they are small."""
MANY = 2000


@dataclass(frozen=True)
class Held:
    """One modality of a store, with what some of its training samples show.

    Args:
        modality: as the manifest describes it.
        present: how many training samples have it.
        changing: the channels whose values differ.
        width: number of channels.
        side: the shorter side of the pictures, pixels (median); 0 for other kinds.
        length: the number of samples or frames (median); 0 for kinds without time.
        most: the number that 9 of 10 samples do not exceed.
        coloured: whether the pictures have colour.
        role: `label` or `id` when a table of one column looks like one, else empty.
    """

    modality: Modality
    present: int
    changing: tuple[int, ...]
    width: int
    side: int = 0
    length: int = 0
    coloured: bool = True
    role: str = ""
    most: int = 0

    @property
    def name(self) -> str:
        """The name in the store."""
        return self.modality.name

    @property
    def kind(self) -> str:
        """The kind of modality."""
        return self.modality.kind

    @property
    def seconds(self) -> float:
        """The median length in time; 0 without time."""
        return self.length / self.modality.rate if self.modality.rate else 0.0

    @property
    def whole_seconds(self) -> float:
        """The length in time that 9 of 10 samples do not exceed; 0 without time."""
        return max(self.most, self.length) / self.modality.rate if self.modality.rate else 0.0


@dataclass(frozen=True)
class Holdings:
    """All modalities of a store, and in how many training samples two of them occur together."""

    held: tuple[Held, ...]
    samples: int
    together: Mapping[frozenset[str], int]

    def common(self, *names: str) -> int:
        """How many training samples have all of one or two modalities."""
        return self.together[frozenset(names)]


def holdings_of(store: Store) -> Holdings:
    """Reads some training samples of each modality, and which samples have it."""
    rows = store.rows("train")
    there = {each.name: store.present(each.name)[rows] for each in store.manifest.modalities}
    together = {frozenset((a, b)): int((there[a] & there[b]).sum()) for a in there for b in there}
    held = tuple(_held(store, each, rows[there[each.name]]) for each in store.manifest.modalities)
    return Holdings(held, len(rows), together)


def _held(store: Store, kind: Modality, rows: np.ndarray) -> Held:
    most = MANY if kind.kind in COUNTED else PROBED
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))] if len(rows) else rows
    samples = [each for each in store.read(chosen, kind.name) if each.size]
    width = channels(kind)
    axes = slice(1, 3) if kind.kind == "video" else slice(0, 2)
    sides = [min(each.shape[axes]) for each in samples if kind.spatial]
    lengths = [len(each) for each in samples if kind.timed]
    return Held(
        kind,
        len(rows),
        _changing(store, kind, samples, width),
        width,
        side=int(np.median(sides)) if sides else 0,
        length=int(np.median(lengths)) if lengths else 0,
        coloured=kind.kind not in ("image", "video") or any(map(_has_colour, samples)),
        most=int(np.quantile(lengths, 0.9)) if lengths else 0,
        role=_role(samples) if kind.kind == "table" and kind.shape == (1,) else "",
    )


def _changing(store: Store, kind: Modality, samples: Sequence[np.ndarray], width: int) -> tuple[int, ...]:
    """The channels with more than one value, by the statistics of the store or else the samples."""
    if kind.kind == "text":
        return (0,) if len({each.tobytes() for each in samples}) > 1 else ()
    known = store.manifest.statistics.get(kind.name)
    if known is not None:
        return tuple(number for number in range(width) if known.low[number] < known.high[number])
    flat = [each.reshape(-1, width) for each in samples]
    if not flat:
        return ()
    low, high = (np.stack([act(each, axis=0) for each in flat]) for act in (np.min, np.max))
    return tuple(np.flatnonzero(low.min(0) < high.max(0)).tolist())


def _has_colour(picture: np.ndarray) -> bool:
    values = picture.astype(np.int16)
    return bool(max(np.abs(values[..., a] - values[..., b]).mean() for a, b in ((0, 1), (1, 2))) > GREY)


def _role(samples: Sequence[np.ndarray]) -> str:
    """What one column of whole numbers looks like: few values are labels, none twice are ids."""
    values = np.concatenate(samples) if samples else np.zeros(0)
    if len(values) < 2 or not np.array_equal(values, np.round(values)):
        return ""
    distinct = len(np.unique(values))
    return "id" if distinct == len(values) else "label" if distinct <= max(2, len(values) // 4) else ""
