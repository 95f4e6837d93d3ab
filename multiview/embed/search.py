"""The nearest vectors by cosine similarity, exact, by matrix products of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.errors import MultiviewError

ROWS = 65536
"""Rows of the gallery that are compared at a time."""


def nearest(
    queries: NDArray[Any], gallery: NDArray[Any], k: int, present: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k most similar rows of a gallery for each query: similarities and row numbers (q, k).

    Sorted from the most similar row; of equal rows the first comes first. Fewer than k columns when
    the gallery has fewer present rows. A zero vector has similarity 0.

    Args:
        queries: (q, d).
        gallery: (n, d).
        k: number of rows.
        present: (n,), which rows count; None = all.
    """
    rows = np.arange(len(gallery)) if present is None else np.flatnonzero(present)
    units = _unit(queries)
    best, places = np.empty((len(units), 0), np.float32), np.empty((len(units), 0), np.int64)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        best = np.concatenate([best, units @ _unit(gallery[part]).T], axis=1)
        places = np.concatenate([places, np.broadcast_to(part, (len(units), len(part)))], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best, places = np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
    return best, places


def _unit(x: NDArray[Any]) -> NDArray[np.float32]:
    rows = np.asarray(x, np.float32)
    if not np.isfinite(rows).all():
        raise MultiviewError(
            "a vector holds NaN or an infinite number, so that nothing is near it; embed the data again."
        )
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1), np.float32)
