"""Tests the claims of docs/evidence/claims.yaml and writes docs/evidence.md and its drawing.

make evidence ARGS="--sets FOLDER"            every claim, 5 seeds; FOLDER holds the archives
make evidence ARGS="segments draws --plan"    what these two would train
make evidence ARGS="--page"                   only the page, from the results that are there

A stopped call goes on where it was: finished runs are not repeated. Claims of one `study` share the
runs of variants of one name. The claims about lightly need it installed: pip install lightly.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from _evidence_drawing import drawing
from _evidence_page import page
from _evidence_result import result_of
from _evidence_sets import data_of
from _evidence_variants import LIGHTLY, of_loop, plan_of

from multiview.exits import FAILED, stopped_by
from multiview.study.plan import LOGS, Plan, write_plan
from multiview.study.pool import Pool, processes_for

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
FOLDER = DOCS / "evidence"


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
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE / "plugins"), os.environ.get("PYTHONPATH")]))
    said = yaml.safe_load((FOLDER / "claims.yaml").read_text("utf-8"))
    chosen = [each for each in said["claims"] if not given.claims or each["name"] in given.claims]
    for claim in chosen if not given.page else ():
        if "waits_for" not in claim:
            tested(claim, said["data"], given)
            if not given.plan:
                write(said)
    if given.page:
        write(said)
    return 0


def write(said: Mapping[str, Any]) -> None:
    """Writes the page and its drawing from the results that are there."""
    (DOCS / "evidence.md").write_text(page(said["claims"], said["data"], FOLDER), "utf-8")
    (FOLDER / "differences.svg").write_text(drawing(said["claims"], FOLDER), "utf-8")


def tested(claim: Mapping[str, Any], sets: Mapping[str, Any], given: argparse.Namespace) -> None:
    """Trains the runs of one claim and writes its result."""
    name, study = claim["name"], given.work / claim.get("study", claim["name"])
    data = data_of(sets[claim["data"]], claim["data"], given.work, given.sets)
    if data is None:
        print(f"{name}: the archive {sets[claim['data']]['archive']} is missing; give its folder with --sets")
        return
    plan = plan_of(claim, data, given.seeds)
    jobs = plan.jobs(study)
    print(f"{name}: {sum(not job.done for job in jobs)} of {len(jobs)} runs to train", flush=True)
    if given.plan:
        return
    train(study, of_loop(claim, plan, None), given.processes)
    train_by_lightly(study, of_loop(claim, plan, LIGHTLY))
    if result := result_of(claim, plan, study):
        (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        print(f"{name}: {result['verdict']}", *result["differences"], sep="\n  ", flush=True)


def train(study: Path, plan: Plan, processes: int) -> None:
    """Trains what is not finished; ends the program when a run stops or fails."""
    write_plan(study, plan)
    left = sum(not job.done for job in plan.jobs(study))
    pool = Pool(study, plan.jobs(study), lambda text: print(f"  {text}", flush=True), processes_for(left, processes))
    pool.run()
    if pool.stopped or pool.failed:  # a claim is judged when all of its runs are whole
        sys.exit(stopped_by(pool.stopped) if pool.stopped else FAILED)


def train_by_lightly(study: Path, plan: Plan) -> None:
    """Trains what is not finished by lightly, in one process."""
    if all(job.done for job in plan.jobs(study)):
        return
    if find_spec("lightly") is None:
        print("lightly is not installed; pip install lightly")
        return
    write_plan(study, plan)
    with (study / LOGS / "lightly.log").open("a") as log:
        words = [sys.executable, str(HERE / "_lightly.py"), str(study)]
        subprocess.run(words, check=True, stdout=log, stderr=log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
