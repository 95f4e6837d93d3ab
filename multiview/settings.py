"""Which runs are replicates: runs of one setting differ in the seed alone.

Between settings, runs of equal seeds are compared in pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from multiview.errors import MultiviewError
from multiview.measure.intervals import Margin
from multiview.measure.retrieval_sentences import FIRST_TRY
from multiview.measure.rows import EFFECTIVE_RANK, LINEAR, TRAINED, Measure
from multiview.measure.sentences import headline, linear_rows
from multiview.plurals import counted
from multiview.runs import config, environment, evaluation
from multiview.train.runfolder import CONFIG, ENVIRONMENT, NOT_COMPARED

SEED = "seed"
DATA, RECIPE = "data", "recipe"
NO_EFFECT = {
    *(
        f"train.{name}"
        for name in ("workers", "threads", "keep", "log_every", "save_every", "save_minutes", "answer_minutes")
    )
}
"""Options that name no number of the training: speed, and what is written when."""
FEWEST = 3
"""Seeds of a verdict: two differences are equal too easily by chance."""
ABSENT = "not an option"
GRAPH = ("views", "edges")
"""Options that are a mapping from the name of a part of the graph."""
KEPT, LEFT_OUT = "in the graph", "left out"
SETUP = "setup.json"
"""The record of a setup made in Python."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A run folder with an evaluation.

    options: what its settings are; None when it is unknown. data: the path or the name of its data.
    """

    name: str
    rows: tuple[Measure, ...]
    options: Mapping[str, Any] | None
    seed: int | None
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Runs that differ in the seed alone. title: A, B, ... and the options that differ."""

    letter: str
    title: str
    runs: tuple[Evaluated, ...]


def evaluated(folder: Path, name: str) -> Evaluated:
    """The evaluation and the options of a folder, which may lack everything but evaluation.json."""
    rows = evaluation(folder) or ()
    if not any(row.measure in (LINEAR, FIRST_TRY, EFFECTIVE_RANK) for row in rows):
        raise MultiviewError(f"{folder} has no evaluation.json; run `multiview evaluate {folder}` first.")
    return with_options(folder, name, rows)


def with_options(folder: Path, name: str, rows: Sequence[Measure]) -> Evaluated:
    """The rows of a folder with its options; the folder may lack config.yaml."""
    if not (folder / CONFIG).is_file():
        return Evaluated(name=name, rows=tuple(rows), options=None, seed=None)
    options = dict(_flat(config(folder)))
    seed = options.get(SEED, 0)
    facts = environment(folder) if (folder / ENVIRONMENT).is_file() else {}
    data = str(options.get(DATA))
    options[DATA] = facts.get("data", {}).get("manifest") or options.get(DATA)
    options[RECIPE] = facts.get("recipe")
    options |= _of_python(folder)
    kept = {k: v for k, v in options.items() if k not in {SEED, *NOT_COMPARED, *NO_EFFECT}}
    return Evaluated(name=name, rows=tuple(rows), options=kept, seed=seed, data=data)


def _of_python(folder: Path) -> dict[str, Any]:
    """Views, encoders, edges and tuning of a run of `mv.fit`, which has no options for them."""
    try:
        record = json.loads((folder / SETUP).read_text(encoding="utf-8"))
        edges = {"-".join(edge["views"]): edge for edge in record["edges"]}
        parts = {name: record[name] for name in ("views", "encoders", "tuning")}
        return dict(_flat({**parts, "edges": edges}, "setup."))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"setup": f"a damaged {SETUP} in {folder}"}


