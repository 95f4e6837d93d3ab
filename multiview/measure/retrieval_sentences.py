"""Rows of retrieval in sentences: the verdict of one or several runs without labels, and notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from multiview.measure.intervals import Margin
from multiview.measure.rows import EFFECTIVE_RANK, MEDIAN_RANK, RANDOM, RECALL, TRAINED, Measure
from multiview.plurals import counted

FIRST_TRY = RECALL[1]
MOST = 6
"""Most directions that a verdict names one by one."""


def retrieval_rows(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of retrieval between views."""
    return [row for row in rows if row.measure in (*RECALL.values(), MEDIAN_RANK)]


def rank_rows(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of the effective rank, which views without a partner have."""
    return [row for row in rows if row.measure == EFFECTIVE_RANK]


def retrieval_verdict(rows: Sequence[Measure]) -> str:
    """What the trained encoders find, beside random weights and chance, and the conclusion.

    A direction is learned when the 95 % interval of its margin over random weights lies above zero.
    """
    found = {row.group: row for row in _first_try(rows, TRAINED)}
    controls = {row.group: row for row in _first_try(rows, RANDOM)}
    lines = [_direction(row, controls.get(group)) for group, row in list(found.items())[:MOST]]
    if len(found) > MOST:
        lines.append(f"... and {len(found) - MOST} directions more, in the table.")
    if found:
        lines.append(_conclusion(list(found.values())))
    return "\n".join([*lines, *_ranks(rank_rows(rows))])


def retrieval_verdict_of_runs(runs: Sequence[Sequence[Measure]]) -> str:
    """The mean over several runs of each direction, and in how many runs it was learned."""
    lines = []
    of_runs = [{row.group: row for row in _first_try(rows, TRAINED)} for rows in runs]
    for group in dict.fromkeys(group for each in of_runs for group in each):
        found = [each[group] for each in of_runs if group in each]
        values = [100 * row.value for row in found]
        margins = [m for row in found if (m := margin_of(row))]
        lines.append(
            f"{group}, mean of {counted(len(found), 'run')}: found at the first try in {fmean(values):.1f} % "
            f"({min(values):.1f} to {max(values):.1f}), better than random weights beyond noise in "
            f"{sum(m.clear for m in margins)} of {len(found)}"
        )
    for view in dict.fromkeys(row.group for rows in runs for row in rank_rows(rows)):
        values = [row.value for rows in runs for row in rank_rows(rows) if (row.group, row.weights) == (view, TRAINED)]
        lines.append(f"{view}, mean of {counted(len(values), 'run')}: effective rank {fmean(values):.1f}")
    return "\n".join(lines)


def retrieval_notes(rows: Sequence[Measure]) -> list[str]:
    """Sentences that a reader needs to weigh the table of retrieval."""
    found = [row for row in rows if row.measure == FIRST_TRY]
    if not found:
        return []
    sizes = sorted({row.tested for row in found})
    size = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    split, heads = found[0].split, ", ".join(sorted({row.facts["head"] for row in found}))
    notes = [
        f"Retrieval among {size} samples of the {split} split (chosen by seed {found[0].facts['seed']}), by the cosine "
        f"of the embeddings z ({heads}); equally similar samples count against it. No labels are used."
    ]
    if split == "train":
        notes.append("The store has no held-out split: these samples were trained on.")
    shared = [row.group for row in found if row.weights == TRAINED and row.facts["same_crop"]]
    if shared:
        notes.append(
            f"Both views of {', '.join(shared[:MOST])}{' ...' * (len(shared) > MOST)} show the same central crop, so "
            "that equal places help. Compare with random weights; do not choose between recipes by these numbers."
        )
    return notes


def margin_of(row: Measure) -> Margin | None:
    """How far a share of first tries lies above that of the random weights, on the same queries."""
    over = row.facts.get("over_random")
    return Margin(over["points"], over["low"], over["high"]) if over else None


def _first_try(rows: Iterable[Measure], weights: str) -> list[Measure]:
    return [row for row in rows if row.measure == FIRST_TRY and row.weights == weights]


def _direction(row: Measure, control: Measure | None) -> str:
    query, gallery = row.views
    between = f" (95 % {100 * row.interval.low:.1f} to {100 * row.interval.high:.1f})" if row.interval else ""
    against = f"{100 * control.value:.1f} % with random weights and " if control else ""
    over = margin_of(row)
    difference = f" ({over.in_words} over random weights{', within noise' * over.noise})" if over else ""
    return (
        f"{row.group}: finds the {gallery} of a sample by its {query} at the first try in {100 * row.value:.1f} % of "
        f"{row.tested}{between}, against {against}{100 * row.facts['chance']:.2g} % by chance{difference}"
    )


def _conclusion(found: Sequence[Measure]) -> str:
    margins = [margin_of(row) for row in found]
    if None in margins:
        return "No control was measured, so nobody can say whether the run learned."
    clear = [row.group for row, m in zip(found, margins, strict=True) if m and m.clear]
    if len(clear) == len(found):
        return "Without labels: the encoders learned what these views have in common."
    if not clear:
        return "Without labels: not better than random weights, so the encoders learned nothing that retrieval can see."
    return (
        f"Without labels: better than random weights in {len(clear)} of {len(found)} directions ({', '.join(clear)})."
    )


def _ranks(rows: Sequence[Measure]) -> list[str]:
    untrained = {row.group: row for row in rows if row.weights == RANDOM}
    lines = []
    for row in (row for row in rows if row.weights == TRAINED):
        other = untrained.get(row.group)
        against = f", with random weights {other.value:.1f}" if other else ""
        most = f"{row.range[1]:.0f}" if row.range else str(row.width)
        lines.append(
            f"{row.group}: no other view to find, so only the spread of its features was measured: effective rank "
            f"{row.value:.1f} of at most {most} (RankMe, {counted(row.tested, 'sample')} of the {row.split} split)"
            f"{against}. Near 1, the features have collapsed; a high rank does not show that they are useful: give "
            "labels for that."
        )
    return lines
