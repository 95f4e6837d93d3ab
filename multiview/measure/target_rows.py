"""The rows of predicted targets: every group of views, beside controls, with few labels and all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure import target_scores as scores
from multiview.measure.intervals import Interval, wilson
from multiview.measure.linear import Probes
from multiview.measure.retrieval import Bootstrap
from multiview.measure.rows import TOP1, Group, Measure, group_name
from multiview.measure.target_probes import LINEAR, MLP, Task, chosen_rows, predicted
from multiview.measure.targets import CLASSES, LABELS, NUMBER, Target
from multiview.measure.threads import in_threads

DRAWS = 200
"""Draws of the bootstrap over test samples."""
SUBSETS = 3
"""How often the few labels are drawn."""
ALL = "all"
FEW_LABELS = ("2 a class", "5 a class", "10 a class", "1 %", "10 %")
BALANCED, AUROC = "target_balanced", "target_auroc"
MAP, R2, MAE = "target_map", "target_r2", "target_mae"
MEASURES: Mapping[str, Mapping[str, Callable[..., NDArray[Any]]]] = {
    CLASSES: {TOP1: scores.top1, BALANCED: scores.balanced_accuracy, AUROC: scores.auroc},
    LABELS: {MAP: scores.mean_average_precision, AUROC: scores.auroc},
    NUMBER: {R2: scores.r2, MAE: scores.mae},
}
"""The measures of each kind of target; the first is the one of tables and verdicts."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Features of some samples of one split, of all weights.

    Args:
        rows: of the samples in the store, (n,).
        features: weights -> view -> float32 (n, width).
        present: view -> whether a sample has it, (n,).
    """

    rows: NDArray[np.int64]
    features: Mapping[str, Mapping[str, NDArray[np.float32]]]
    present: Mapping[str, NDArray[np.bool_]]

    def having(self, group: Group) -> NDArray[np.int64]:
        """The places of the samples that have all views of a group."""
        return np.flatnonzero(np.all([self.present[view] for view in group], axis=0))

    def side_by_side(self, weights: str, group: Group, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features of a group of views of the samples at some places."""
        return np.concatenate([self.features[weights][view][at] for view in group], axis=1)


Splits = Mapping[str, Samples]
Key = tuple[str, str, str]
"""Name of the target, which labels, and the probe."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Args:
        targets: what is predicted.
        groups: which views are put side by side.
        views: all views, for the names of the groups.
        dim: the width of every probe.
        probe: `linear`, or `mlp` for both probes.
        thorough: targets that are also measured with few labels.
        probes: probes that were fitted before.
    """

    targets: Sequence[Target]
    groups: Sequence[Group]
    views: Sequence[str]
    dim: int
    probe: str
    thorough: Sequence[str]
    probes: Probes | None = None


def target_rows(plan: Plan, splits: Splits) -> list[Measure]:
    """The rows of all targets; the first weights are the subject, the others its controls."""
    weights = list(splits["train"].features)
    given = splits["train"].features
    cells = [(name, group) for group in plan.groups for name in weights if given[name].keys() >= set(group)]
    found = dict(zip(cells, in_threads(lambda cell: _outputs(plan, splits, *cell), cells), strict=True))
    rows = []
    for target in plan.targets:
        for group in plan.groups:
            made = {name: found[name, group] for name in weights if (name, group) in found}
            keys = dict.fromkeys(key for of in made.values() for key in of if key[0] == target.name)
            for key in keys:
                outputs = {name: of[key] for name, of in made.items() if key in of}
                rows += _rows(plan, splits, target, group, key, outputs)
    return rows


@dataclass(frozen=True)
class _Outputs:
    """Predictions of the test samples for each draw of labels, and how many labels there were."""

    draws: tuple[NDArray[np.float64], ...]
    width: int
    train: int
    val: int


def _outputs(plan: Plan, splits: Splits, weights: str, group: Group) -> dict[Key, _Outputs]:
    """What the probes of one group and kind of weights predict for the test samples."""
    at = {split: samples.having(group) for split, samples in splits.items()}
    given = {split: samples.side_by_side(weights, group, at[split]) for split, samples in splits.items()}
    reduced = (plan.probes or Probes()).reduced
    x = dict(zip(given, reduced(*given.values(), dim=plan.dim), strict=True))  # `train` is the first split
    found: dict[Key, _Outputs] = {}
    for target in plan.targets:
        y, there = _values(target, splits, at)
        if not all(there[split].sum() > 1 for split in ("train", "test")):
            continue
        task = replace(_task(target, x, y, there), probes=plan.probes)
        for labels, probe in _ways(plan, target):
            made = _drawn(task, x["test"][there["test"]], labels, probe)
            if made:
                found[target.name, labels, probe] = made
    return found


def _values(
    target: Target, splits: Splits, at: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.bool_]]]:
    """The values of a target at some places of every split, and which are known."""
    rows = {split: samples.rows[at[split]] for split, samples in splits.items()}
    known = target.known
    return {split: target.values[each] for split, each in rows.items()}, {s: known[each] for s, each in rows.items()}


def _task(
    target: Target,
    x: Mapping[str, NDArray[np.float32]],
    y: Mapping[str, NDArray[Any]],
    there: Mapping[str, NDArray[np.bool_]],
) -> Task:
    known = {split: (x[split][there[split]], y[split][there[split]]) for split in x}
    train = known["train"]
    val = known.get("val", (train[0][:0], train[1][:0]))
    return Task(kind=target.kind, outputs=max(1, len(target.names)), train=train, val=val)


