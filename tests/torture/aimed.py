"""Kills of training aimed at moments: the start, steps, saves, online kNN, the final evaluation.

PYTHONPATH=tests python -m torture.aimed --kills 1000 --seed 1
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from . import ends
from .lives import ENDED, EVALUATION, KNN, SAVE, START, STEP, Life, live

WEIGHTS = {SAVE: 0.5, STEP: 0.2, START: 0.17, EVALUATION: 0.08, KNN: 0.05}
"""How often each moment is aimed at."""

COMMON: tuple[str, ...] = (
    "--batch",
    "16",
    "--size",
    "16",
    "--width",
    "0.25",
    "--threads",
    "1",
    "--workers",
    "0",
    "--knn_every",
    "2",
)
COMMON += ("--steps", "16", "--epochs", "4")
EPOCHS = ("--save_every", "1")
STEPS = ("--save_minutes", "0.000001")
UNMEASURED = ("--evaluate", "false")
SETUPS: dict[str, tuple[str, ...]] = {
    "mixed, accumulated": ("mixed", "--log_every", "4", "--accumulate", "2", *STEPS, *UNMEASURED),
    "CMC, nce": ("cmc_lab", "--log_every", "5", "--objective.variant", "nce", *STEPS),
    "MoCo, SGD": ("moco", "--log_every", "3", "--optimizer.name", "sgd", *STEPS, *UNMEASURED),
    "SimCLR, micro-batches": ("simclr", "--log_every", "2", "--micro_batch", "8", *EPOCHS, *UNMEASURED),
    "SimSiam, LARS": ("simsiam", "--log_every", "1", "--optimizer.name", "lars", *EPOCHS),
}
"""Runs of 16 steps, 4 in an epoch, that save after every step or after every epoch."""


@dataclass
class Count:
    """What happened: kills by the moment in which the process died, ends, and what was wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    aims: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    resumed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """The number of kills."""
        return sum(self.kills.values())


class Runs:
    """Unbroken runs of all setups, and broken ones beside them."""

    def __init__(
        self, data: Path, folder: Path, draw: random.Random, setups: Sequence[str] = tuple(SETUPS), loud: bool = False
    ) -> None:
        self.data, self.folder, self.draw, self.setups, self.loud = data, folder, draw, setups, loud
        self.count = Count()
        self.usual: dict[str, Life] = {}

    def kill(self, kills: int, until: float = float("inf")) -> Count:
        """Kills runs of all setups in turn until enough kills, a difference or the time is over."""
        while self._goes_on(kills, until):
            for name in self.setups:
                if self._goes_on(kills, until):
                    self._one_run(name, kills, until)
        return self.count

    def _goes_on(self, kills: int, until: float) -> bool:
        return self.count.killed < kills and not self.count.wrong and time.monotonic() < until

    def _one_run(self, name: str, kills: int, until: float) -> None:
        """One run, killed and continued until it reaches its end, then compared."""
        usual, broken = self._unbroken(name), self.folder / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        code = -1
        while code < 0 and self._goes_on(kills, until):
            code = self._one_life(name, broken, usual)
        if code < 0:  # enough kills: the run goes on undisturbed to its end
            code = live(lambda: train(name, self.data, broken)).code
        self.count.ends[name] += 1
        faults = ends.differences(broken, self.folder / name) if code == 0 else [f"exit code {code}"]
        if self.loud:
            print(f"{self.count.killed} kills, {self.count.ends.total()} ends", flush=True)
        self.count.wrong += [f"{name}, killed and continued: {fault}" for fault in faults]

    def _one_life(self, name: str, broken: Path, usual: Life) -> int:
        """Starts or continues the run and kills it; -9 when it was killed, else its exit code."""
        resumes = (broken / "config.yaml").exists()
        self.count.resumed += resumes
        self.count.begun += not resumes
        likely = {aim: weight for aim, weight in WEIGHTS.items() if usual.seconds[aim]}
        aim = self.draw.choices(list(likely), list(likely.values()))[0]
        visits = self.draw.randrange(1, 3) if aim in (SAVE, STEP) else 1
        wait = self.draw.uniform(0, usual.seconds[aim])
        life = live(lambda: train(name, self.data, broken), aim, visits, wait)
        if life.code == -9:
            self.count.kills[life.moment] += 1
            self.count.aims[aim] += 1
        elif life.code != 0:
            self.count.wrong.append(f"{name}: {life.text}")
        return life.code

    def _unbroken(self, name: str) -> Life:
        if name not in self.usual:
            self.usual[name] = live(lambda: train(name, self.data, self.folder / name))
            if self.usual[name].code:
                raise RuntimeError(f"the unbroken run of {name} failed:\n{self.usual[name].text}")
        return self.usual[name]