def _flat(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted name; edges are a list of mappings with one name each."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif (named := _named(value)) is not None:
            yield from _flat(named, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _named(value: object) -> dict[str, Any] | None:
    """A list of mappings with one name each as one mapping; None where names are equal."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) and len(each) == 1 for each in value):
        return None
    named = {name: own for each in value for name, own in each.items()}
    return named if value and len(named) == len(value) else None


def settings(runs: Sequence[Evaluated]) -> list[Setting]:
    """The runs by setting, in the order of the runs; a run with unknown options stands alone."""
    groups: list[list[Evaluated]] = []
    for run in runs:
        same = (g for g in groups if run.options is not None and g[0].options == run.options)
        found = next(same, None)
        groups.append([run]) if found is None else found.append(run)
    known = [i for i, group in enumerate(groups) if group[0].options is not None]
    values = differing([groups[i][0] for i in known])
    said = {i: [f"{name} {_short(each[n])}" for name, each in values.items()] for n, i in enumerate(known)}
    return [
        Setting(letter=_letter(i), title=f"{_letter(i)}: {_title(group, said.get(i, []))}", runs=tuple(group))
        for i, group in enumerate(groups)
    ]


def differing(runs: Sequence[Evaluated]) -> dict[str, list[str]]:
    """The options that are not the same in all runs: name -> its value in every run, in words.

    A view or an edge that some runs lack, and that is equal in the others, is one line.
    """
    options = [run.options or {} for run in runs]
    rows = {name: [each.get(name, ABSENT) for each in options] for name in dict.fromkeys(n for o in options for n in o)}
    rows = {name: row for name, row in rows.items() if len({repr(value) for value in row}) > 1}
    if DATA in rows:
        rows[DATA] = [f"{run.data} ({str(value)[:8]})" for run, value in zip(runs, rows[DATA], strict=True)]
    parts: dict[str, list[str]] = {}
    for name in rows:
        parts.setdefault(_part(name), []).append(name)
    said: dict[str, list[str]] = {}
    for part, names in parts.items():
        there = _there(part, options) if part else [True] * len(options)
        alike = not any(_differ(list(compress(rows[name], there))) for name in names)
        if alike and not all(there):
            said[part] = [KEPT if each else LEFT_OUT for each in there]
        else:
            said |= {name: [str(value) for value in rows[name]] for name in names}
    return said


def _part(name: str) -> str:
    """`views.depth` of `views.depth.encoder.name`; "" for an option of no view and no edge."""
    kind, _, rest = name.partition(".")
    return f"{kind}.{rest.partition('.')[0]}" if kind in GRAPH and rest else ""


def _there(part: str, options: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each of the runs has any option of a view or an edge."""
    return [any(name == part or name.startswith(f"{part}.") for name in each) for each in options]


def _differ(values: Sequence[object]) -> bool:
    return len({repr(value) for value in values}) > 1


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"S{number + 1}"


def _title(group: Sequence[Evaluated], said: Sequence[str]) -> str:
    names = ", ".join(run.name for run in group)
    if group[0].options is None:
        return f"{names} (no {CONFIG}, so its options are unknown)"
    return f"{names} ({', '.join(said) or 'the only known options'})"


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:12]}..."


def paired_tests(found: Sequence[Setting]) -> list[str]:
    """A sentence for every two settings: the difference over their common seeds."""
    return [_paired(a, b) + _of_other_data(a, b) for a, b in combinations(found, 2)]


def _of_other_data(a: Setting, b: Setting) -> str:
    differ = _differ([(each.runs[0].options or {}).get(DATA) for each in (a, b)])
    return ". Their data differ: this says nothing unless both were tested on the same samples" if differ else ""


def _paired(a: Setting, b: Setting) -> str:
    title = f"{a.letter} minus {b.letter}"
    ours, theirs = ({run.seed: run for run in each.runs if run.seed is not None} for each in (a, b))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return f"{title}: no common seed, so no test. Train both settings with the same seeds."
    values = [(_value(ours[seed].rows), _value(theirs[seed].rows)) for seed in seeds]
    names = {name for pair in values for name, _ in pair}
    if len(names) > 1:
        return f"{title}: they measured different things ({', '.join(sorted(names))}), so no test."
    differences = [x - y for (_, x), (_, y) in values]
    what, of = names.pop(), ", ".join(map(str, seeds))
    if len(seeds) == 1:
        return f"{title}: {100 * differences[0]:+.1f} points of {what} (seed {of}; one seed each: no test)"
    return f"{title}: {_tested(differences, what, of)}"


def _tested(differences: list[float], what: str, seeds: str) -> str:
    m = t_interval(differences)
    beyond = "beyond noise" if len(differences) >= FEWEST else f"no verdict below {FEWEST} seeds"
    verdict = "within noise" if m.noise else beyond
    return f"{m.in_words} points of {what}, paired over {counted(len(differences), 'seed')} ({seeds}): {verdict}"


def t_interval(differences: Sequence[float]) -> Margin:
    """The mean of two differences or more, with the 95 % interval of the paired t-test."""
    from scipy.stats import t

    n, mean = len(differences), fmean(differences)
    half = float(t.ppf(0.975, n - 1)) * stdev(differences) / sqrt(n)
    return Margin(mean, mean - half, mean + half)


def value_of(rows: Sequence[Measure]) -> tuple[str, float] | None:
    """What settings are compared by: the linear probe, else the mean R@1 of all directions.

    None when neither, nor an effective rank, was measured.
    """
    return _value(rows) if any(row.measure in (LINEAR, FIRST_TRY, EFFECTIVE_RANK) for row in rows) else None


def _value(rows: Sequence[Measure]) -> tuple[str, float]:
    probed = linear_rows(rows)
    if probed:
        head = headline(probed)[0]
        return f"linear accuracy of {'+'.join(head.views)}", head.value
    first = [row.value for row in rows if row.measure == FIRST_TRY and row.weights == TRAINED]
    if first:
        return f"mean R@1 of {counted(len(first), 'direction')}", fmean(first)
    spread = [row for row in rows if row.measure == EFFECTIVE_RANK and row.weights == TRAINED]
    return f"effective rank of {spread[0].group} / width", spread[0].value / spread[0].width