def _ways(plan: Plan, target: Target) -> list[tuple[str, str]]:
    """Which labels and which probe: all labels, few labels, the other probe."""
    some = FEW_LABELS if target.asked else FEW_LABELS[:3]  # percentages need a search for C, which takes longest
    few = [(labels, LINEAR) for labels in some] if target.name in plan.thorough else []
    return [(ALL, LINEAR), *([(ALL, MLP)] if plan.probe == MLP else []), *few]


def _drawn(task: Task, test: NDArray[np.float32], labels: str, probe: str) -> _Outputs | None:
    """The predictions of a probe; of few labels once for each draw of them."""
    if labels == ALL:
        (made,) = predicted(task, [test], probe)
        return _Outputs((made,), test.shape[1], len(task.train[1]), len(task.val[1]))
    draws, count = [], 0
    for draw in range(1 if labels == "10 %" else SUBSETS):
        rows = chosen_rows(task, labels, draw)
        if rows is None or len(rows) == len(task.train[1]):
            return None
        draws.append(predicted(task.with_train(rows), [test], few=labels.endswith("class"))[0])
        count = len(rows)
    return _Outputs(tuple(draws), test.shape[1], count, 0)


def _rows(
    plan: Plan, splits: Splits, target: Target, group: Group, key: Key, outputs: Mapping[str, _Outputs]
) -> list[Measure]:
    at = splits["test"].having(group)
    values = target.values[splits["test"].rows[at]]
    truth = values[target.known[splits["test"].rows[at]]]
    measures = dict(MEASURES[target.kind])
    if key[1] != ALL:  # areas under curves are costly, and few labels have many draws
        measures.pop(AUROC, None)
    facts: dict[str, Any] = {
        "target": target.name,
        "kind": target.kind,
        "labels": key[1],
        "probe": key[2],
        "space": "h",
    }
    facts |= {"classes": _count_classes(target, splits["train"])} if target.names else {}
    common = {"views": group, "group": group_name(group, list(plan.views))}
    draws = {name: each.draws for name, each in outputs.items()}
    return measured_outputs(truth, draws, measures, facts, common, outputs)


def _count_classes(target: Target, train: Samples) -> int:
    """How many classes a probe can name: those of training samples, or all labels."""
    if target.kind != CLASSES:
        return len(target.names)
    return len(np.unique(target.values[train.rows[target.known[train.rows]]]))


def measured_outputs(
    truth: NDArray[Any],
    draws: Mapping[str, Sequence[NDArray[np.float64]]],
    measures: Mapping[str, Callable[..., NDArray[Any]]],
    facts: Mapping[str, Any],
    common: Mapping[str, Any],
    sizes: Mapping[str, Any],
) -> list[Measure]:
    """The rows of one target, with intervals over test samples and draws of labels.

    Args:
        truth: of the test samples.
        draws: weights -> predictions of each draw of labels; the first weights are the subject.
        measures: name -> score.
        facts: of every row.
        common: fields of every row.
        sizes: weights -> object with the fields width, train and val.
    """
    times = Bootstrap(len(truth), DRAWS).times
    rows = []
    for name, score in measures.items():
        values = {w: np.array([score(truth, each, scores.once(len(truth)))[0] for each in d]) for w, d in draws.items()}
        drawn = {w: _resampled(np.stack([score(truth, each, times) for each in d])) for w, d in draws.items()}
        subject = next(iter(draws))
        for weights in draws:
            value = float(values[weights].mean())
            if not np.isfinite(value):
                continue
            row = Measure(
                measure=name,
                value=value,
                interval=_interval_of(value, drawn[weights], len(truth)),
                weights=weights,
                width=sizes[weights].width,
                samples={"train": sizes[weights].train, "val": sizes[weights].val, "test": len(truth)},
                facts=dict(facts),
                **_scale(name),
                **common,
            )
            if weights == subject:
                row = replace(row, facts={**facts, "over": _over_controls(values, drawn, subject)})
            rows.append(row)
    return rows


def _resampled(found: NDArray[Any]) -> NDArray[Any]:
    """(draws of labels, of samples) -> (draws of samples,): the labels are drawn again too."""
    if len(found) == 1:
        return found[0]
    chosen = np.random.default_rng(0).integers(0, len(found), (len(found), found.shape[1]))
    return np.take_along_axis(found, chosen, axis=0).mean(0)


def _interval(drawn: NDArray[Any]) -> Interval | None:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return Interval(float(low), float(high), f"bootstrap of test samples ({DRAWS} draws), 95 %")


def _interval_of(value: float, drawn: NDArray[Any], count: int) -> Interval | None:
    """The interval of a score of `count` samples; Wilson's where all draws equal the sample."""
    found = _interval(drawn)
    return wilson(value, count) if found and found.low == found.high and value in (0, 1) else found


def _over_controls(values: Mapping[str, Any], drawn: Mapping[str, Any], subject: str) -> dict[str, dict[str, float]]:
    """Control -> how far the subject lies above it."""
    value = float(values[subject].mean())
    gains = {w: value - float(values[w].mean()) for w in values if w != subject}
    return {w: _over(gain, drawn[subject] - drawn[w]) for w, gain in gains.items()}


def _over(points: float, drawn: NDArray[Any]) -> dict[str, float]:
    """How far the subject lies above a control on the same samples, with its interval."""
    interval = _interval(drawn)
    low, high = (interval.low, interval.high) if interval else (points, points)
    return {"points": points, "low": min(low, points), "high": max(high, points)}


def _scale(measure: str) -> dict[str, Any]:
    if measure == R2:
        return {"unit": "R2", "range": None}
    if measure == MAE:
        return {"unit": "unit of the target", "range": None, "higher_is_better": False}
    return {}