def train(name: str, data: Path, out: Path) -> int:
    """Starts the run of a setup, or continues it; returns the exit code."""
    from multiview.launch import exit_code
    from multiview.plugins import load

    recipe, *words = SETUPS[name]
    resume = ["--resume"] if (out / "config.yaml").exists() else []
    return exit_code(load("recipes", recipe), ["--data", str(data), "--out", str(out), *COMMON, *words, *resume])


def report(count: Count, seconds: float) -> str:
    """The counts in words."""
    moments = ", ".join(f"{count.kills[moment]} in {moment}" for moment in (START, STEP, SAVE, KNN, EVALUATION, ENDED))
    runs = ", ".join(f"{number} of {name}" for name, number in count.ends.items())
    last = "0 differences" if not count.wrong else "\n".join(["DIFFERENCES:", *count.wrong])
    return (
        f"{count.killed} kills -9: {moments}\n{count.begun} starts, {count.resumed} resumes, {seconds:.0f} s\n"
        f"{count.ends.total()} runs reached their end and were compared bit for bit with the unbroken run "
        f"({runs}): {last}"
    )


def made(folder: Path) -> Path:
    """A store of 88 small scenes, 64 of them for training: four steps in an epoch."""
    from multiview.data.sources.scenes import Scenes
    from multiview.data.write.preprocess import preprocess

    preprocess(Scenes(count=92, size=24), None, folder)
    return folder


def in_fresh_process(action: Callable[[], object]) -> str:
    """Runs `action` in a fork and returns what it printed; this process must not start threads."""
    done = live(action)
    if done.code:
        raise RuntimeError(done.text)
    return done.text


def warm_up(data: Path, out: Path) -> None:
    """Imports here what a whole run imports, so that every fork has it already."""
    from multiview import plugins

    def names() -> None:
        train("mixed, accumulated", data, out)
        print("\n".join(["", "MODULES", *sys.modules]), flush=True)

    for name in in_fresh_process(names).rpartition("MODULES\n")[2].split():
        with suppress(ImportError):
            import_module(name)
    for kind in ("recipes", "views", "encoders", "objectives", "sources"):
        plugins.installed(kind)
    gc.collect()
    gc.freeze()  # forks then copy fewer pages


def main() -> int:
    """Prints the seed, kills, prints the counts; 1 for any difference."""
    parser = argparse.ArgumentParser(prog="make kills")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many, also with fewer kills")
    chosen = parser.parse_args()
    seed = time.time_ns() % 2**31 if chosen.seed is None else chosen.seed
    print(f"{chosen.kills} kills, seed {seed} (again: make kills N={chosen.kills} SEED={seed})", flush=True)
    os.environ.update(HF_HUB_OFFLINE="1", ACCELERATE_USE_CPU="true")
    import torch

    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        os.chdir(folder)
        in_fresh_process(lambda: made(folder / "scenes"))
        warm_up(folder / "scenes", folder / "warm-up")
        count = Runs(folder / "scenes", folder, random.Random(seed), loud=True).kill(
            chosen.kills, began + 60 * chosen.minutes
        )
    print(report(count, time.monotonic() - began))
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
