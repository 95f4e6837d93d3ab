"""What the features keep: R² of a ridge regression from h to simple facts of the stored sample.

Contrastive learning drops what does not help to tell samples apart, and augmentation decides what
that is. No number says whether a loss of colour is good; these say whether there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from multiview.data.modality import Modality
from multiview.measure.intervals import Interval, Margin, around
from multiview.measure.plain_values import log_spectrum
from multiview.measure.retrieval import Bootstrap
from multiview.measure.rows import KEPT, Measure
from multiview.viewlayer import scaled

GRID, COLUMNS = 4, 64
COLOURED = ("image", "video")
"""Kinds of modalities whose three channels are red, green and blue."""
PENALTIES = tuple(10.0**k for k in range(-3, 5))
"""Of the ridge regression, per training sample and standardised feature; by leave-one-out."""
NAMES = {
    "colour": "mean colour",
    "chroma": "colour without brightness",
    "thumbnail": "4x4 thumbnail",
    "level": "level",
    "spectrum": "spectrum",
    "mean": "mean of the columns",
    "channels": "mean of each channel",
    "values": "values",
    "extent": "place and extent",
    "length": "length",
}


def facts_of(modality: Modality, x: Tensor) -> dict[str, Tensor]:
    """Simple facts of cropped samples x of a modality, as `Batch` has them: name -> (n, numbers).

    The names are keys of `NAMES`.
    """
    if modality.kind == "text":
        return {"length": (x > 0).sum(1, keepdim=True).float()}
    x = scaled(x).float()
    if modality.kind == "table":
        return {"mean": x.mean(1, keepdim=True), "values": x[:, :COLUMNS]}
    if modality.kind == "points":
        return {"extent": torch.cat([x.mean(2), x.std(2, unbiased=False)], 1)}
    if modality.spatial:
        still = x.mean(2) if x.ndim == 5 else x
        colour, thumbnail = still.mean((2, 3)), adaptive_avg_pool2d(still, GRID).flatten(1)
        if modality.kind in COLOURED and colour.shape[1] == 3:
            return {"colour": colour, "chroma": opponents(colour), "thumbnail": thumbnail}
        return {"channels": colour, "thumbnail": thumbnail}
    power = x.square().mean(2)
    level = power.add(1e-8).log() if modality.kind == "audio" else torch.cat([x.mean(2), power.sqrt()], 1)
    return {"level": level, "spectrum": log_spectrum(x).flatten(1)} if x.shape[2] > 2 else {"level": level}


def opponents(rgb: Tensor) -> Tensor:
    """Red against green, and blue against both: (n, 3) -> (n, 2), zero for every grey.

    The brightness, which differs more between pictures, hides in a mean colour that these are lost.
    """
    red, green, blue = rgb.unbind(1)
    return torch.stack([red - green, blue - (red + green) / 2], 1)


class Regression:
    """Ridge regression from features h (n, d), standardised, in float64.

    The penalty of each fact is the one with the smallest leave-one-out error on the samples of h.
    One decomposition serves all facts; scikit-learn's RidgeCV would repeat it for each.
    """

    def __init__(self, h: NDArray[Any]) -> None:
        h = np.asarray(h, np.float64)
        self.mean, std = h.mean(0), h.std(0)
        self.scale = np.where(std > 1e-8 * max(1.0, std.max(initial=0)), std, np.inf)
        self.u, self.s, self.v = np.linalg.svd((h - self.mean) / self.scale, full_matrices=False)

    def predict(self, facts: NDArray[np.float64], h: NDArray[Any]) -> NDArray[np.float64]:
        """Facts of other samples with features h (m, d), from facts (n, k) of the own samples."""
        mean = facts.mean(0)
        projected = self.u.T @ (facts - mean)
        strengths = {penalty: self.s**2 / (self.s**2 + penalty * len(self.u)) for penalty in PENALTIES}
        best = min(PENALTIES, key=lambda penalty: self._left_out(facts - mean, projected, strengths[penalty]))
        weights = self.v.T @ ((strengths[best] / np.where(self.s > 0, self.s, np.inf))[:, None] * projected)
        return (np.asarray(h, np.float64) - self.mean) / self.scale @ weights + mean

    def _left_out(self, facts: NDArray[Any], projected: NDArray[Any], strength: NDArray[Any]) -> float:
        """The mean squared leave-one-out error: residual / (1 - leverage) of every sample."""
        residual = facts - self.u @ (strength[:, None] * projected)
        leverage = (self.u**2) @ strength + 1 / len(self.u)
        return float(((residual / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())


def standardised(train: NDArray[Any], test: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The facts with variance 1 on training samples, without constants; None if none changes."""
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    std = train.std(0)
    changing = std > 1e-6 * max(np.abs(train).max(initial=0), 1e-12)
    if not changing.any():
        return None
    mean, std = train.mean(0)[changing], std[changing]
    return (train[:, changing] - mean) / std, (test[:, changing] - mean) / std


def kept_rows(
    view: str,
    h: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    facts: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    draws: Bootstrap,
    split: str,
) -> list[Measure]:
    """The rows of one view.

    Args:
        view: its name.
        h: weights -> features of training samples and of held-out samples.
        facts: name -> the facts of the same samples.
        draws: the bootstrap over the held-out samples.
        split: of the held-out samples.
    """
    rows: list[Measure] = []
    known = {name: pair for name, each in facts.items() if (pair := standardised(*each))}
    models = {weights: Regression(train) for weights, (train, _) in h.items()}
    for name, (train, test) in known.items():
        total = ((test - test.mean(0)) ** 2).sum(1)
        if not total.sum() > 0:
            continue
        errors = {w: ((test - model.predict(train, h[w][1])) ** 2).sum(1) for w, model in models.items()}
        widths = {weights: each[0].shape[1] for weights, each in h.items()}
        rows += _rows(view, name, errors, widths, total, draws, {"train": len(train), split: len(test)}, split)
    return rows


def _rows(
    view: str,
    name: str,
    errors: Mapping[str, NDArray[Any]],
    widths: Mapping[str, int],
    total: NDArray[Any],
    draws: Bootstrap,
    samples: Mapping[str, int],
    split: str,
) -> list[Measure]:
    rows = []
    subject, *controls = errors
    for weights, error in errors.items():
        facts: dict[str, Any] = {"fact": NAMES[name], **draws.facts}
        for control in controls if weights == subject else ():
            over = _over(errors[control] - error, total, draws)
            facts[f"over_{control}"] = {"points": over.points, "low": over.low, "high": over.high}
        low, high = draws.of_ratio(error, total)
        rows.append(
            Measure(
                measure=f"{KEPT}{name}",
                views=(view,),
                group=view,
                weights=weights,
                value=float(1 - error.sum() / total.sum()),
                interval=Interval(1 - high, 1 - low, draws.method),
                unit="R2",
                range=None,
                width=widths[weights],
                split=split,
                samples=samples,
                facts=facts,
            )
        )
    return rows


def _over(gain: NDArray[Any], total: NDArray[Any], draws: Bootstrap) -> Margin:
    return around(float(gain.sum() / total.sum()), *draws.of_ratio(gain, total))
