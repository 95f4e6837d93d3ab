"""Did it learn? The scores of a run, or of several, as a table and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from statistics import fmean, stdev

from rich.box import SIMPLE, Box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multiview.errors import MultiviewError
from multiview.measure.scores import Margin, Score, margin
from multiview.measure.view_subsets import BESIDE, CONCAT
from multiview.plurals import counted

Cell = tuple[float | None, str]
UNKNOWN: Cell = (None, "-")
PLAIN = Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)  # rich's SIMPLE, for files and pipes


def verdict(rows: Sequence[Score]) -> str:
    """One sentence on `concat` (or the only view): linear accuracy, margins over the controls, and whether it learned.

    It learned when it beats every control beyond noise: when the 95 % interval of each `margin` lies above zero.
    """
    subject, *controls = _headline(rows)
    margins = {control.features: _over(subject, control) for control in controls}
    told = "".join(
        f", {100 * m.points:+.1f} ± {50 * (m.high - m.low):.1f} over {name}{' (within noise)' * m.noise}"
        for name, m in margins.items()
    )
    return f"{_title(rows)}: linear {100 * subject.linear:.1f} %{told}{_conclusion(margins)}"


def render(rows: Sequence[Score], console: Console) -> None:
    """Prints one run: a row a view, columns of the feature sets and of the margins over the controls, and `verdict`."""
    _print({"": rows}, verdict(rows), console)


def compare(tables: Mapping[str, Sequence[Score]], console: Console) -> None:
    """Prints several runs of one recipe, say three seeds (run name -> scores): all values, mean, std, the answer.

    std is the standard deviation of a sample (n - 1); margins are taken within each run.
    """
    if not tables:
        raise MultiviewError("there is no run to compare; name one run or more.")
    _print(tables, _verdict_of_runs(list(tables.values())), console)


def _over(subject: Score, control: Score) -> Margin:
    return margin(subject.linear, control.linear, subject.test, control.test)


def _headline(rows: Sequence[Score]) -> list[Score]:
    """The rows that the answer is about: those of `concat`, or of the last group of views; the subject first."""
    views = [row.view for row in rows]
    return [row for row in rows if row.view == (CONCAT if CONCAT in views else views[-1])]


def _title(rows: Sequence[Score]) -> str:
    head = _headline(rows)[0].view
    return head if head != CONCAT else "+".join(dict.fromkeys(row.view for row in rows if _single(row)))


def _single(row: Score) -> bool:
    return row.view != CONCAT and BESIDE not in row.view


def _names(rows: Sequence[Score]) -> list[str]:
    return list(dict.fromkeys(row.features for row in rows))


def _conclusion(margins: Mapping[str, Margin]) -> str:
    beaten = [name for name, m in margins.items() if m.clear]
    missed = [name for name, m in margins.items() if not m.clear]
    if not margins:
        return ". No control was measured, so whether it learned cannot be said."
    if not missed:
        return ": it learned."
    if missed[0] == next(iter(margins)):
        return f". Not better than {' or '.join(missed)}: it has not learned anything that the probe sees."
    return f". Better than {' and '.join(beaten)} but not than {' or '.join(missed)}: training helped, not enough."


def _verdict_of_runs(runs: Sequence[Sequence[Score]]) -> str:
    heads = [_headline(rows) for rows in runs]
    count = counted(len(runs), "run")
    lines = [f"{_title(runs[0])}, mean of {count}: linear {_spread([head[0].linear for head in heads], '.1f', ' %')}"]
    for name in dict.fromkeys(row.features for head in heads for row in head[1:]):
        margins = [_over(head[0], row) for head in heads for row in head[1:] if row.features == name]
        clear = f"beyond noise in {sum(m.clear for m in margins)} of {len(margins)}"
        lines.append(f"  {_spread([m.points for m in margins], '+.1f')} over {name}, {clear}")
    learned = sum(len(head) > 1 and all(_over(head[0], row).clear for row in head[1:]) for head in heads)
    return "\n".join([*lines, f"It learned in {learned} of {count}."])


def _spread(values: Sequence[float], style: str, unit: str = "") -> str:
    mean, low, high = (f"{100 * value:{style}}" for value in (fmean(values), min(values), max(values)))
    return f"{mean}{unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def _print(runs: Mapping[str, Sequence[Score]], answer: str, console: Console) -> None:
    if console.is_terminal:
        console.print(_table(runs, SIMPLE))
    else:
        # A file or a pipe has no width: nothing is folded or padded there, so that lines stay whole for grep and diff.
        wide = Console(file=StringIO(), width=1000, color_system=None)
        with wide.capture() as captured:
            wide.print(_table(runs, PLAIN))
        text = "\n".join(line.rstrip() for line in captured.get().splitlines())
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    whole = not console.is_terminal
    for note in _notes(list(runs.values())):
        console.print(note, markup=False, highlight=False, soft_wrap=whole, style="dim")
    console.print()
    console.print(answer, markup=False, highlight=False, soft_wrap=whole, style="bold")


def _table(runs: Mapping[str, Sequence[Score]], box: Box) -> Table:
    """A block of rows for every view: each run, then mean and standard deviation of several."""
    rows = [row for run in runs.values() for row in run]
    names = _names(rows)
    several = len(runs) > 1
    table = Table(box=box, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("view", "run") if several else ("view",):
        table.add_column(heading, vertical="bottom")
    for kind, of in (("linear", names), ("over", names[1:]), ("kNN", names)):
        for name in of:
            heading = escape("\n".join([kind, *name.split()]))
            table.add_column(heading, justify="right", vertical="bottom", style="bold" if name == names[0] else "")
    for view in sorted(dict.fromkeys(row.view for row in rows), key=lambda name: name == CONCAT):
        lines = {name: _cells(run, view, names) for name, run in runs.items()}
        block = [(name, [text for _, text in cells]) for name, cells in lines.items()]
        if several:
            block += _summary(list(lines.values()), signed=range(len(names), 2 * len(names) - 1))
        for i, (name, texts) in enumerate(block):
            table.add_row("" if i else escape(view), *([escape(name)] if several else []), *texts)
        if several:
            table.add_section()
    return table


def _cells(rows: Sequence[Score], view: str, names: Sequence[str]) -> list[Cell]:
    """Value and text of linear, margins and kNN; a dash where this run did not measure it."""
    by_name = {row.features: row for row in rows if row.view == view}
    subject, *controls = found = [by_name.get(name) for name in names]
    margins = [_over(subject, control) if subject and control else None for control in controls]
    return (
        [(row.linear, f"{100 * row.linear:.1f}") if row else UNKNOWN for row in found]
        + [(m.points, _signed(m)) if m else UNKNOWN for m in margins]
        + [(row.knn, f"{100 * row.knn:.1f}") if row else UNKNOWN for row in found]
    )


def _signed(m: Margin) -> str:
    """The margin in points, in brackets when it is noise; a space stands for the bracket, so that columns line up."""
    return f"({100 * m.points:+.1f})" if m.noise else f"{100 * m.points:+.1f} "


def _summary(lines: Sequence[Sequence[Cell]], signed: range) -> list[tuple[str, list[str]]]:
    means, deviations = [], []
    for i, column in enumerate(zip(*lines, strict=True)):
        values = [100 * value for value, _ in column if value is not None]
        means.append((f"{fmean(values):+.1f} " if i in signed else f"{fmean(values):.1f}") if values else "-")
        deviations.append((f"{stdev(values):.1f}" if len(values) > 1 else "-") + " " * (i in signed))
    return [("mean", means), ("std", deviations)]


def _notes(runs: Sequence[Sequence[Score]]) -> list[str]:
    """What a reader must know to weigh the table: sizes, chance, and whatever is unusual."""
    heads = _headline(runs[0])
    head, chance = heads[0], 1 / heads[0].classes
    tuned = f"{head.val} validation" if head.val else "no validation (a fifth of train chose C)"
    notes = [
        f"{head.train} train, {tuned}, {counted(head.test, 'test sample')} of {head.classes} classes; "
        f"all features reduced to {head.dim} dimensions.",
        f"Accuracy in %: chance {100 * chance:.1f}, always the commonest class {100 * head.majority:.1f}. "
        "'over': linear above the control, in points.",
    ]
    if any(text.endswith(")") for run in runs for row in run for _, text in _cells(run, row.view, _names(run))):
        notes.append(f"In brackets: a difference within the noise of {counted(head.test, 'test sample')} (95 %).")
    if head.majority > 2 * chance:
        balanced = ", ".join(f"{row.features} {100 * row.balanced:.1f}" for row in heads)
        notes.append(f"The classes are uneven; balanced accuracy of the linear probe on {_title(runs[0])}: {balanced}.")
    return notes + _cautions(runs)


def _cautions(runs: Sequence[Sequence[Score]]) -> list[str]:
    cautions = []
    for what in ("dim", "train", "test", "classes"):
        values = sorted({getattr(_headline(run)[0], what) for run in runs})
        if len(values) > 1:
            cautions.append(
                f"Careful: {what} differs between the runs ({', '.join(map(str, values))}): they are not alike."
            )
    counts = {row.view: f"{row.view} {row.test}" for run in runs for row in run}
    if any(len({row.test for row in run}) > 1 for run in runs):
        cautions.append(
            "Some samples lack a view: what stands side by side is measured on the test samples that have all of it: "
            f"{', '.join(counts.values())}."
        )
    widest = max(row.dim for run in runs for row in run)
    narrow = [row for run in runs for row in run if row.dim < widest and len({other.dim for other in run}) > 1]
    whole = dict.fromkeys(f"{row.features} of {row.view} {row.dim}" for row in narrow if row.dim == row.width)
    few = dict.fromkeys(f"{row.view} {row.dim} of {row.train}" for row in narrow if row.dim < row.width)
    if whole:
        cautions.append(f"Fewer dimensions, because there are no more: {', '.join(whole)}.")
    if few:
        cautions.append(f"Fewer dimensions where train samples are few: {', '.join(few)}.")
    late = sorted({f"{row.features} {row.view}" for run in runs for row in run if not row.converged})
    if late:
        cautions.append(f"The linear probe ran out of iterations before it converged: {', '.join(late)}.")
    return cautions
