"""In words: what features keep, how embeddings lie, and where this contradicts retrieval."""

from __future__ import annotations

from collections.abc import Sequence

from multiview.measure.intervals import Margin
from multiview.measure.lost import lost_facts
from multiview.measure.retrieval_sentences import FIRST_TRY
from multiview.measure.rows import (
    ALIGNMENT,
    CKA,
    EFFECTIVE_RANK,
    KEPT,
    LINEAR,
    MODALITY_GAP,
    RANDOM,
    TRAINED,
    UNIFORMITY,
    Measure,
    margin_of,
)
from multiview.measure.sentences import FULL, margin_over

MOST = 8
"""Most views or pairs of views that are named."""
ADVICE = "advice"
"""The fact of a row of uniformity that says what to change against a collapse of this run."""
CHANGES = "changes"
"""The fact of a row of a kept fact: the augmentations of its view, `colours` and `values`."""
ONE_PLACE = "one_place"
"""The fact of a row of a kept fact: whether its view shares the place of its crop with another."""
USUAL = "Use a lower learning rate (--train.optimizer.lr)."
ALIKE = -0.05
"""Uniformity above which all embeddings are almost one point; 0 is one point."""
COLOURS = ("colour", "chroma")
"""Facts that a strong change of colours removes."""
PLACED = (*COLOURS, "channels", "thumbnail")
"""Facts of views that are cut."""
GEOMETRY = {
    EFFECTIVE_RANK: "effective rank {:.1f}",
    ALIGNMENT: "alignment {:.2f}",
    UNIFORMITY: "uniformity {:.2f}",
    CKA: "CKA {:.2f}",
    MODALITY_GAP: "modality gap {:.2f}",
}


def kept_rows_of(rows: Sequence[Measure]) -> list[Measure]:
    """The rows that say what the features keep."""
    return [row for row in rows if row.measure.startswith(KEPT)]


def geometry_lines(rows: Sequence[Measure]) -> list[str]:
    """A line for every view and every two views; the values of random weights in brackets."""
    known = {(row.group, row.measure, row.weights): row for row in rows if row.measure in GEOMETRY}
    lines = []
    for group in dict.fromkeys(group for group, _, _ in known):
        texts = [
            text.format(known[group, name, TRAINED].value) + _beside(known.get((group, name, RANDOM)), text)
            for name, text in GEOMETRY.items()
            if (group, name, TRAINED) in known
        ]
        lines.append(f"{group}: {', '.join(texts)}")
    return _at_most(lines)


def kept_lines(rows: Sequence[Measure]) -> list[str]:
    """`L: mean colour 0.77 (0.93), 4x4 thumbnail 0.60 (0.58)` for every view."""
    kept = kept_rows_of(rows)
    untrained = {(row.group, row.measure): row for row in kept if row.weights == RANDOM}
    lines = []
    for view in dict.fromkeys(row.group for row in kept):
        own = [row for row in kept if (row.group, row.weights) == (view, TRAINED)]
        texts = [
            f"{row.facts['fact']} {row.value:.2f}{_beside(untrained.get((view, row.measure)), '{:.2f}')}" for row in own
        ]
        lines.append(f"{view}: {', '.join(texts)}")
    return _at_most(lines)


def _beside(row: Measure | None, text: str) -> str:
    return f" ({text.split(' ')[-1].format(row.value)})" if row else ""


def _at_most(lines: list[str]) -> list[str]:
    return lines[:MOST] + [f"... and {len(lines) - MOST} more, in evaluation.json."] * (len(lines) > MOST)


def kept_verdict(rows: Sequence[Measure]) -> list[str]:
    """Sentences on collapse, on what was lost, and on views that retrieval alone calls learned."""
    return [*_collapsed(rows), *_lost(rows), *_contradicted(rows)]


def _collapsed(rows: Sequence[Measure]) -> list[str]:
    """A sentence on views whose embeddings training made almost one point."""
    known = {(row.group, row.weights): row.value for row in rows if row.measure == UNIFORMITY}
    found = [
        f"{view} (uniformity {value:.2f}; random weights {known[view, RANDOM]:.2f})"
        for (view, weights), value in known.items()
        if weights == TRAINED and value > ALIKE and known.get((view, RANDOM), value) < 2 * ALIKE
    ]
    if not found:
        return []
    advice = next((row.facts[ADVICE] for row in rows if row.measure == UNIFORMITY and ADVICE in row.facts), USUAL)
    return [f"Collapse: training made the embeddings alike of {', '.join(found[:MOST])}. {advice}"]


