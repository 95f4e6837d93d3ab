"""Transfer of a probe: trained on one view, tested on another view of held-out samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure.linear import reduced
from multiview.measure.rows import Measure
from multiview.measure.target_probes import LINEAR, Says, Task, fitted
from multiview.measure.target_rows import ALL, MEASURES, Splits, measured_outputs
from multiview.measure.targets import Target
from multiview.measure.threads import in_threads

Spaces = Mapping[tuple[str, str], Mapping[str, Mapping[str, tuple[NDArray[Any], NDArray[Any]]]]]
"""(A, B) -> weights -> split -> embeddings z of A and of B, for pairs that share an embedding."""


@dataclass(frozen=True)
class _Sizes:
    width: int
    train: int
    val: int


def transfer_rows(targets: Sequence[Target], splits: Splits, spaces: Spaces, views: Sequence[str]) -> list[Measure]:
    """The rows of every ordered pair of views with one space: z, or h where the widths are equal.

    Each view is standardised by its own training samples. Raw values take part where their widths
    are equal.
    """
    jobs = [(target, first) for target in targets for first in views]
    found = in_threads(lambda job: _trained_on(*job, splits, spaces, views), jobs)
    return [row for rows in found for row in rows]


def _trained_on(target: Target, first: str, splits: Splits, spaces: Spaces, views: Sequence[str]) -> list[Measure]:
    """The rows of all pairs that begin with a view; pairs with the same features share a probe."""
    probes: dict[int, Says] = {}
    return [row for view in views if view != first for row in _pair(target, (first, view), splits, spaces, probes)]


def _pair(
    target: Target, pair: tuple[str, str], splits: Splits, spaces: Spaces, probes: dict[int, Says]
) -> list[Measure]:
    first, second = pair
    outputs: dict[str, list[NDArray[np.float64]]] = {}
    sizes: dict[str, _Sizes] = {}
    truth = None
    for weights in splits["train"].features:
        x = _features(pair, weights, splits, spaces)
        if x is None:
            continue
        made = _predicted(target, pair, splits, x, probes)
        if made is None:
            return []
        truth, outputs[weights], sizes[weights] = made
    if truth is None or next(iter(splits["train"].features)) not in outputs:
        return []
    facts = {"target": target.name, "kind": target.kind, "labels": ALL, "probe": LINEAR}
    facts |= {"space": "z" if pair in spaces else "h", "trained_on": first, "tested_on": second}
    common = {"views": pair, "group": f"{first} -> {second}"}
    name, score = next(iter(MEASURES[target.kind].items()))
    return measured_outputs(truth, outputs, {name: score}, facts, common, sizes)


def _features(
    pair: tuple[str, str], weights: str, splits: Splits, spaces: Spaces
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]] | None:
    """split -> features of both views; None where they have no common space."""
    if pair in spaces and weights in spaces[pair]:
        return dict(spaces[pair][weights])
    if pair in spaces and weights == "random":
        return None
    own = {split: samples.features[weights] for split, samples in splits.items()}
    if own["train"][pair[0]].shape[1] != own["train"][pair[1]].shape[1]:
        return None
    return {split: (each[pair[0]], each[pair[1]]) for split, each in own.items()}


def _predicted(
    target: Target,
    pair: tuple[str, str],
    splits: Splits,
    x: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    probes: dict[int, Says],
) -> tuple[NDArray[Any], list[NDArray[np.float64]], _Sizes] | None:
    """Truth and predictions of the test samples; None where too few samples have a view."""
    first, second = pair
    known, train = target.known, splits["train"]
    at = {split: np.flatnonzero(samples.present[first] & known[samples.rows]) for split, samples in splits.items()}
    there = np.flatnonzero(train.present[second])
    tested = np.flatnonzero(splits["test"].present[second] & known[splits["test"].rows])
    y = {split: target.values[samples.rows[at[split]]] for split, samples in splits.items()}
    if min(len(at["train"]), len(tested), len(there)) < 2 or (y["train"] == y["train"][0]).all():
        return None
    _, b = reduced(x["train"][1][there], x["test"][1][tested])
    if (key := id(x["train"][0])) not in probes:
        probes[key] = fitted(_task(target, {split: (x[split][0][at[split]], y[split]) for split in at}))
    truth = target.values[splits["test"].rows[tested]]
    val = len(y["val"]) if "val" in y else 0
    return truth, [probes[key](b)], _Sizes(b.shape[1], len(y["train"]), val)


def _task(target: Target, given: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Task:
    """The task of a probe of one view; given: split -> x and y of the samples that have both."""
    x = dict(zip(given, reduced(*(x for x, _ in given.values())), strict=True))  # `train` is the first split
    train = (x["train"], given["train"][1])
    val = (x["val"], given["val"][1]) if "val" in x else (train[0][:0], train[1][:0])
    return Task(kind=target.kind, outputs=max(1, len(target.names)), train=train, val=val)
