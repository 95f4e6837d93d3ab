"""The embeddings of all views in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from multiview.gallery.held_out import HeldOut


def projected(held: HeldOut) -> dict[str, Any]:
    """The first two principal components of the embeddings of all views that share a width.

    The views are joined: every embedding of every view is one row of the same PCA. The gap between
    views often fills these components. So there is a second plane, `centred`, of embeddings from
    which the mean of their view was subtracted.

    Returns `points` (view -> a pair or None for each sample), `share` (of the variance, for both
    components), `centred` (the same two keys), and `left_out` (views whose embeddings have another
    width).
    """
    widths = [z.shape[1] for z in held.z.values()]
    width = max(set(widths), key=lambda x: (widths.count(x), -widths.index(x)))
    joined = {view: z for view, z in held.z.items() if z.shape[1] == width}
    left_out = [view for view in held.z if view not in joined]
    centred = {view: z - z[there].mean(0) if (there := held.present[view]).any() else z for view, z in joined.items()}
    return {**_plane(joined, held), "centred": _plane(centred, held), "left_out": left_out}


def _plane(joined: Mapping[str, np.ndarray], held: HeldOut) -> dict[str, Any]:
    rows = np.concatenate([z[held.present[view]] for view, z in joined.items()]).astype(np.float64)
    mean = rows.mean(0)
    share, axes = _components(rows - mean)
    points = {view: _points((z - mean) @ axes, held.present[view]) for view, z in joined.items()}
    return {"points": points, "share": share}


def _components(centred: np.ndarray) -> tuple[list[float], np.ndarray]:
    """The shares of the variance of two components, and their axes (d, 2) with fixed signs."""
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes, values = axes[:, ::-1][:, :2], np.maximum(values[::-1], 0)
    if axes.shape[1] < 2:
        axes = np.pad(axes, ((0, 0), (0, 1)))
    sign = np.sign(axes[np.abs(axes).argmax(0), np.arange(2)])
    shares = [float(x) for x in values[:2] / max(values.sum(), 1e-12)]
    return [*shares, 0.0][:2], axes * np.where(sign == 0, 1, sign)


def _points(plane: np.ndarray, present: np.ndarray) -> list[list[float] | None]:
    return [
        [round(float(x), 3), round(float(y), 3)] if there else None
        for (x, y), there in zip(plane, present, strict=True)
    ]
