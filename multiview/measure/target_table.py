"""Rows of predicted targets as a table and sentences. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.box import Box
from rich.table import Table

from multiview.measure.rows import CONCAT, TRAINED, Measure
from multiview.plurals import counted

PREFIX = "target_"
WORDS = {
    "target_top1": "top-1 %",
    "target_balanced": "balanced %",
    "target_auroc": "AUROC",
    "target_map": "mAP",
    "target_r2": "R2",
    "target_mae": "MAE",
}
FIRST = ("target_top1", "target_map", "target_r2")
"""The measure of each kind of target that tables compare and sentences tell."""


def target_measures(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of predicted targets."""
    return [row for row in rows if row.measure.startswith(PREFIX)]


def target_table(rows: Sequence[Measure], box: Box) -> Table:
    """One line for each target, choice of labels and group of views: values and margins."""
    rows = [row for row in rows if "trained_on" not in row.facts]
    weights = list(dict.fromkeys(row.weights for row in rows))
    named = {row.weights: row.weights_in_words for row in rows}
    table = Table(box=box, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("target", "labels", "view", "measure"):
        table.add_column(heading, vertical="bottom")
    names = [*(named[each] for each in weights), *(f"over {named[each]}" for each in weights[1:])]
    for name in names:
        table.add_column("\n".join(name.split()), justify="right", vertical="bottom")
    table.add_column("other measures", vertical="bottom")
    before: tuple[str, str] = ("", "")
    for (target, labels, probe, group), cell in _cells(rows).items():
        words = labels if probe == "linear" else f"{labels}, MLP"
        shown = (target if target != before[0] else "", words if (target, words) != before else "")
        table.add_row(*shown, group, *_texts(cell, weights))
        before = (target, words)
    return table


def _texts(cell: Mapping[tuple[str, str], Measure], weights: Sequence[str]) -> list[str]:
    """The name of the first measure, its values and margins, and the other measures."""
    first = next(row for name in FIRST for row in cell.values() if row.measure == name)
    of = {row.weights: row for row in cell.values() if row.measure == first.measure}
    values = [value_text(of[each]) if each in of else "-" for each in weights]
    margins = [_margin(of.get(weights[0]), each) for each in weights[1:]]
    return [WORDS[first.measure], *values, *margins, _others(cell, first)]


def target_sentences(rows: Sequence[Measure]) -> list[str]:
    """What the views together say of each target, how well probes transfer, and how to read it."""
    plain = [row for row in rows if "trained_on" not in row.facts and row.weights == TRAINED]
    sentences = []
    for target in dict.fromkeys(row.facts["target"] for row in plain):
        own = [row for row in plain if row.facts["target"] == target and row.measure in FIRST]
        groups = [row.group for row in own]
        whole = CONCAT if CONCAT in groups else groups[-1]
        sentences += [_sentence(row) for row in own if row.group == whole and row.facts["labels"] == "all"]
    sentences += [_transfer(row, rows) for row in rows if "trained_on" in row.facts and row.weights == TRAINED]
    return sentences


def target_notes(rows: Sequence[Measure]) -> list[str]:
    """How the values of the table were measured."""
    tests = sorted({row.samples["test"] for row in rows if "trained_on" not in row.facts})
    samples = counted(tests[0], "test sample") if len(tests) == 1 else f"{tests[0]} to {tests[-1]} test samples"
    notes = [
        f"Targets: {samples}; intervals are 95 %, by a bootstrap over test samples; differences are on the same "
        "samples. In brackets: differences that may be chance. 'N a class' and 'N %': so many labels, means over "
        "draws; the axes of the features come from all training samples, without their labels."
    ]
    if any(row.facts["probe"] == "mlp" for row in rows):
        notes.append("MLP: a probe with one hidden layer, which reads what only several views together tell.")
    return notes


def value_text(row: Measure) -> str:
    """`71.2` in percent, or `0.843`."""
    return f"{100 * row.value:.1f}" if WORDS[row.measure].endswith("%") else f"{row.value:.3g}"


def _cells(rows: Sequence[Measure]) -> dict[tuple[str, str, str, str], dict[tuple[str, str], Measure]]:
    found: dict[tuple[str, str, str, str], dict[tuple[str, str], Measure]] = {}
    for row in rows:
        key = (row.facts["target"], row.facts["labels"], row.facts["probe"], row.group)
        found.setdefault(key, {})[row.weights, row.measure] = row
    return {key: cell for key, cell in found.items() if any(row.measure in FIRST for row in cell.values())}


def _others(cell: Mapping[tuple[str, str], Measure], first: Measure) -> str:
    """The further measures of the first weights."""
    others = [row for row in cell.values() if row.weights == first.weights and row.measure != first.measure]
    return ", ".join(f"{WORDS[row.measure]} {value_text(row)}" for row in others)


def _margin(row: Measure | None, control: str) -> str:
    over = row and row.facts.get("over", {}).get(control)
    if not row or not over:
        return "-"
    unit = 100 if WORDS[row.measure].endswith("%") else 1
    text = f"{unit * over['points']:+.1f}" if unit == 100 else f"{over['points']:+.3f}"
    return f"({text})" if over["low"] <= 0 <= over["high"] else f"{text} "


def _sentence(row: Measure) -> str:
    probe = "" if row.facts["probe"] == "linear" else " by an MLP"
    kind = f" ({counted(row.facts['classes'], 'class', 'classes')})" if row.facts["kind"] == "classes" else ""
    where = "+".join(row.views) if row.group == CONCAT else row.group
    measure = WORDS[row.measure].removesuffix(" %")
    return f"{row.facts['target']}{kind} from {where}{probe}: {measure} {_with_interval(row)}{_against(row)}."


def _with_interval(row: Measure) -> str:
    unit, sign = (100, " %") if WORDS[row.measure].endswith("%") else (1, "")
    shape = ".1f" if unit == 100 else ".3f"
    text = f"{unit * row.value:{shape}}{sign}"
    if row.interval is None:
        return text
    return f"{text} ({unit * row.interval.low:{shape}} to {unit * row.interval.high:{shape}})"


def _against(row: Measure) -> str:
    words = {"random": "random weights", "raw": "raw values", "statistics": "their statistics"}
    parts = [f"{_margin(row, name).strip()} over {words.get(name, name)}" for name in row.facts.get("over", {})]
    return f"; {', '.join(parts)}" if parts else ""


def _transfer(row: Measure, rows: Sequence[Measure]) -> str:
    facts = row.facts
    others = [
        f"{each.weights_in_words} {value_text(each)}"
        for each in rows
        if each.group == row.group and each.facts.get("target") == facts["target"] and each.weights != TRAINED
    ]
    controls = f" ({', '.join(others)})" if others else ""
    return (
        f"{facts['target']}: a probe trained on {facts['trained_on']} and tested on {facts['tested_on']}, through "
        f"{facts['space']}: {WORDS[row.measure].removesuffix(' %')} {_with_interval(row)}{controls}."
    )
