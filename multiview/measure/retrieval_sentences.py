"""Rows of retrieval in sentences: the verdict of one or several runs without labels, and notes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean

from multiview.measure.lost import lost_facts, lost_neighbours
from multiview.measure.rows import (
    CCA,
    EFFECTIVE_RANK,
    FUSED,
    IN_WORDS,
    MEDIAN_RANK,
    RANDOM,
    RECALL,
    RIDGE,
    TRAINED,
    Measure,
    margin_of,
)
from multiview.plurals import counted

FIRST_TRY = RECALL[1]
TEN = RECALL[10]
MOST = 6
"""Most directions that a verdict names one by one."""
PLAIN = (RIDGE, CCA)
FEW = 30
"""Fewer test samples than these are called few."""
TOO_FEW = 20
"""Among fewer samples, chance finds most of them among the first ten: only large gains show."""


ADVICE = "Next: "
NEXT = {
    "good": "`multiview report RUN` shows what finds what; `multiview search RUN FILE` finds what is most like "
    "a sample; `multiview embed RUN DATA vectors.parquet` writes the features.",
    "unknown": "train longer (--train.epochs), or with more negatives (--train.batch, or a bank or queue). Where "
    "ridge regression or CCA find as much, the relation of the views is simple: see in `multiview report RUN` which "
    "pairs gain.",
    "too few": "hold out more samples, such as by more data, and evaluate again; losses in `multiview report RUN` show "
    "meanwhile whether training went on.",
    "bad": "look in `multiview report RUN` whether the losses fell. If not, train longer (--train.epochs) or "
    "with another learning rate; if they did, use a milder augmentation and larger crops, where there are any. "
    "Where you chose views or encoders, `multiview train auto --data DATA` chooses them by the data; a graph of your "
    "own with frozen or pretrained encoders stays yours.",
}
"""What to do after a verdict without labels, by `standing`."""
MEND = (
    "training lost facts that random weights keep (below). If your task needs them, mend that first, as it says there; "
    "then train longer."
)
"""What to do instead where facts were lost and retrieval is not good."""
MEND_LABEL = (
    "training lost what the label needs: nearest neighbours know it worse than with random weights. Use a milder "
    "augmentation first; then train longer."
)


def retrieval_rows(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of retrieval between views."""
    return [row for row in rows if row.measure in (*RECALL.values(), MEDIAN_RANK)]


