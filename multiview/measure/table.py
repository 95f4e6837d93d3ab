"""Measured rows of a run, or of several, as a table on the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from statistics import fmean, stdev

from rich.box import SIMPLE, Box
from rich.console import Console
from rich.table import Table

from multiview.errors import MultiviewError
from multiview.measure.intervals import Margin
from multiview.measure.kept_sentences import geometry_lines, kept_lines, kept_verdict
from multiview.measure.retrieval_sentences import (
    rank_rows,
    retrieval_notes,
    retrieval_rows,
    retrieval_verdict,
    retrieval_verdict_of_runs,
)
from multiview.measure.retrieval_table import retrieval_table
from multiview.measure.rows import CONCAT, KNN, LINEAR, Measure
from multiview.measure.scores import Score, measures_of
from multiview.measure.sentences import linear_rows, margin_over, notes, verdict, verdict_of_runs
from multiview.measure.target_table import target_measures, target_notes, target_sentences, target_table
from multiview.terminal import SafeConsole

Cell = tuple[float | None, str]
UNKNOWN: Cell = (None, "-")
PLAIN = Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)  # rich's SIMPLE, for files and pipes


def render(rows: Iterable[Measure | Score], console: Console) -> None:
    """Prints one run: values and margins of every group of views, retrieval, and the verdicts."""
    measures = measures_of(rows)
    if linear_rows(measures):
        _print({"": measures}, verdict(measures), console)
    if target_measures(measures):
        _print_targets(target_measures(measures), console)
    if retrieval_rows(measures) or rank_rows(measures):
        _print_retrieval({"": measures}, retrieval_verdict(measures), console)
        _print_kept(measures, console)


def _print_kept(rows: Sequence[Measure], console: Console) -> None:
    """What the features keep and how the embeddings lie; then where this contradicts retrieval."""
    whole = not console.is_terminal
    headed = {
        "Simple facts of a sample that its features keep, R2 of ridge regression (random weights):": kept_lines(rows),
        "Geometry of features and embeddings (random weights):": geometry_lines(rows),
    }
    for heading, lines in headed.items():
        for line in [heading, *(f"  {line}" for line in lines)] if lines else []:
            console.print(line, markup=False, highlight=False, soft_wrap=whole, style="dim")
    for sentence in kept_verdict(rows):
        console.print(sentence, markup=False, highlight=False, soft_wrap=whole, style="bold")


def compare(tables: Mapping[str, Iterable[Measure | Score]], console: Console) -> None:
    """Prints several runs, such as three seeds of one recipe: all values, mean, deviation, verdict.

    std is the standard deviation of a sample (n - 1); margins are taken within each run.
    tables: name of the run -> its rows.
    """
    if not tables:
        raise MultiviewError("there is no run to compare; name one run or more.")
    runs = {name: measures_of(rows) for name, rows in tables.items()}
    probed = {name: rows for name, rows in runs.items() if linear_rows(rows)}
    if probed:
        _print(probed, verdict_of_runs(list(probed.values())), console)
    searched = {name: rows for name, rows in runs.items() if retrieval_rows(rows) or rank_rows(rows)}
    if searched:
        _print_retrieval(searched, retrieval_verdict_of_runs(list(searched.values())), console)


def _print_targets(rows: Sequence[Measure], console: Console) -> None:
    whole = not console.is_terminal
    console.print()
    if whole:
        _print_whole(target_table(rows, PLAIN), console)
    else:
        console.print(target_table(rows, SIMPLE))
    for note in target_notes(rows):
        console.print(note, markup=False, highlight=False, soft_wrap=whole, style="dim")
    console.print()
    for sentence in target_sentences(rows):
        console.print(sentence, markup=False, highlight=False, soft_wrap=whole)


def _print_retrieval(runs: Mapping[str, Sequence[Measure]], answer: str, console: Console) -> None:
    whole = not console.is_terminal
    console.print()
    if any(map(retrieval_rows, runs.values())):
        if whole:
            _print_whole(retrieval_table(runs, PLAIN), console)
        else:
            console.print(retrieval_table(runs, SIMPLE))
        for note in retrieval_notes(next(iter(runs.values()))):
            console.print(note, markup=False, highlight=False, soft_wrap=whole, style="dim")
        console.print()
    console.print(answer, markup=False, highlight=False, soft_wrap=whole, style="bold")


def _print_whole(table: Table, console: Console) -> None:
    """Prints a table without folding or padding, so that lines stay whole for grep and diff.

    For files and pipes, which have no width.
    """
    wide = SafeConsole(file=StringIO(), width=1000, color_system=None)
    with wide.capture() as captured:
        wide.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print(runs: Mapping[str, Sequence[Measure]], answer: str, console: Console) -> None:
    if console.is_terminal:
        console.print(_table(runs, SIMPLE))
    else:
        _print_whole(_table(runs, PLAIN), console)
    whole = not console.is_terminal
    for note in notes(list(runs.values())):
        console.print(note, markup=False, highlight=False, soft_wrap=whole, style="dim")
    console.print()
    console.print(answer, markup=False, highlight=False, soft_wrap=whole, style="bold")


def _empty_table(leading: Sequence[str], names: Sequence[str], box: Box) -> Table:
    """The table with its columns: the leading ones, and the measures of each kind of weights."""
    table = Table(box=box, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in leading:
        table.add_column(heading, vertical="bottom")
    for title, columns in (("linear", names), ("over", names[1:]), ("kNN", names)):
        for name in columns:
            heading = "\n".join([title, *name.split()])
            table.add_column(heading, justify="right", vertical="bottom", style="bold" if name == names[0] else "")
    return table


def _table(runs: Mapping[str, Sequence[Measure]], box: Box) -> Table:
    """A block of lines for every group of views: each run, then mean and deviation of several."""
    rows = [row for run in runs.values() for row in linear_rows(run)]
    names = list(dict.fromkeys(row.weights_in_words for row in rows))
    several = len(runs) > 1
    table = _empty_table(("view", "run") if several else ("view",), names, box)
    for group in sorted(dict.fromkeys(row.group for row in rows), key=lambda name: name == CONCAT):
        for i, (run, texts) in enumerate(_block(runs, group, names)):
            table.add_row("" if i else group, *([run] if several else []), *texts)
        if several:
            table.add_section()
    return table


def _block(runs: Mapping[str, Sequence[Measure]], group: str, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The lines of one group of views: (run, texts of the cells)."""
    lines = {run: _cells(rows, group, names) for run, rows in runs.items()}
    block = [(run, [text for _, text in cells]) for run, cells in lines.items()]
    if len(runs) > 1:
        block += _summary(list(lines.values()), signed=range(len(names), 2 * len(names) - 1))
    return block


