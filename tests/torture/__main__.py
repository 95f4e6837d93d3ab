"""python -m torture --minutes 20 [--seed N] [--kills N]: exits with 1 for any fault."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Prints the seed, runs, prints the counts."""
    parser = argparse.ArgumentParser(prog="make torture")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kills", type=int, default=20, help="kills of training, and of preprocessing, per round")
    parser.add_argument("--only", default="", help="cases whose name contains this text")
    chosen = parser.parse_args()
    seed = time.time_ns() % 2**31 if chosen.seed is None else chosen.seed
    print(f"torture: {chosen.minutes:g} minutes, seed {seed} (again: make torture SEED={seed})", flush=True)
    os.environ.update(HF_HUB_OFFLINE="1", ACCELERATE_USE_CPU="true")
    import torch

    torch.set_num_threads(1)
    import multiview.run  # noqa: F401 (imported once, so that forked processes have everything)
    from torture import campaign
    from torture.ground import made

    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        os.chdir(folder)
        # In a process of its own: this one must not have started threads when it forks.
        from torture.attempts import attempt

        done = attempt(lambda: made(folder / "ground") and None, 300, folder)
        if done.kind != "right":
            print(done.text)
            return 1
        from torture.ground import Ground

        work = folder / "work"
        work.mkdir()
        fight = campaign.Campaign(Ground(folder / "ground"), work, seed)
        if chosen.only:
            every = campaign.cases
            campaign.cases = lambda ground: [case for case in every(ground) if chosen.only in case.name]
        tally = fight.run(time.monotonic() + 60 * chosen.minutes, kill_count=chosen.kills)
        print(campaign.report(tally))
        return 1 if campaign.bad(tally) else 0


if __name__ == "__main__":
    sys.exit(main())
