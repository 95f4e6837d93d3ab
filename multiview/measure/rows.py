"""The row type of all results: what was measured, with which weights, and the value.

Every measure of a run (kNN, linear probe, retrieval, segmentation) returns rows of this type.
Tables, verdicts and comparisons read rows only. Nothing here needs PyTorch or NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multiview.measure.intervals import Interval, Margin, wilson

KNN, LINEAR, BALANCED = "knn", "linear", "linear_balanced"
PIXEL_ACCURACY, MIOU = "pixel_accuracy", "miou"
RECALL = {k: f"retrieval_recall_{k}" for k in (1, 5, 10)}
MEDIAN_RANK, EFFECTIVE_RANK = "retrieval_median_rank", "effective_rank"
ALIGNMENT, UNIFORMITY, CKA, MODALITY_GAP = "alignment", "uniformity", "cka", "modality_gap"
TOP1 = "target_top1"
"""The measure of probes of a class: of all labels or few, also on statistics of the raw values."""
KEPT = "kept_"
"""The start of the names of rows that say what the features keep: `kept_colour`, `kept_level`."""

Group = tuple[str, ...]
"""Views whose features are used side by side."""
CONCAT = "concat"
BESIDE = " + "

TRAINED, RANDOM, RAW, STATISTICS = "trained", "random", "raw", "statistics"
RIDGE, CCA, FUSED = "ridge", "cca", "fused"
CALLED, RAW_VALUES = "called", "raw values"
"""The fact that names the control of raw values where not all views are pictures, and the name."""
IN_WORDS = {
    RANDOM: "random weights",
    RAW: "raw pixels",
    RIDGE: "ridge regression",
    CCA: "CCA",
    FUSED: "trained and the better of ridge and CCA",
}


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measured value, and everything that is needed to read and to compare it.

    Args:
        measure: what was measured: `knn`, `linear`, `miou`, ...
        views: the views whose features were used side by side.
        group: how these views are called in tables: `L`, `L + depth`, or `concat` for all views.
        weights: `trained`, or the control: `random` (untrained encoders), `raw` (the view itself),
            `ridge` and `cca` (no network); `fused`: the trained encoders and the better of both.
        value: in `unit`.
        interval: of the value; None when it is not known.
        unit: `fraction` for values from 0 to 1.
        range: the smallest and the largest possible value; None when there is no limit.
        higher_is_better: False for errors, ranks and distances.
        width: features per sample (or per place of a map) that the measure saw.
        split: the split that was measured on.
        samples: how many samples of each split took part.
        facts: further plain values, such as the chosen regularisation.
    """

    measure: str
    views: Group
    group: str
    weights: str
    value: float
    interval: Interval | None = None
    unit: str = "fraction"
    range: tuple[float, float] | None = (0.0, 1.0)
    higher_is_better: bool = True
    width: int
    split: str = "test"
    samples: Mapping[str, int]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_in_words(self) -> str:
        """`trained`, `random weights`, `raw pixels` (or `raw values`, where not all are pixels)."""
        return str(self.facts.get(CALLED) or IN_WORDS.get(self.weights, self.weights))

    @property
    def tested(self) -> int:
        """Samples that the value was measured on."""
        return self.samples[self.split]


def short_weights(name: str) -> str:
    """The `weights` of a row for a name that tables print: `random` for `random weights`."""
    return next((short for short, words in (*IN_WORDS.items(), (RAW, RAW_VALUES)) if name == words), name)


def accuracy(measure: str, value: float, samples: Mapping[str, int], **fields: Any) -> Measure:
    """A row whose value is the fraction of correct test samples, with its Wilson interval."""
    return Measure(measure=measure, value=value, interval=wilson(value, samples["test"]), samples=samples, **fields)


def probe_rows(
    knn: float, linear: float, balanced: float, facts: Mapping[str, Any], fit: Mapping[str, Any], **common: Any
) -> list[Measure]:
    """The rows of one probed group. facts, fit: facts of the kNN row and of the linear rows."""
    return [
        accuracy(KNN, knn, facts=facts, **common),
        accuracy(LINEAR, linear, facts=fit, **common),
        Measure(measure=BALANCED, value=balanced, facts=fit, **common),
    ]


def group_name(group: Group, views: Sequence[str]) -> str:
    """`L`, `L + depth`, or `concat` for all of several views."""
    return CONCAT if len(group) == len(views) > 1 else BESIDE.join(group)


def margin_of(row: Measure, over: str = RANDOM) -> Margin | None:
    """How far a value lies above that of other weights, where the row says so."""
    known = row.facts.get(f"over_{over}")
    return Margin(known["points"], known["low"], known["high"]) if known else None
