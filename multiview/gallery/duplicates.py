"""Suspected duplicates among the held-out samples: nearest in an embedding and alike as stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multiview.gallery.held_out import HeldOut
from multiview.gallery.neighbours import Found

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

CANDIDATES, SHOWN = 80, 24
"""Pairs whose stored values are compared, and most pairs that are listed."""
NEAR = 0.9
"""Least cosine of the embeddings of a candidate."""
ALIKE = 0.99
"""Least correlation of the stored values of a suspected pair, in every modality of both."""
CELLS = 24
"""Stored values are compared after averaging them over at most so many places of every axis."""


def duplicates(store: Store, held: HeldOut, found: Mapping[tuple[str, str], Found]) -> list[dict[str, Any]]:
    """Pairs of samples `a` and `b` (numbers of held-out samples), the most alike first.

    alike: the smallest correlation of their stored values, over all modalities that both have.
    """
    values = Fingerprints(store)
    names = [kind.name for kind in store.manifest.modalities if kind.kind != "text"]
    pairs = []
    for a, b in candidates(found):
        alike = [values.alike(name, int(held.rows[a]), int(held.rows[b])) for name in names]
        known = [each for each in alike if each is not None]
        if known and min(known) >= ALIKE:
            pairs.append({"a": a, "b": b, "alike": round(min(known), 4)})
    return sorted(pairs, key=lambda pair: -pair["alike"])[:SHOWN]


def candidates(found: Mapping[tuple[str, str], Found]) -> list[tuple[int, int]]:
    """Samples and their nearest one in a view, the most similar first, at most `CANDIDATES`."""
    close: list[tuple[float, int, int]] = []
    for each in (each for (a, b), each in found.items() if a == b):
        for i in np.flatnonzero(each.best >= NEAR).tolist():
            first, second = sorted((i, int(each.top[i, 0])))
            close.append((float(each.best[i]), first, second))
    ordered = sorted(close, key=lambda pair: -pair[0])
    return list(dict.fromkeys((a, b) for _, a, b in ordered))[:CANDIDATES]


class Fingerprints:
    """Stored samples as short vectors, each read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known: dict[tuple[str, int], np.ndarray] = {}

    def alike(self, modality: str, a: int, b: int) -> float | None:
        """The correlation of two rows; None when one lacks the modality or holds a constant."""
        there = self.store.present(modality)
        if not (there[a] and there[b]):
            return None
        x, y = self._of(modality, a), self._of(modality, b)
        if len(x) != len(y):
            return 0.0
        lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
        return float(x @ y) / lengths if lengths > 0 else None

    def _of(self, modality: str, row: int) -> np.ndarray:
        if (modality, row) not in self.known:
            sample = np.asarray(self.store.read([row], modality)[0])
            self.known[modality, row] = fingerprint(self.store, modality, sample)
        return self.known[modality, row]


def fingerprint(store: Store, modality: str, sample: np.ndarray) -> np.ndarray:
    """A sample as a centred vector: standardised columns, a mean spectrum, or averaged places."""
    kind = store.modality(modality)
    values = np.nan_to_num(np.asarray(sample, "float64"))
    if kind.kind == "table":
        known = store.statistics.get(modality)
        return (values - known.mean) / np.maximum(known.std, 1e-9) if known else values - values.mean()
    if kind.kind == "audio":
        values = _spectra(values.reshape(len(values), -1).mean(axis=1))
    for axis in range(min(values.ndim, 2)):
        values = _averaged(values, axis)
    return (values - values.mean()).reshape(-1)


def _spectra(mono: np.ndarray, window: int = 256) -> np.ndarray:
    frames = np.resize(mono, (max(len(mono) // window, 1), window)) if len(mono) else np.zeros((1, window))
    return np.log1p(np.abs(np.fft.rfft(frames * np.hanning(window))))


def _averaged(values: np.ndarray, axis: int) -> np.ndarray:
    if values.shape[axis] <= CELLS:
        return values
    starts = np.linspace(0, values.shape[axis], CELLS, endpoint=False).astype(int)
    counts = np.diff([*starts, values.shape[axis]])
    sums = np.add.reduceat(values, starts, axis=axis)
    return np.moveaxis(np.moveaxis(sums, axis, -1) / counts, -1, axis)
