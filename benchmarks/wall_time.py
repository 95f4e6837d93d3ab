"""Prints where the wall time of a run goes: start, data, set-up, steps, kNN, evaluation, page.

python benchmarks/wall_time.py [RECIPE or GRAPH.yaml] [options]

Without words: the recipe of `make demo`, seed 0, into a new folder, with `scenes` made anew. Each
part is timed without the parts inside it. CPU seconds count all threads, and processes that have
ended.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

PARTS = (
    ("data", "multiview.train.prepare:_open_store"),
    ("set-up", "multiview.run:prepare"),
    ("read into memory", "multiview.data.load.dataset:Samples.__init__"),
    ("steps", "multiview.train.loop:Loop.run"),
    ("kNN", "multiview.measure.online:hits_by_knn"),
    ("checkpoints", "multiview.train.saving:Saver.save"),
    ("evaluation", "multiview.finish:evaluate"),
    ("features", "multiview.measure.embeddings:embed"),
    ("kNN, label's probes", "multiview.measure.features:measure_features"),
    ("probes of targets", "multiview.measure.predictions:predictions"),
    ("without labels", "multiview.measure.unlabelled:unlabelled"),
    ("tables of results", "multiview.measure.table:render"),
    ("portable model", "multiview.finish:deliver"),
    ("page", "multiview.finish:report"),
)
"""The parts of a run and the functions that do them; a function that does not exist is left out."""
FIRST_STEP = "multiview.train.loop:contrast_step"
START = "start of the program"
REST = "everything else"
Function = Callable[..., Any]


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def program_start() -> float:
    """The moment at which this process began, on the clock of `time.time`."""
    import psutil

    return float(psutil.Process().create_time())


class Clock:
    """Adds up wall and CPU seconds by part; a part stands still while it calls another one."""

    def __init__(self) -> None:
        self.begin = program_start()
        self.spent: dict[str, list[float]] = {START: [time.time() - self.begin, cpu()]}
        self.stack = [REST]
        self.since = (time.time(), cpu())
        self.first_step: float | None = None

    def switch(self) -> None:
        """Books the time since the last switch on the part that ran."""
        now = (time.time(), cpu())
        booked = self.spent.setdefault(self.stack[-1], [0.0, 0.0])
        for place in range(2):
            booked[place] += now[place] - self.since[place]
        self.since = now

    def timed(self, part: str, function: Function) -> Function:
        """The function, whose time is booked on `part`."""

        @functools.wraps(function)
        def inside(*args: Any, **options: Any) -> Any:
            self.switch()
            self.stack.append(part)
            try:
                return function(*args, **options)
            finally:
                self.switch()
                self.stack.pop()

        return inside

    def noted(self, function: Function) -> Function:
        """The function; the end of its first call is the first step of the run."""

        @functools.wraps(function)
        def inside(*args: Any, **options: Any) -> Any:
            value = function(*args, **options)
            self.first_step = self.first_step or time.time() - self.begin
            return value

        return inside


def replace(target: str, wrap: Callable[[Function], Function]) -> bool:
    """Puts `wrap(function)` in the place of `module:name` or `module:Class.name`, everywhere."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for each in outer:
        owner = getattr(owner, each, None)
    function = getattr(owner, name, None)
    if function is None:
        return False
    changed = wrap(function)
    setattr(owner, name, changed)
    for other in [each for key, each in sys.modules.items() if key.startswith("multiview")]:
        for key in [key for key, value in vars(other).items() if value is function]:
            setattr(other, key, changed)
        steps = getattr(other, "STEPS", None)
        if isinstance(steps, tuple) and function in steps:
            other.STEPS = tuple(changed if step is function else step for step in steps)  # type: ignore[attr-defined]
    return True


def table(clock: Clock) -> str:
    """The parts by wall seconds, each with its share."""
    total = time.time() - clock.begin
    rows = sorted(clock.spent.items(), key=lambda row: -row[1][0])
    lines = [f"{'part':<22}{'wall s':>8}{'share':>8}{'CPU s':>8}"]
    lines += [f"{part:<22}{wall:>8.1f}{100 * wall / total:>7.1f}%{used:>8.1f}" for part, (wall, used) in rows]
    lines.append(f"{'whole run':<22}{total:>8.1f}{100:>7.1f}%{cpu():>8.1f}")
    if clock.first_step is not None:
        lines.append(f"first step done {clock.first_step:.1f} s after the start of the program")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Runs the command with timers, then prints the table."""
    from multiview import cli

    for target in dict.fromkeys(target.partition(":")[0] for _, target in PARTS):
        importlib.import_module(target)
    importlib.import_module("multiview.measure.evaluate")
    clock = Clock()
    missing = [part for part, target in PARTS if not replace(target, functools.partial(clock.timed, part))]
    replace(FIRST_STEP, clock.noted)
    with tempfile.TemporaryDirectory() as folder:
        demo = ["cmc_lab", "--cache", f"{folder}/data", "--out", f"{folder}/run"]
        code = cli.run(["train", *(words or demo)])
    clock.switch()
    print(f"\n{table(clock)}")
    if missing:
        print(f"not found, and so part of others: {', '.join(missing)}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
