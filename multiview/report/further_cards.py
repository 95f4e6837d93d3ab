"""Further cards below the verdict: predicted targets, and simple facts that the features keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from multiview.measure.kept_sentences import kept_verdict
from multiview.measure.lost import lost_facts
from multiview.measure.rows import CONCAT, KEPT, RANDOM, TRAINED, Measure
from multiview.plurals import counted
from multiview.report.gather import Gathered
from multiview.report.measured import name_of, text_of, title_of
from multiview.report.verdict import Card, drawing, first_groups, headline_first

TARGET = "target_"
"""The start of the names of measures of a predicted column."""
LABELS, ALL = "labels", "all"


def further_cards(run: Gathered) -> list[Card]:
    """The cards for which the run has rows; older runs have none."""
    return [*targets(run), *kept(run)]


def targets(run: Gathered) -> list[Card]:
    """What all views together say of each target, beside the controls, with all labels."""
    rows = [row for row in run.rows if row.measure.startswith(TARGET) and row.facts.get(LABELS, ALL) == ALL]
    first = _first_measures([row for row in rows if "trained_on" not in row.facts])
    if not first:
        return []
    heads = [row for row in first if row.weights == TRAINED and row.group in (CONCAT, _last_group(first, row))]
    clear = [row for row in heads if _beaten(row) and all(_beaten(row).values())]
    sentence = (
        f"Of {counted(len(heads), 'target')}, {len(clear)} {'is' if len(clear) == 1 else 'are'} predicted better from "
        "the trained features than from every control, beyond noise."
    )
    shares = headline_first([row for row in first if row.unit in ("fraction", "R2")])
    named = [
        replace(row, group=f"{row.facts['target']} {'all views' if row.group == CONCAT else name_of(row)}")
        for row in shares
    ]
    learned = clear or any(_beaten(row).get(RANDOM) for row in heads)
    state = "good" if len(clear) == len(heads) else "unknown" if learned else "bad"
    lines = [_target_line(row, first) for row in heads]
    picture = drawing(first_groups(named), "score of each target") if named else Card.drawing
    return [Card(title="Targets", state=state, sentence=sentence, lines=lines, drawing=picture)]


def _short_name(row: Measure) -> str:
    return "all views" if row.group == CONCAT else name_of(row)


def _beaten(row: Measure) -> dict[str, bool]:
    """Control -> whether a row lies above it beyond noise."""
    return {name: margin["low"] > 0 for name, margin in row.facts.get("over", {}).items()}


def _first_measures(rows: Sequence[Measure]) -> list[Measure]:
    """The rows of the first measure and the first probe of every target."""
    first: dict[Any, tuple[str, Any]] = {}
    for row in rows:
        first.setdefault(row.facts.get("target"), (row.measure, row.facts.get("probe")))
    return [row for row in rows if first[row.facts.get("target")] == (row.measure, row.facts.get("probe"))]


def _last_group(rows: Sequence[Measure], row: Measure) -> str:
    """The last group of the target of a row; CONCAT when all views were measured together."""
    groups = [each.group for each in rows if each.facts.get("target") == row.facts.get("target")]
    return CONCAT if CONCAT in groups else groups[-1]


def _target_line(row: Measure, rows: Sequence[Measure]) -> str:
    same = (row.facts.get("target"), row.group)
    others = [each for each in rows if (each.facts.get("target"), each.group) == same and each.weights != TRAINED]
    against = ", ".join(f"{each.weights_in_words} {text_of(replace(each, interval=None))}" for each in others)
    return f"{title_of(row)}, from {name_of(row)}: {text_of(row)}" + (f"; {against}" if against else "")


def kept(run: Gathered) -> list[Card]:
    """What the features keep of simple facts, such as the mean colour; red where one was lost."""
    rows = [row for row in run.rows if row.measure.startswith(KEPT)]
    trained = [row for row in rows if row.weights == TRAINED]
    if not trained:
        return []
    named = [replace(row, group=f"{row.group} {row.measure.removeprefix(KEPT)}") for row in rows]
    how = "The share of the variance of a fact that a ridge regression predicts from the features (R²), held out."
    picture = drawing(first_groups(named), "share of the variance")
    state = "bad" if lost_facts(rows) else "unknown"
    sentence, lines = _kept_sentence(trained), kept_verdict(run.rows)
    return [Card(title="Simple facts", state=state, sentence=sentence, lines=lines, drawing=picture, notes=[how])]


def _kept_sentence(trained: Sequence[Measure]) -> str:
    margins = [row.facts.get("over_random") or {"low": 0, "high": 0} for row in trained]
    more, less = sum(m["low"] > 0 for m in margins), sum(m["high"] < 0 for m in margins)
    return (
        f"Of {counted(len(trained), 'simple fact')} of the samples, the trained features keep {more} better and {less} "
        "worse than those of random weights, beyond noise."
    )
