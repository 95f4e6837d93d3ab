"""Transfer of a probe: trained on one view, tested on another view of held-out samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure.linear import reduced
from multiview.measure.rows import Measure
from multiview.measure.target_probes import LINEAR, Task, predicted
from multiview.measure.target_rows import ALL, MEASURES, Splits, in_threads, measured_outputs
from multiview.measure.targets import Target

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
    jobs = [(target, pair) for target in targets for pair in permutations(views, 2)]
    return [row for rows in in_threads(lambda job: _pair(job[0], job[1], splits, spaces), jobs) for row in rows]


def _pair(target: Target, pair: tuple[str, str], splits: Splits, spaces: Spaces) -> list[Measure]:
    first, second = pair
    outputs, sizes = {}, {}
    truth = None
    for weights in splits["train"].features:
        x = _features(pair, weights, splits, spaces)
        if x is None:
            continue
        made = _predicted(target, pair, splits, x)
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
    a = dict(zip(at, reduced(*(x[split][0][at[split]] for split in at)), strict=True))
    _, b = reduced(x["train"][1][there], x["test"][1][tested])
    empty = (a["train"][:0], y["train"][:0])
    val = (a["val"], y["val"]) if "val" in a else empty
    task = Task(kind=target.kind, outputs=max(1, len(target.names)), train=(a["train"], y["train"]), val=val)
    truth = target.values[splits["test"].rows[tested]]
    return truth, predicted(task, [b]), _Sizes(b.shape[1], len(y["train"]), len(val[1]))
