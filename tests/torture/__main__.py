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
    chosen = arguments().parse_args()
    seed = time.time_ns() % 2**31 if chosen.seed is None else chosen.seed
    print(f"torture: {chosen.minutes:g} minutes, seed {seed} (again: make torture SEED={seed})", flush=True)
    os.environ.update(HF_HUB_OFFLINE="1", ACCELERATE_USE_CPU="true")
    import torch

    torch.set_num_threads(1)
    import multiview.run  # noqa: F401 (imported once, so that forked processes have everything)
    from torture import campaign
    from torture.attempts import attempt
    from torture.ground import Ground, made

    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        os.chdir(folder)
        # In a process of its own: this one must not have started threads when it forks.
        done = attempt(lambda: made(folder / "ground") and None, 600, folder)
        if done.kind != "right":
            print(done.text)
            return 1
        (folder / "work").mkdir()
        fight = campaign.Campaign(Ground(folder / "ground"), folder / "work", seed, chosen.only)
        if chosen.plant:
            fight.plant()
        tally = fight.run(time.monotonic() + 60 * chosen.minutes, chosen.rounds, chosen.kills)
        print(campaign.report(tally))
        return 1 if campaign.bad(tally) else 0


def arguments() -> argparse.ArgumentParser:
    """The options of the campaign."""
    parser = argparse.ArgumentParser(prog="make torture")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=None, help="stop after so many rounds of everything")
    parser.add_argument("--kills", type=int, default=20, help="kills of training, and of preprocessing, per round")
    parser.add_argument("--only", default="", help="cases whose name contains this text; `conditions`, `kill`")
    parser.add_argument("--plant", action="store_true", help="plant a fault, to see that the campaign finds it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