def rank_rows(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of the effective rank of views that have no other view to find."""
    return [row for row in rows if row.measure == EFFECTIVE_RANK and row.facts.get("alone", True)]


def retrieval_verdict(rows: Sequence[Measure]) -> str:
    """What the trained encoders find, beside all controls, and the conclusion.

    A direction is learned when the 95 % interval of its margin over random weights lies above zero,
    at the first try (R@1). Where none is, the first ten (R@10) say whether learning has begun.
    Ridge regression and CCA say whether it needed a network.
    """
    first = {(row.group, row.weights): row for row in rows if row.measure == FIRST_TRY}
    found = [row for (_, weights), row in first.items() if weights == TRAINED]
    lines = [_direction(row, first) for row in sorted(found, key=lambda row: not _is_worse(row))[:MOST]]
    if len(found) > MOST:
        lines.append(f"... and {counted(len(found) - MOST, 'direction')} more, in the table.")
    if found:
        lines += [_conclusion(found, rows) + _below(found), *_few(found), *_fused(first), ADVICE + _next(rows)]
    return "\n".join([*lines, *_ranks(rank_rows(rows), {row.views[0] for row in found})])


def _next(rows: Sequence[Measure]) -> str:
    stands = standing(rows)
    if lost_neighbours(rows):
        return MEND_LABEL
    if stands != "good" and lost_facts(rows):
        return MEND
    return NEXT["too few" if _cannot_tell(_first_try(rows, TRAINED), _among_ten(rows)) else stands]


def retrieval_verdict_of_runs(runs: Sequence[Sequence[Measure]]) -> str:
    """The mean over several runs of each direction, and in how many runs it was learned."""
    lines = []
    of_runs = [{row.group: row for row in _first_try(rows, TRAINED)} for rows in runs]
    for group in dict.fromkeys(group for each in of_runs for group in each):
        found = [each[group] for each in of_runs if group in each]
        values = [100 * row.value for row in found]
        margins = [m for row in found if (m := margin_of(row))]
        between = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
        lines.append(
            f"{group}, mean of {counted(len(found), 'run')}: found at the first try in {fmean(values):.1f} %"
            f"{between}, better than random weights beyond noise in "
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
    split, heads = found[0].split, ", ".join(sorted({row.facts["head"] for row in found if row.weights == TRAINED}))
    notes = [
        f"Retrieval among {size} samples of the {split} split (chosen by seed {found[0].facts['seed']}), by the cosine "
        f"of the embeddings z ({heads}); equally similar samples count against it. No labels are used."
    ]
    if split == "train":
        notes.append("The store has no held-out split: these samples were trained on.")
    own = [row for row in found if row.facts.get("crop") == "own"]
    if own:
        notes.append(
            "Queries and gallery are cut at different places (60 to 80 % of the area, or another window in time), "
            "because views of one crop also find each other by the crop itself."
        )
    shared = [row.group for row in found if row.weights == TRAINED and row.facts["same_crop"]]
    if shared:  # of an older version
        notes.append(
            f"Both views of {', '.join(shared[:MOST])}{' ...' * (len(shared) > MOST)} show the same central crop, so "
            "that equal places help. Compare with random weights; do not choose between recipes by these numbers."
        )
    fitted = [row.facts["fitted"] for row in found if row.weights in PLAIN and "fitted" in row.facts]
    if fitted:
        notes.append(
            f"Ridge regression and CCA need no network: they relate the values of two views, or statistics of them, of "
            f"{max(fitted)} training samples; chosen on parts of these."
        )
    if any(row.weights == FUSED for row in found):
        notes.append(
            "Late fusion: the similarities of the encoders and of the better of these two, each with mean 0 and "
            "deviation 1, are summed."
        )
    return notes


def beats_plain(row: Measure) -> bool:
    """Whether a direction is found better than by ridge regression and by CCA, beyond noise."""
    return all(m.clear for over in PLAIN if (m := margin_of(row, over)))


def standing(rows: Sequence[Measure]) -> str:
    """`good`: every direction beats all controls; `bad`: none beats random weights.

    `unknown` stands for everything between, also where the first ten tries beat random weights and
    the first does not, and for rows without controls.
    """
    found = _first_try(rows, TRAINED)
    margins = [margin_of(row) for row in found]
    learned = [row for row, m in zip(found, margins, strict=True) if m and m.clear]
    if learned and len(learned) == len(found) and all(map(beats_plain, found)):
        return "good"
    unknown = learned or None in margins or any(_among_ten(rows).values()) or _are_too_few(found)
    return "unknown" if unknown else "bad"


def _are_too_few(found: Sequence[Measure]) -> bool:
    return 0 < max((row.tested for row in found), default=0) < TOO_FEW


def _among_ten(rows: Iterable[Measure]) -> dict[str, bool]:
    """Direction -> whether R@10 is better than with random weights beyond noise, where known."""
    margins = {row.group: margin_of(row) for row in rows if row.measure == TEN and row.weights == TRAINED}
    return {group: m.clear for group, m in margins.items() if m}


def _first_try(rows: Iterable[Measure], weights: str) -> list[Measure]:
    return [row for row in rows if row.measure == FIRST_TRY and row.weights == weights]


def _direction(row: Measure, first: Mapping[tuple[str, str], Measure]) -> str:
    between = f" (95 % {100 * row.interval.low:.1f} to {100 * row.interval.high:.1f})" if row.interval else ""
    others = {weights: first[row.group, weights] for weights in (RANDOM, *PLAIN) if (row.group, weights) in first}
    against = [f"{100 * other.value:.1f} % {HOW[weights]}" for weights, other in others.items()]
    known = ", ".join(against) + " and " * bool(against)
    plain = max((weights for weights in PLAIN if weights in others), key=lambda w: others[w].value, default="")
    margins = [_over(row, weights) for weights in (RANDOM, plain) if margin_of(row, weights)]
    return (
        f"{row.group}: finds {_found(row)} at the first try in {100 * row.value:.1f} % of "
        f"{row.tested}{between}, against {known}{100 * row.facts['chance']:.2g} % by chance"
        f"{' (' * bool(margins)}{', '.join(margins)}{')' * bool(margins)}"
    )


HOW = {RANDOM: "with random weights", RIDGE: "by ridge regression", CCA: "by CCA"}


def _found(row: Measure) -> str:
    query, gallery = row.views
    if query == gallery:
        return f"a sample again by another crop of its view {query}"
    return f"the {gallery} of a sample by its {query}"


def _over(row: Measure, weights: str) -> str:
    over = margin_of(row, weights)
    assert over is not None
    return f"{over.in_words} over {IN_WORDS[weights]}{', within noise' * over.noise}"


def _conclusion(found: Sequence[Measure], rows: Sequence[Measure]) -> str:
    margins = [margin_of(row) for row in found]
    if None in margins:
        return "No control was measured, so nobody can say whether the run learned."
    learned = [row for row, m in zip(found, margins, strict=True) if m and m.clear]
    if not learned:
        return _not_at_once(_among_ten(rows), found)
    matched = [row.group for row in learned if not beats_plain(row)]
    if len(learned) == len(found) and not matched:
        return "Without labels: the encoders learned what these views have in common."
    named = f" ({_list([row.group for row in learned])})" if len(learned) < len(found) else ""
    worse = [row.group for row in learned if any(m.high < 0 for over in PLAIN if (m := margin_of(row, over)))]
    below = f" (and worse in {_list(worse)})" if worse and worse != matched else ""
    how = "worse" if worse == matched else "not better"
    plain = f", but {how} than ridge regression or CCA, which need no network, in {_list(matched)}{below}"
    directions = f"{len(learned)} of {counted(len(found), 'direction')}"
    return f"Without labels: better than random weights in {directions}{named}{plain if matched else ''}."


def _is_worse(row: Measure) -> bool:
    """Whether training made a direction worse than random weights, beyond noise."""
    return (m := margin_of(row)) is not None and m.high < 0


def _below(found: Sequence[Measure]) -> str:
    """A sentence on directions that training made worse; else nothing."""
    worse = [row.group for row in found if _is_worse(row)]
    return f" Worse than random weights: {_list(worse)}." if worse else ""


def _cannot_tell(found: Sequence[Measure], among_ten: Mapping[str, bool]) -> bool:
    """Whether no direction is learned, and the samples are too few to say that none is."""
    margins = [margin_of(row) for row in found]
    learned = None in margins or any(m.clear for m in margins if m) or any(among_ten.values())
    return _are_too_few(found) and not learned and not any(map(_is_worse, found))


def _not_at_once(among_ten: Mapping[str, bool], found: Sequence[Measure]) -> str:
    """The conclusion where no direction is learned at the first try."""
    if _cannot_tell(found, among_ten):
        return (
            "Without labels: not better than random weights at the first try (R@1) beyond noise, but "
            f"{counted(max(row.tested for row in found), 'sample')} are too few to tell whether the encoders learned."
        )
    if not among_ten:  # of an older version
        return "Without labels: not better than random weights at the first try (R@1), which shows no learning."
    better = [group for group, clear in among_ten.items() if clear]
    if not better:
        return (
            "Without labels: not better than random weights, neither at the first try (R@1) nor among the first ten "
            "(R@10), which shows no learning."
        )
    named = f" ({_list(better)})" if len(better) < len(among_ten) else ""
    return (
        "Without labels: not better than random weights at the first try (R@1), but among the first ten (R@10) in "
        f"{len(better)} of {counted(len(among_ten), 'direction')}{named}: the encoders have begun to learn."
    )


def _few(found: Sequence[Measure]) -> list[str]:
    """A sentence where the intervals are wide because few samples were held out."""
    tested = max(row.tested for row in found)
    if tested >= FEW:
        return []
    return [
        f"Only {counted(tested, 'sample')} of the {found[0].split} split: the intervals are wide. Hold out more with "
        "`multiview split STORE NEW_STORE --split 60/10/30`, and give --data NEW_STORE."
    ]


def _beats(row: Measure, first: Mapping[tuple[str, str], Measure]) -> bool:
    other = first.get((row.group, row.facts["with"]))
    return other is None or row.value > other.value


def _list(groups: Sequence[str]) -> str:
    return ", ".join(groups[:MOST]) + f" and {len(groups) - MOST} more" * (len(groups) > MOST)


def _fused(first: Mapping[tuple[str, str], Measure]) -> list[str]:
    """One sentence on the sum of similarities, where it finds more than either of them alone."""
    rows = [row for (_, weights), row in first.items() if weights == FUSED]
    better = [row for row in rows if (m := margin_of(row, TRAINED)) and m.clear and _beats(row, first)]
    if not better:
        return []
    found = [f"{row.group} {100 * row.value:.1f} % (with {IN_WORDS[row.facts['with']]})" for row in better[:MOST]]
    return [
        f"The similarities of the encoders and of a model without a network, summed, find more: {', '.join(found)}."
    ]


def _ranks(rows: Sequence[Measure], searched: Collection[str]) -> list[str]:
    """A sentence on each view without a partner. searched: the views of which crops were found."""
    untrained = {row.group: row for row in rows if row.weights == RANDOM}
    lines = []
    for row in (row for row in rows if row.weights == TRAINED and row.group not in searched):
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
