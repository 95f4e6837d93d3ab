"""The page of the evidence: what each claim's runs measured, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from _evidence_data import section_of_data
from _evidence_variants import words_of

from multiview.plurals import counted
from multiview.settings import t_interval

HOLDS, FAILS, NOT_RUN = "HOLDS", "DOES NOT HOLD", "not run yet"
HEAD = """# Evidence

Written by `make evidence` from the files in `docs/evidence/`; do not edit this page by hand. The claims are entries of
[claims.yaml](evidence/claims.yaml).

Every variant of a claim is trained with the same seeds. A number is the mean over seeds with its 95 % interval (t);
differences are paired over seeds. *random*: the same encoders before training. *raw*: the values themselves without an
encoder. All probes of a claim see as many numbers of each sample, which every section names. Core-minutes are CPU time
of training and evaluation of all seeds.

A claim that one setting is better holds when the interval of the paired difference lies above zero, or above the
points that the claim asks for. A claim of equality holds when the interval lies within the points that the claim
names on both sides; a claim that a setting is not worse, when it lies above minus these points. A claim that does not
hold is printed like any other. The intervals are about the seeds: the test samples of a claim are the same in all of
its runs. Claims with the same base share its runs, and so its luck. Of twenty such intervals about one misses the
truth by chance. The claims about segments and about crops were first seen in trials on the same sets, test samples
included: for these two the page repeats a finding, it does not test it on new data.

[Any data by one command](#any-data-by-one-command), at the end, is no claim: it shows what `auto` and the recipes find
on every set of real data with nothing but `--data`, and says why where training does not win.

The budgets are small (32 px, a few hundred steps, narrow encoders): the claims are about these budgets. Core-minutes
were measured on a machine that other programs used too, which makes them larger.
"""


DRAWING = """![Paired differences of every measured claim, with their 95 % intervals](evidence/differences.svg)
"""


def page(claims: Sequence[Mapping[str, Any]], data: Mapping[str, Any], folder: Path) -> str:
    """The text of docs/evidence.md."""
    results = {each["name"]: _result(folder / f"{each['name']}.json") for each in claims}
    parts = [HEAD, _overview(claims, results), DRAWING]
    parts += [_section(each, data, result) for each in claims if (result := results[each["name"]])]
    return "\n".join([*parts, *filter(None, [section_of_data(folder / "data")])])


def _result(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def _overview(claims: Sequence[Mapping[str, Any]], results: Mapping[str, Any]) -> str:
    lines = ["| claim | result | seeds |", "|---|---|---|"]
    for each in claims:
        result = results[each["name"]]
        said = result["verdict"] if result else NOT_RUN
        if not result and "waits_for" in each:
            said = f"{NOT_RUN}; needs {each['waits_for']}"
        lines.append(f"| {each['claim']} | {said} | {len(result['seeds']) if result else ''} |")
    return "\n".join([*lines, ""])


def _section(claim: Mapping[str, Any], data: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    lines = [
        f"## {claim['name'].replace('_', ' ').capitalize()}\n",
        f"{claim['claim']} **{result['verdict']}**.\n",
        f"Data: {data[claim['data']]['about']}. Measure: {NAMES.get(claim['measure'], claim['measure'])}"
        f"{_width(result)}. {_allowed(claim)}{counted(len(result['seeds']), 'seed')}; commit {result['commit']}, "
        f"{result['date']}.\n",
        *_table(result),
        "",
        *(f"- {sentence}" for sentence in result["differences"]),
        *(f"- {name} minus its random weights: {points}" for name, points in result.get("over_random", {}).items()),
        *_plain(result),
        *([f"- {claim['note']}"] if "note" in claim else []),
        "",
        *_commands(claim),
    ]
    return "\n".join([*lines, ""])


def _width(result: Mapping[str, Any]) -> str:
    """How many numbers the probes saw; several widths are unequal, which a reader must know."""
    widths = result.get("widths", ())
    return f", on {' or '.join(map(str, widths))} numbers{' (NOT EQUAL)' * (len(widths) > 1)}" if widths else ""


def _allowed(claim: Mapping[str, Any]) -> str:
    by = f"Asked for: a difference of {claim['by']} points. " if "by" in claim else ""
    return f"Allowed: {claim['within']} points. " if "within" in claim else by


def _table(result: Mapping[str, Any]) -> list[str]:
    lines = ["| variant | trained % | random % | raw % | core-minutes |", "|---|---|---|---|---|"]
    for name, runs in result["variants"].items():
        cells = [interval_text(runs[kind]) for kind in ("trained", "random", "raw")]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(runs['cpu_seconds']) / 60:.1f} |")
    return lines


def _plain(result: Mapping[str, Any]) -> list[str]:
    """Models without a network, where views are searched."""
    names = {"ridge": "ridge regression", "cca": "CCA"}
    found = [f"{names[kind]} {100 * value:.1f} %" for kind, value in result.get("plain", {}).items()]
    return [f"- without a network: {', '.join(found)}"] if found else []


def _commands(claim: Mapping[str, Any]) -> list[str]:
    common = " ".join(f"`{word}`" for word in claim["words"])
    lines = [f"Trained by `multiview train {claim['recipe']}` with {common}; the variants add:\n"]
    for name, variant in claim["variants"].items():
        words = " ".join(f"`{word}`" for word in words_of(claim, name)) or "nothing"
        own = (
            [OWN[key].format(value) for key, value in variant.items() if key in OWN]
            if isinstance(variant, dict)
            else []
        )
        lines.append(f"- {name}: {'; '.join([words, *own])}")
    return lines


OWN = {
    "measure": "measured: {}",
    "loop": "trained by {} in its own loop (core-minutes: its training and the evaluation)",
    "runs_of": "the runs of {}",
}
"""What a variant says beside its words."""
NAMES = {
    "probe": "linear probe of all views together",
    "R@1": "mean R@1 over all directions between views",
    "spread": "spread of the embeddings at the last step; 100 is a whole sphere, 0 a point",
}


def interval_text(values: Sequence[float | None]) -> str:
    """`43.1 [41.0, 45.2]`; without the interval for one value, `-` for none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(known) == 1:
        return f"{100 * known[0]:.1f}"
    margin = t_interval(known)
    return f"{100 * fmean(known):.1f} [{100 * margin.low:.1f}, {100 * margin.high:.1f}]"
