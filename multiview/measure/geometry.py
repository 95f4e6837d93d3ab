"""How features and embeddings lie: effective rank, alignment, uniformity, CKA and modality gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.measure.retrieval import SEED, spread_row, unit_rows
from multiview.measure.rows import ALIGNMENT, CKA, MODALITY_GAP, UNIFORMITY, Measure
from multiview.train.health import alignment, uniformity


def cka(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Linear CKA of the features a (n, d) and b (n, e) of the same samples, 0 to 1; in float64.

    1 when both differ by a rotation and a scale. Kornblith et al., arXiv:1905.00414, Eq. 4.
    """
    x, y = (np.asarray(each, np.float64) for each in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.clip(np.linalg.norm(x.T @ y) ** 2 / scale, 0, 1)) if scale > 0 else 0.0


def modality_gap(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The distance of the mean unit rows of a and b (n, d), 0 to 2 (arXiv:2203.02053, Sec. 2)."""
    return float(np.linalg.norm(unit_rows(a).mean(0) - unit_rows(b).mean(0)))


def view_rows(
    view: str, h: NDArray[Any], z: NDArray[Any] | None, partners: list[tuple[NDArray[Any], NDArray[Any]]], **common: Any
) -> list[Measure]:
    """Effective rank of h, uniformity of z, and alignment with the partners of one view.

    Args:
        view: its name.
        h: its features (n, d).
        z: its embeddings (n, e); None without a partner.
        partners: the embeddings of the view and of each partner, of the samples that have both.
        common: `weights`, `split`, and the fact `alone`.
    """
    weights, split, alone = common["weights"], common["split"], common["alone"]
    rank = spread_row(view, h, weights, split, alone=alone)
    rows = [rank]
    if z is None or len(z) < 2:
        return rows
    fields: dict[str, Any] = {"views": (view,), "group": view, "weights": weights, "split": split}
    fields |= {"width": z.shape[1], "samples": {split: len(z)}, "facts": {"pool": len(z), "seed": SEED}}
    spread = float(uniformity(torch.from_numpy(unit_rows(z))))
    rows.append(_geometry(UNIFORMITY, spread, (-8.0, 0.0), **fields))
    if partners:
        distances = [float(alignment(*(torch.from_numpy(unit_rows(x)) for x in pair))) for pair in partners]
        rows.append(_geometry(ALIGNMENT, float(np.mean(distances)), (0.0, 4.0), **fields))
    return rows


def pair_rows(
    views: tuple[str, str],
    h: tuple[NDArray[Any], NDArray[Any]],
    z: tuple[NDArray[Any], NDArray[Any]],
    weights: str,
    split: str,
) -> list[Measure]:
    """CKA of the features and the gap of the embeddings of two views of the same samples."""
    fields: dict[str, Any] = {"views": views, "group": " - ".join(views), "weights": weights, "split": split}
    fields |= {"samples": {split: len(h[0])}, "facts": {"pool": len(h[0]), "seed": SEED}}
    found = {CKA: (cka(*h), (0.0, 1.0), h[0].shape[1]), MODALITY_GAP: (modality_gap(*z), (0.0, 2.0), z[0].shape[1])}
    rows = [_geometry(name, value, limits, width=width, **fields) for name, (value, limits, width) in found.items()]
    return [rows[0], rows[1]]


def _geometry(measure: str, value: float, limits: tuple[float, float], **fields: Any) -> Measure:
    better = {ALIGNMENT: False, UNIFORMITY: False, MODALITY_GAP: False}.get(measure, True)
    unit = {CKA: "fraction", UNIFORMITY: "log"}.get(measure, "distance")
    return Measure(measure=measure, value=value, unit=unit, range=limits, higher_is_better=better, **fields)
