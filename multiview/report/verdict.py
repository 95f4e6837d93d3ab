"""The verdict of one run: by labels, between views, and its health."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from multiview.measure.intervals import Interval
from multiview.measure.lost import lost_neighbours
from multiview.measure.retrieval_sentences import (
    FIRST_TRY,
    rank_rows,
    retrieval_notes,
    retrieval_rows,
    retrieval_verdict,
    standing,
)
from multiview.measure.rows import CONCAT, RANDOM, RAW, TRAINED, Measure
from multiview.measure.sentences import headline, linear_rows, margin_over, notes, verdict_sentences
from multiview.plurals import counted
from multiview.report.dots import Dot, dots, nice_top
from multiview.report.gather import Gathered

MOST = 24
"""Most lines of a drawing."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One part of the verdict. state: `good`, `bad` or `unknown`."""

    title: str
    state: str
    sentence: str
    lines: Sequence[str] = ()
    drawing: Markup = Markup("")
    notes: Sequence[str] = ()


def cards(run: Gathered) -> list[Card]:
    """What the probe sees, what one view finds of another, and whether the training was healthy."""
    return [by_labels(run), between_views(run), health(run)]


def by_labels(run: Gathered) -> Card:
    """The verdict of the linear probe."""
    title, rows = "By labels", linear_rows(run.rows)
    if not rows:
        reason = "The data has no labels in its splits, so" if run.rows else _unevaluated(run) + " So"
        return Card(title=title, state="unknown", sentence=f"{reason} neither kNN nor linear probe was measured.")
    subject, *controls = headline(rows)
    clear = [margin_over(subject, control).clear for control in controls]
    state = "unknown" if not clear else "good" if all(clear) else "unknown" if clear[0] else "bad"
    sentence, *limits = verdict_sentences(run.rows)
    shown = first_groups(headline_first([row for row in rows if len(row.views) == 1 or row.group == CONCAT]))
    return Card(
        title=title,
        state="bad" if lost_neighbours(run.rows) else state,
        sentence=sentence,
        lines=limits,
        drawing=drawing(shown, "linear accuracy"),
        notes=notes([rows]),
    )


def between_views(run: Gathered) -> Card:
    """The verdict of retrieval, and of the effective rank of views without a partner."""
    title, first = "Between views", [row for row in run.rows if row.measure == FIRST_TRY]
    if not first and not rank_rows(run.rows):
        sentence = _unevaluated(run) if not run.rows else "Retrieval between views was not measured."
        return Card(title=title, state="unknown", sentence=sentence)
    text = _on_this_page(retrieval_verdict(run.rows)).splitlines()
    if not first:
        return Card(title=title, state="unknown", sentence=text[0], lines=text[1:])
    at = next((i for i, line in enumerate(text) if line.startswith(("Without labels", "No control"))), len(text) - 1)
    shown = first_groups(first)
    missing = len({row.group for row in first}) - len({row.group for row in shown})
    more = [f"{counted(missing, 'direction')} more in the table of all measured values."] if missing else []
    return Card(
        title=title,
        state=standing(run.rows),
        sentence=text[at],
        lines=text[:at] + text[at + 1 :] + more,
        drawing=drawing(shown, "R@1"),
        notes=retrieval_notes(retrieval_rows(run.rows)),
    )


def _on_this_page(text: str) -> str:
    """The text without the advice to make this page."""
    return text.replace("in `multiview report RUN` ", "on this page ").replace("`multiview report RUN` ", "This page ")


def headline_first(rows: Sequence[Measure]) -> list[Measure]:
    """The rows of all views together, then the others, which a drawing may leave out."""
    return sorted(rows, key=lambda row: row.group != CONCAT)


def first_groups(rows: Sequence[Measure], most: int = MOST) -> list[Measure]:
    """The rows of the first groups with their controls: at most `most` rows, or one group."""
    kept: list[Measure] = []
    for group in dict.fromkeys(row.group for row in rows):
        of_group = [row for row in rows if row.group == group]
        if kept and len(kept) + len(of_group) > most:
            break
        kept += of_group
    return kept


def health(run: Gathered) -> Card:
    """How many warnings the training gave, and the last loss."""
    last = next((line for line in reversed(run.run.metrics) if "loss" in line), None)
    ended = f" The last loss, at step {last['step']}, is {last['loss']:.3f}." if last else ""
    resumed = f" The run was continued at step {', '.join(map(str, run.resumes))}." if run.resumes else ""
    if not run.run.metrics:
        return Card(title="Health", state="unknown", sentence="No metrics were written.")
    if not run.warnings:
        return Card(title="Health", state="good", sentence=f"Training gave no warning.{ended}{resumed}")
    lines = [f"Step {line.get('step', '?')}: {line['text']}" for line in run.warnings]
    count = counted(len(run.warnings), "warning")
    return Card(title="Health", state="bad", sentence=f"Training gave {count}.{ended}{resumed}", lines=lines)


def subsets(run: Gathered) -> Card | None:
    """Which views count: the linear accuracy of every group of views; None without labels."""
    rows = linear_rows(run.rows)
    groups = {row.views for row in rows}
    title = "Which views count"
    if not rows:
        return None
    views = {view for group in groups for view in group}
    whole = len(groups) > len(views) + 1 or len(views) <= 2
    more = "" if whole else f"For every subset: multiview evaluate {run.run.folder} --subsets"
    ordered = sorted((row for row in rows if row.weights == TRAINED), key=lambda row: -row.value)[:MOST]
    best = ordered[0] if ordered else rows[0]
    sentence = (
        f"The most accurate group is {' + '.join(best.views)} with {_percent(best.value)}{_between(best.interval)}."
    )
    kept = [row for one in ordered for row in rows if row.group == one.group and row.weights != RAW]
    return Card(
        title=title,
        state="unknown",
        sentence=sentence,
        lines=[more] if more else [],
        drawing=drawing(kept, "linear accuracy"),
    )


def drawing(rows: Sequence[Measure], name: str) -> Markup:
    """The rows as dots, the groups in their order, trained weights first."""
    order = [TRAINED, RANDOM, RAW]
    groups = list(dict.fromkeys(row.group for row in rows))
    known = sorted(
        rows, key=lambda row: (groups.index(row.group), order.index(row.weights) if row.weights in order else 9)
    )
    top = nice_top([row.interval.high if row.interval else row.value for row in known])
    shown = [
        Dot(
            label="all views" if row.group == CONCAT else row.group,
            kind=row.weights,
            value=row.value,
            interval=row.interval,
            text=f"{row.value:.2f}" if row.unit == "R2" else _percent(row.value),
        )
        for row in known
    ]
    return dots(shown, 0.0, top, name)


def _unevaluated(run: Gathered) -> str:
    return f"The run was not evaluated; type: multiview evaluate {run.run.folder}."


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _between(interval: Interval | None) -> str:
    return f" (95 % {100 * interval.low:.1f} to {100 * interval.high:.1f})" if interval else ""
