"""Measured rows in sentences: the verdict of one or several runs, and the notes below a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from multiview.measure.intervals import Margin, margin, paired_margin
from multiview.measure.lost import lost_neighbours
from multiview.measure.rows import BALANCED, CONCAT, LINEAR, STATISTICS, TOP1, Measure
from multiview.measure.scores import Score, measures_of
from multiview.plurals import counted

ONE_CLASS = (
    ". The probe gives the commonest class to all samples, with every encoder, so that it tells nothing about "
    "them: give more labelled samples, or see the rows with few labels a class."
)
NOTHING = "the probe of this label shows no learning."
FULL = 0.95
"""Accuracy of random weights that leaves training no room."""


def verdict(rows: Iterable[Measure | Score]) -> str:
    """Sentences: linear accuracy of all views, the margins over the controls, the conclusion.

    The run learned when it beats every control beyond noise: when the 95 % interval of each
    `margin` lies above zero. Where all views together do not, single groups of views may.
    """
    return " ".join(verdict_sentences(rows))


def verdict_sentences(rows: Iterable[Measure | Score]) -> list[str]:
    """The verdict, then what limits it: no room, statistics that know as much, lost neighbours."""
    rows = measures_of(rows)
    measures = linear_rows(rows)
    subject, *controls = headline(measures)
    margins = {control.weights_in_words: margin_over(subject, control) for control in controls}
    gains, wins = (_gains(measures, subject, [row.weights for row in some]) for some in (controls[:1], controls))
    no_room = _no_room(margins, controls)
    helped = "training helped." if no_room else "training helped, but not enough."
    conclusion = ONE_CLASS if knows_one_class([subject, *controls]) else _conclusion(margins, gains, wins, helped)
    first = f"{_title(subject)}: {_value_and_margins(subject, margins)}{conclusion}"
    return [first, *_fused(measures, subject), *no_room, *_statistics(rows, subject), *_neighbours(rows)]


def verdict_of_runs(runs: Sequence[Sequence[Measure]]) -> str:
    """The mean of several runs, the margins over each control, and how many runs learned."""
    heads = [headline(linear_rows(rows)) for rows in runs]
    count = counted(len(runs), "run")
    accuracies = _mean_and_range([head[0].value for head in heads], ".1f", " %")
    lines = [f"{_title(heads[0][0])}, mean of {count}: linear {accuracies}"]
    for name in dict.fromkeys(row.weights_in_words for head in heads for row in head[1:]):
        margins = [margin_over(head[0], row) for head in heads for row in head[1:] if row.weights_in_words == name]
        clear = f"beyond noise in {sum(m.clear for m in margins)} of {len(margins)}"
        lines.append(f"  {_mean_and_range([m.points for m in margins], '+.1f')} over {name}, {clear}")
    learned = sum(len(head) > 1 and all(margin_over(head[0], row).clear for row in head[1:]) for head in heads)
    return "\n".join([*lines, f"The encoders learned in {learned} of {count}."])


def notes(runs: Sequence[Sequence[Measure]]) -> list[str]:
    """Sentences that a reader needs to weigh the table: sizes, chance, and whatever is unusual."""
    heads = headline(linear_rows(runs[0]))
    head = heads[0]
    chance, majority = 1 / head.facts["classes"], head.facts["majority"]
    tests = counted(head.tested, "test sample")
    val = head.samples["val"]
    tuned = f"{val} validation" if val else "no validation (C was chosen on a fifth of train)"
    sentences = [
        f"{head.samples['train']} train, {tuned}, {tests} of {head.facts['classes']} classes; "
        f"every feature set was reduced to {head.width} dimensions before the evaluation.",
        f"Accuracy in %: chance {100 * chance:.1f}, always the commonest class {100 * majority:.1f}. "
        "'over': linear accuracy minus that of the control, in points.",
    ]
    if any(m.noise for rows in runs for m in _margins(linear_rows(rows))):
        sentences.append(f"In brackets: differences that may be chance on {tests} (their 95 % interval contains 0).")
    if majority > 2 * chance:
        recalls = [row for row in runs[0] if row.measure == BALANCED and row.group == head.group]
        balanced = ", ".join(f"{row.weights_in_words} {100 * row.value:.1f}" for row in recalls)
        sentences.append(
            f"The classes have unequal sizes; balanced accuracy of the linear probe on {_title(head)}: {balanced}."
        )
    return sentences + _cautions([linear_rows(rows) for rows in runs])


def linear_rows(rows: Iterable[Measure]) -> list[Measure]:
    """The rows of the linear probe, which the verdict and the notes are about."""
    return [row for row in rows if row.measure == LINEAR]


def headline(rows: Sequence[Measure]) -> list[Measure]:
    """The rows of all views together, or of the last group; the subject first, then controls."""
    groups = [row.group for row in rows]
    return [row for row in rows if row.group == (CONCAT if CONCAT in groups else groups[-1])]


def margin_over(subject: Measure, control: Measure) -> Margin:
    """How far the value of `subject` lies above that of `control`; paired on the same samples."""
    mine, other = subject.facts.get("hits"), control.facts.get("hits")
    if mine and other and subject.tested == control.tested:
        return paired_margin(mine, other, subject.tested)
    return margin(subject.value, control.value, subject.tested, control.tested)


def _title(row: Measure) -> str:
    return "+".join(row.views) if row.group == CONCAT else row.group


def _margins(rows: Sequence[Measure]) -> list[Margin]:
    """The margins of the first weights over the others, in every group of views that has them."""
    subjects = {row.group: row for row in rows if row.weights == rows[0].weights}
    controls = [row for row in rows if row.weights != rows[0].weights]
    return [margin_over(subjects[row.group], row) for row in controls if row.group in subjects]


def knows_one_class(heads: Sequence[Measure]) -> bool:
    """Whether every probe is right for the commonest class alone."""
    return len(heads) > 1 and all(row.value == row.facts["majority"] for row in heads)


def _fused(rows: Sequence[Measure], subject: Measure) -> list[str]:
    """A sentence on each fused embedding, which is no view of those side by side."""
    if subject.group != CONCAT:
        return []
    single = [row for row in rows if len(row.views) == 1 and row.views[0] not in subject.views]
    said = []
    for mine in (row for row in single if row.weights == subject.weights):
        controls = [row for row in single if row.group == mine.group and row.weights != mine.weights]
        margins = {control.weights_in_words: margin_over(mine, control) for control in controls}
        said.append(f"{mine.group} (views fused into one embedding): {_value_and_margins(mine, margins)}.")
    return said


def _value_and_margins(subject: Measure, margins: Mapping[str, Margin]) -> str:
    over = "".join(f", {m.in_words} over {name}{' (within noise)' * m.noise}" for name, m in margins.items())
    return f"linear {100 * subject.value:.1f} %{over}"


def _gains(rows: Sequence[Measure], subject: Measure, controls: Sequence[str]) -> list[str]:
    """The groups of fewer views that beat all of their controls beyond noise, in words."""
    found = []
    for mine in (row for row in rows if row.weights == subject.weights and len(row.views) < len(subject.views)):
        own = {row.weights: row for row in rows if row.group == mine.group and row.weights in controls}
        margins = {row.weights_in_words: margin_over(mine, row) for row in own.values()}
        if margins and all(m.clear for m in margins.values()):
            said = ", ".join(f"{m.in_words} over {name}" for name, m in margins.items())
            found.append(f"{mine.group} ({said})")
    return found


def _conclusion(margins: Mapping[str, Margin], gains: Sequence[str], wins: Sequence[str], helped: str) -> str:
    """gains, wins: groups of fewer views that beat the first control, and all controls.

    helped: what to say when the first control is beaten and another is not.
    """
    beaten = [name for name, m in margins.items() if m.clear]
    missed = _missed({name: m for name, m in margins.items() if not m.clear})
    if not margins:
        return ". No control was evaluated, so nobody can say whether the run learned."
    if not missed:
        return ": the encoders learned."
    if not margins[next(iter(margins))].clear:
        alone = f"; but {_by_themselves(gains, '')}"
        return f". {missed[0].upper()}{missed[1:]}" + (alone if gains else f": {NOTHING}")
    better = f". Better than {' and '.join(beaten)} but {missed}"
    alone = f"; {_by_themselves(wins, ' better than all controls')}"
    return better + (alone if wins else f": {helped}")


def _missed(margins: Mapping[str, Margin]) -> str:
    """`not better than random weights, and worse than raw pixels`, of controls not beaten."""
    alike = [name for name, m in margins.items() if m.noise]
    above = [name for name in margins if name not in alike]
    parts = [f"{how} than {' or '.join(names)}" for how, names in (("not better", alike), ("worse", above)) if names]
    return ", and ".join(parts)


def _by_themselves(groups: Sequence[str], better: str) -> str:
    """`by itself L (+3.8 over random weights) is: its encoder learned.`"""
    if len(groups) == 1:
        return f"by itself {groups[0]} is{better}: its encoder learned."
    return f"by themselves {' and '.join(groups)} are{better}: their encoders learned."


def _no_room(margins: Mapping[str, Margin], controls: Sequence[Measure]) -> list[str]:
    """A sentence where a control that is not beaten already reaches almost everything; else none.

    Raw values count where training is level with them; random weights also where it is worse.
    """
    for row in (row for row in controls if row.value >= FULL):
        name = row.weights_in_words
        over = margins[name]
        if over.noise or (row is controls[0] and not over.clear):
            return [
                f"{name[0].upper()}{name[1:]} already reach {100 * row.value:.1f} %, which leaves no room: judge by "
                "the rows with few labels a class, and by retrieval."
            ]
    return []


def _neighbours(rows: Iterable[Measure]) -> list[str]:
    """A sentence where kNN, which weighs no feature, finds the label worse than untrained."""
    lost = lost_neighbours(rows)
    if lost is None:
        return []
    trained, untrained = (f"{100 * value:.1f}" for value in lost)
    return [
        f"But nearest neighbours (kNN) know the label worse than with random weights ({trained} and {untrained} %)."
    ]


def _statistics(rows: Iterable[Measure], subject: Measure) -> list[str]:
    """A sentence where a probe of simple statistics of the raw values knows the label as well."""
    of_label = {"target": "label", "labels": "all", "probe": "linear"}.items()
    for row in rows:
        same = row.group == subject.group and row.weights == STATISTICS and row.measure == TOP1
        if same and of_label <= row.facts.items() and row.value >= subject.value:
            found = f"{100 * row.value:.1f} %"
            return [f"Simple statistics of the raw values tell as much or more, without a network: {found}."]
    return []


def _mean_and_range(values: Sequence[float], style: str, unit: str = "") -> str:
    mean, low, high = (f"{100 * value:{style}}" for value in (fmean(values), min(values), max(values)))
    return f"{mean}{unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def _cautions(runs: Sequence[Sequence[Measure]]) -> list[str]:
    """Sentences on what differs: between runs, between groups of views, between probes."""
    return [*_unlike_runs(runs), *_lacking_samples(runs), *_narrow_features(runs), *_unfinished_probes(runs)]


def _unlike_runs(runs: Sequence[Sequence[Measure]]) -> list[str]:
    heads = [headline(rows)[0] for rows in runs]
    values = {
        "dim": {head.width for head in heads},
        "train": {head.samples["train"] for head in heads},
        "test": {head.samples["test"] for head in heads},
        "classes": {head.facts["classes"] for head in heads},
    }
    return [
        f"{name} differs between the runs ({', '.join(map(str, sorted(different)))}), "
        "so their results are not comparable."
        for name, different in values.items()
        if len(different) > 1
    ]


def _lacking_samples(runs: Sequence[Sequence[Measure]]) -> list[str]:
    counts = {row.group: f"{row.group} {row.tested}" for rows in runs for row in rows}
    if all(len({row.tested for row in rows}) == 1 for rows in runs):
        return []
    return [
        "Some samples lack a view. A group of views is evaluated on the test samples that have all views of the group: "
        f"{', '.join(counts.values())}."
    ]


def _narrow_features(runs: Sequence[Sequence[Measure]]) -> list[str]:
    widest = max(row.width for rows in runs for row in rows)
    narrow = [row for rows in runs for row in rows if row.width < widest and len({r.width for r in rows}) > 1]
    whole, short = [row for row in narrow if _unreduced(row)], [row for row in narrow if not _unreduced(row)]
    of_features = dict.fromkeys(f"{row.weights_in_words} of {row.group} {row.width}" for row in whole)
    of_samples = dict.fromkeys(f"{row.group} {row.width} of {row.samples['train']}" for row in short)
    sentences = []
    if of_features:
        sentences.append(f"Fewer dimensions, because these features have no more: {', '.join(of_features)}.")
    if of_samples:
        sentences.append(f"Fewer dimensions, because there are few training samples: {', '.join(of_samples)}.")
    return sentences


def _unreduced(row: Measure) -> bool:
    return row.width == row.facts["extracted"]


def _unfinished_probes(runs: Sequence[Sequence[Measure]]) -> list[str]:
    unfinished = {f"{row.weights_in_words} {row.group}" for rows in runs for row in rows if not row.facts["converged"]}
    if not unfinished:
        return []
    return [f"The linear probe ran out of iterations before it converged: {', '.join(sorted(unfinished))}."]
