"""The page of the evidence: what each claim's runs measured, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from multiview.plurals import counted
from multiview.settings import t_interval

HOLDS, FAILS, NOT_RUN = "HOLDS", "DOES NOT HOLD", "not run yet"
HEAD = """# Evidence

Written by `make evidence` from the files in `docs/evidence/`; do not edit this page by hand. The claims are entries of
[claims.yaml](evidence/claims.yaml).

Every variant of a claim is trained with the same seeds. A number is the mean over seeds with its 95 % interval (t);
differences are paired over seeds. *random*: the same encoders before training. *raw*: the values themselves without an
encoder. All probes of a claim see the same number of dimensions. Core-minutes are CPU time of training and evaluation
of all seeds. A claim holds when the interval of the paired difference lies above zero; a claim of equality holds when
the interval lies within the points that it names. A claim that does not hold is printed like any other.

The budgets are small (32 px, a few hundred steps, narrow encoders): the claims are about these budgets.
"""


def page(claims: Sequence[Mapping[str, Any]], data: Mapping[str, Any], folder: Path) -> str:
    """The text of docs/evidence.md."""
    results = {each["name"]: _result(folder / f"{each['name']}.json") for each in claims}
    parts = [HEAD, _overview(claims, results)]
    parts += [_section(each, data, result) for each in claims if (result := results[each["name"]])]
    return "\n".join(parts)


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
    about = data[claim["data"]]["about"]
    lines = [
        f"## {claim['name'].replace('_', ' ').capitalize()}\n",
        f"{claim['claim']} **{result['verdict']}**.\n",
        f"Data: {about}. Measure: {NAMES.get(claim['measure'], claim['measure'])}. "
        f"{counted(len(result['seeds']), 'seed')}; commit {result['commit']}, {result['date']}.\n",
        "| variant | trained % | random % | raw % | core-minutes |",
        "|---|---|---|---|---|",
    ]
    for name, runs in result["variants"].items():
        cells = [interval_text(runs[kind]) for kind in ("trained", "random", "raw")]
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(runs['cpu_seconds']) / 60:.1f} |")
    lines += ["", *(f"- {sentence}" for sentence in result["differences"]), ""]
    common = " ".join(f"`{word}`" for word in claim["words"])
    lines.append(f"Trained by `multiview train {claim['recipe']}` with {common}; the variants add:\n")
    for name, words in claim["variants"].items():
        lines.append(f"- {name}: {' '.join(f'`{word}`' for word in words) or 'nothing'}")
    return "\n".join([*lines, ""])


NAMES = {"probe": "linear probe of all views together", "R@1": "mean R@1 over all directions between views"}


def interval_text(values: Sequence[float | None]) -> str:
    """`43.1 [41.0, 45.2]`; without the interval for one value, `-` for none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(known) == 1:
        return f"{100 * known[0]:.1f}"
    margin = t_interval(known)
    return f"{100 * fmean(known):.1f} [{100 * margin.low:.1f}, {100 * margin.high:.1f}]"