def _cells(rows: Sequence[Measure], group: str, names: Sequence[str]) -> list[Cell]:
    """Value and text of linear, margins and kNN; a dash where this run did not measure it."""
    known = {(row.measure, row.weights_in_words): row for row in rows if row.group == group}
    linear, knn = ([known.get((measure, name)) for name in names] for measure in (LINEAR, KNN))
    subject, *controls = linear
    margins = [margin_over(subject, control) if subject and control else None for control in controls]
    return (
        [_percent(row) for row in linear]
        + [(m.points, _signed(m)) if m else UNKNOWN for m in margins]
        + [_percent(row) for row in knn]
    )


def _percent(row: Measure | None) -> Cell:
    return (row.value, f"{100 * row.value:.1f}") if row else UNKNOWN


def _signed(m: Margin) -> str:
    """The margin in points, in brackets when it is noise; a space keeps the column aligned."""
    return f"({100 * m.points:+.1f})" if m.noise else f"{100 * m.points:+.1f} "


def _summary(lines: Sequence[Sequence[Cell]], signed: range) -> list[tuple[str, list[str]]]:
    """The lines `mean` and `std` over the runs; signed: the columns that hold margins."""
    means, deviations = [], []
    for i, column in enumerate(zip(*lines, strict=True)):
        values = [100 * value for value, _ in column if value is not None]
        means.append((f"{fmean(values):+.1f} " if i in signed else f"{fmean(values):.1f}") if values else "-")
        deviations.append((f"{stdev(values):.1f}" if len(values) > 1 else "-") + " " * (i in signed))
    return [("mean", means), ("std", deviations)]