def _lost(rows: Sequence[Measure]) -> list[str]:
    lost = [(row, f"{row.facts['fact']} of {row.group} (R2 {m.points:+.2f})") for row, m in lost_facts(rows)]
    if not lost:
        return []
    return [
        f"Training lost what random weights keep: {', '.join(_at_most([text for _, text in lost]))}. This is right if "
        f"it is noise for your task; if not, use {_milder([row for row, _ in lost])}an edge of each view with itself."
    ]


def _milder(lost: Sequence[Measure]) -> str:
    """What to weaken, as far as the run has it; rows of an older version do not say."""
    changes = {change for row in lost for change in row.facts.get(CHANGES, ("colours", "values"))}
    coloured = "colours" in changes and any(row.measure.removeprefix(KEPT) in COLOURS for row in lost)
    if coloured:
        return "milder augmentation (of colours: hue, saturation and grey) or "
    return "milder augmentation or " if changes else "larger crops or " if _placed(lost) else ""


def _placed(lost: Sequence[Measure]) -> bool:
    return any(row.measure.removeprefix(KEPT) in PLACED for row in lost)


def _learned(rows: Sequence[Measure]) -> dict[str, list[bool]]:
    """View -> for each of its directions, whether retrieval is beyond that of random weights."""
    learned: dict[str, list[bool]] = {}
    for row in rows:
        if row.measure == FIRST_TRY and row.weights == TRAINED and (m := margin_of(row)):
            for view in dict.fromkeys(row.views):
                learned.setdefault(view, []).append(m.clear)
    return learned


def _contradicted(rows: Sequence[Measure]) -> list[str]:
    """A sentence on views that find each other, while nothing else says that they learned."""
    learned = _learned(rows)
    found = {view: reason for view, each in learned.items() if all(each) and (reason := _nothing_else(rows, view))}
    lines = []
    for reason in dict.fromkeys(found.values()):
        views = [view for view, other in found.items() if other == reason][:MOST]
        encoders = "the encoder of" if len(views) == 1 else "the encoders of"
        ways = ", ".join(_ways(rows, views))
        lines.append(
            f"Do not rely on retrieval alone: it says that {encoders} {', '.join(views)} learned, but {reason}. The "
            f"views may find each other by something that tells nothing about your samples{f': {ways}' * bool(ways)}."
        )
    return lines


def _ways(rows: Sequence[Measure], views: Sequence[str]) -> list[str]:
    """How views could find each other that learned nothing else."""
    pictures = {row.group: row.facts.get(ONE_PLACE, True) for row in rows if row.measure == f"{KEPT}thumbnail"}
    shared = any(pictures.get(view, False) for view in views)
    return [
        *["a crop that two pictures share (give each view its own crop)"] * shared,
        *["the noise of one recording"] * any(view not in pictures for view in views),
    ]


def _nothing_else(rows: Sequence[Measure], view: str) -> str:
    """Why the features of a view look untrained, "" when they do not."""
    probes = [row for row in rows if row.measure == LINEAR and row.group == view]
    margins = [
        margin_over(row, other)
        for row in probes
        if row.weights == TRAINED
        for other in probes
        if other.weights == RANDOM
    ]
    if margins:
        seen = margins[0].clear or _at_ceiling(probes) or _with_few_labels(rows, view)
        return "" if seen else "the linear probe finds the features no better than those of random weights"
    known = _with_room(rows, view)
    if not known or any(m.clear for m in known):
        return ""
    return "the features keep none of the simple facts better than those of random weights"


def _at_ceiling(probes: Sequence[Measure]) -> bool:
    """Whether random weights leave a probe on all labels no room."""
    return any(row.weights == RANDOM and row.value >= FULL for row in probes)


def _with_few_labels(rows: Sequence[Measure], view: str) -> bool:
    """Whether a probe on some or all labels of a target is better than that of random weights."""
    own = (row for row in rows if row.group == view and row.weights == TRAINED and row.higher_is_better)
    over = [row.facts.get("over", {}).get(RANDOM) for row in own]
    return any(each["low"] > 0 for each in over if each)


def _with_room(rows: Sequence[Measure], view: str) -> list[Margin]:
    """The margins of the facts of a view that random weights do not keep whole."""
    kept = [row for row in kept_rows_of(rows) if row.group == view]
    full = {row.measure for row in kept if row.weights == RANDOM and row.value >= FULL}
    return [m for row in kept if row.weights == TRAINED and row.measure not in full and (m := margin_of(row))]
