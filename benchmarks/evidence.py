"""Tests the claims of docs/evidence/claims.yaml and writes docs/evidence.md.

make evidence ARGS="--sets FOLDER"            every claim, 5 seeds; FOLDER holds the archives
make evidence ARGS="segments draws --plan"    what these two would train
make evidence ARGS="--page"                   only the page, from the results that are there

A stopped call goes on where it was: finished runs are not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from _evidence_page import FAILS, HOLDS, page
from _evidence_sets import data_of

from multiview.exits import FAILED, stopped_by
from multiview.measure.rows import RANDOM
from multiview.settings import t_interval
from multiview.study.outcome import FOUND, Outcome, outcomes
from multiview.study.plan import BASE, OPTION, Plan, Variant, write_plan
from multiview.study.pool import Pool, processes_for
from multiview.study.verdict import Difference, difference_of

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "evidence"
KINDS = ("random", "raw")
"""The controls on the page."""


def main(argv: Sequence[str]) -> int:
    """Runs the named claims, or all, and writes results and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", help="names of claims (default: all, in the order of the file)")
    parser.add_argument("--sets", type=Path, help="folder with the archives of the sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--plan", action="store_true", help="print what would be trained")
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args(argv)
    said = yaml.safe_load((FOLDER / "claims.yaml").read_text("utf-8"))
    chosen = [each for each in said["claims"] if not given.claims or each["name"] in given.claims]
    for claim in chosen if not given.page else ():
        if "waits_for" not in claim:
            tested(claim, said["data"], given)
            if not given.plan:
                (DOCS / "evidence.md").write_text(page(said["claims"], said["data"], FOLDER), "utf-8")
    if given.page:
        (DOCS / "evidence.md").write_text(page(said["claims"], said["data"], FOLDER), "utf-8")
    return 0


def tested(claim: Mapping[str, Any], sets: Mapping[str, Any], given: argparse.Namespace) -> None:
    """Trains the runs of one claim and writes its result."""
    name, study = claim["name"], given.work / claim["name"]
    data = data_of(sets[claim["data"]], claim["data"], given.work, given.sets)
    if data is None:
        print(f"{name}: the archive {sets[claim['data']]['archive']} is missing; give its folder with --sets")
        return
    plan = plan_of(claim, data, given.seeds)
    left = sum(not job.done for job in plan.jobs(study))
    print(f"{name}: {left} of {len(plan.jobs(study))} runs to train", flush=True)
    if given.plan:
        return
    write_plan(study, plan)
    processes = processes_for(left, given.processes)
    pool = Pool(study, plan.jobs(study), lambda text: print(f"  {text}", flush=True), processes)
    pool.run()
    if pool.stopped or pool.failed:  # a claim is judged when all of its runs are whole
        sys.exit(stopped_by(pool.stopped) if pool.stopped else FAILED)
    if result := result_of(claim, outcomes(study, plan)):
        (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(f"{name}: {result['verdict']}", *result["differences"], sep="\n  ", flush=True)


def plan_of(claim: Mapping[str, Any], data: str, seeds: int) -> Plan:
    """The plan of a claim: its variants, the first of which is the base."""
    words = (*claim["words"], f"--data={data}", "--train.knn_every=0", "--evaluate=false")
    variants = tuple(
        Variant(
            name=name,
            kind=OPTION if number else BASE,
            subject=name,
            recipe=claim["recipe"],
            words=(*words, *own),
        )
        for number, (name, own) in enumerate(claim["variants"].items())
    )
    return Plan(variants=variants, seeds=tuple(range(seeds)), gradients=False, controls=(RANDOM,))


def result_of(claim: Mapping[str, Any], found: Mapping[Variant, Sequence[Outcome]]) -> dict[str, Any] | None:
    """The numbers of every variant, the differences and the verdict; None without runs."""
    if not all(found.values()):
        return None
    base, *others = found
    differences = {each.name: _difference(claim, found[base], found[each]) for each in others}
    return {
        "claim": claim["claim"],
        "verdict": _verdict(claim, found[base], list(differences.values())),
        "differences": [
            f"{base.name} minus {name}: {_points(each)}" for name, each in differences.items() if each is not None
        ],
        "seeds": [run.seed for run in found[base]],
        "variants": {variant.name: _numbers(claim["measure"], runs) for variant, runs in found.items()},
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def _names(measure: str, run: Outcome) -> list[str]:
    return [name for name in run.values if name.startswith(f"{FOUND}/")] if measure == FOUND else [measure]


def _numbers(measure: str, runs: Sequence[Outcome]) -> dict[str, list[float | None]]:
    names = _names(measure, runs[0])
    controls = {kind: [_mean(run.controls, [f"{kind}/{name}" for name in names]) for run in runs] for kind in KINDS}
    return {
        "trained": [run.mean_of(names) for run in runs],
        **controls,
        "cpu_seconds": [run.cpu_seconds for run in runs],
    }


def _mean(values: Mapping[str, float], names: Sequence[str]) -> float | None:
    known = [values[name] for name in names if name in values]
    return round(sum(known) / len(known), 5) if known else None


def _difference(claim: Mapping[str, Any], base: Sequence[Outcome], other: Sequence[Outcome]) -> Difference | None:
    return difference_of(claim["measure"], base, other, _names(claim["measure"], base[0]))


def _points(each: Difference) -> str:
    ends = "" if each.low is None or each.high is None else f" [{100 * each.low:.1f}, {100 * each.high:.1f}]"
    return f"{100 * each.points:+.1f}{ends} points"


def _verdict(claim: Mapping[str, Any], base: Sequence[Outcome], found: Sequence[Difference | None]) -> str:
    if claim["expect"] == "untrained":
        return HOLDS if _not_below(claim["measure"], base) else FAILS
    known = [each for each in found if each is not None]
    ends = [(each.low, each.high) for each in known if each.low is not None and each.high is not None]
    if len(ends) < len(found):
        return f"{FAILS} (one seed: no interval)"
    if claim["expect"] == "equal":
        within = claim["within"] / 100
        return HOLDS if all(-within < low and high < within for low, high in ends) else FAILS
    if all(low > 0 for low, _ in ends):
        return HOLDS
    return f"{FAILS} (the opposite is clear)" if any(high < 0 for _, high in ends) else f"{FAILS} (no clear difference)"


def _not_below(measure: str, runs: Sequence[Outcome]) -> bool:
    """Whether the paired interval of trained minus random reaches above zero."""
    trained = [run.values[measure] for run in runs]
    untrained = [run.controls[f"random/{measure}"] for run in runs]
    return len(runs) > 1 and t_interval([x - y for x, y in zip(trained, untrained, strict=True)]).high > 0


def _commit() -> str:
    words = ["git", "-C", str(DOCS), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
