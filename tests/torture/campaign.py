"""The campaign: rounds of damage, conditions and kills, drawn from one seed, until time is up.

PYTHONPATH=tests python -m torture --minutes 20 --seed 1
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from . import conditions, kills, readers
from .aimed import SETUPS, Runs
from .attempts import MISTAKES, Outcome, attempt
from .ground import Ground, copied, train_words
from .mutations import damage

LIMIT = 60.0
"""Seconds that one attempt may take; every one takes below three on a quiet machine."""


@dataclass(frozen=True)
class Case:
    """What is damaged, and who reads it.

    name: in the report. source: the folder that is copied and damaged. pattern: which of its files
    may be damaged. read: gets the damaged copy. judged: whether the value that is read must equal
    the undamaged one unless the program says something.
    """

    name: str
    source: Path
    pattern: str
    read: Callable[[Path], Any]
    judged: bool = False


@dataclass
class Tally:
    """Counts by case and kind, and every fault with what is needed to see it again."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, how: str) -> None:
        """Counts one outcome."""
        self.counts[name, outcome.kind] += 1
        if outcome.kind in MISTAKES:
            last = "\n    ".join(outcome.text.strip().splitlines()[-6:])
            self.faults.append(
                f"{name}: {outcome.kind} (exit {outcome.code}, {outcome.seconds:.1f} s) after {how}\n    {last}"
            )


def cases(ground: Ground) -> list[Case]:
    """Everything that is damaged, with everything that reads it."""
    store, mixed, run = ground.store, ground.mixed, ground.run
    found = []
    for name, folder in (("store", store), ("mixed store", mixed)):
        for pattern in ("*.h5", "manifest.json", "*.jsonl"):
            found += [
                Case(f"{name} {pattern}, read", folder, pattern, readers.rows_of, judged=True),
                Case(f"{name} {pattern}, inspect", folder, pattern, readers.inspect),
                Case(f"{name} {pattern}, verify", folder, pattern, readers.verify),
            ]
    found += [Case(f"store {p}, train", store, p, readers.train, judged=True) for p in ("*.h5", "manifest.json")]
    for pattern in ("checkpoints/*/*", "config.yaml", "environment.json", "metrics.jsonl", "evaluation.json"):
        weights = pattern.startswith("checkpoints")
        found += [
            Case(f"run {pattern}, load", run, pattern, readers.embed, judged=weights),
            Case(f"run {pattern}, resume", run, pattern, partial(readers.resume, ground), judged=weights),
            Case(f"run {pattern}, compare", run, pattern, readers.compare),
        ]
    found.append(Case("run checkpoints, evaluate", run, "checkpoints/*/*", readers.evaluate))
    pictures = partial(readers.prepare, "folder")
    found += [
        Case(f"pictures {p}, preprocess", ground.photos, p, _sized(pictures))
        for p in ("*/*.png", "*/*.jpg", "labels.csv")
    ]
    found.append(Case("sounds, preprocess", ground.sounds, "*/*.wav", partial(readers.prepare, "audio")))
    table = lambda folder: readers.prepare("manifest", folder / "table.csv")  # noqa: E731
    found.append(Case("table, preprocess", ground.photos, "table.csv", table))
    return found


def _sized(prepare: Callable[..., None]) -> Callable[[Path], None]:
    return lambda folder: prepare(folder, "--size", "24")


class Campaign:
    """Runs attempts in a work folder and keeps the tally."""

    def __init__(self, ground: Ground, folder: Path, seed: int, only: str = "") -> None:
        self.ground, self.folder, self.draw, self.only = ground, folder, random.Random(seed), only
        self.runs = Runs(ground.store, folder / "runs", self.draw, [name for name in SETUPS if "mixed" not in name])
        self.tally = Tally()
        self.expected: dict[str, Any] = {}

    def plant(self) -> None:
        """From now on a store is read with a wrong label, as if damaged: a fault to be found."""
        import multiview as mv

        whole = mv.Store.labels.fget
        assert whole is not None
        for case in cases(self.ground):
            if case.judged and self.only in case.name:
                self._undamaged(case)
        mv.Store.labels = property(lambda store: whole(store) + 1)  # type: ignore[assignment, method-assign]

    def damage_one(self, case: Case) -> None:
        """One damaged file, one reader."""
        target = copied(case.source, self.folder / "damaged" / case.source.name)
        files = [path for path in sorted(target.glob(case.pattern)) if path.is_file()]
        if not files:
            return
        file = self.draw.choice(files)
        how = f"{damage(file, self.draw)} in {file.relative_to(target)}"
        outcome = attempt(partial(case.read, target), LIMIT, self.folder)
        if case.judged and outcome.kind == "right" and not self._told(outcome, case):
            expected = self._undamaged(case)
            if outcome.value != expected:
                outcome = Outcome("silent wrong value", outcome.code, outcome.seconds, outcome.text)
        self.tally.add(case.name, outcome, how)

    def _told(self, outcome: Outcome, case: Case) -> bool:
        """Whether the program said more than it says of the undamaged folder."""
        words = ("damaged", "not whole", "cannot be read", "altered", "missing", "hash")
        return any(word in outcome.text for word in words)

    def _undamaged(self, case: Case) -> Any:
        if case.name not in self.expected:
            target = copied(case.source, self.folder / "damaged" / case.source.name)
            outcome = attempt(partial(case.read, target), LIMIT, self.folder)
            if outcome.kind != "right":
                raise RuntimeError(f"{case.name}: the undamaged folder is not read:\n{outcome.text}")
            self.expected[case.name] = outcome.value
        return self.expected[case.name]

    def conditions(self) -> None:
        """Every lack once."""
        store = copied(self.ground.store, self.folder / "lacking" / "store")
        out = self.folder / "lacking" / "out"
        train = partial(readers.command, *train_words(store, out / "run", 4, "--evaluate", "false"))
        prepare = partial(
            readers.command, "preprocess", "folder", str(self.ground.photos), str(out / "made"), "--size", "24"
        )
        lacks: list[tuple[str, Callable[[], Any], Callable[[], None]]] = [
            ("64 handles, train", train, conditions.few_handles)
        ]
        if conditions.can_mount():
            size = self.draw.choice((16, 64, 100, 200, 400))
            lacks += [
                ("full disk, train", train, conditions.small_disk(out, size)),
                ("full disk, preprocess", prepare, conditions.small_disk(out, size)),
                ("no shared memory, train", partial(self._with_workers, train), conditions.no_shared_memory),
            ]
        for name, action, before in lacks:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            self.tally.add(name, attempt(action, LIMIT, self.folder, before), name)
        if conditions.can_mount():
            self._read_only()

    def _with_workers(self, train: partial[None]) -> None:
        words = list(train.args)
        words[words.index("--workers") + 1] = "2"
        readers.command(*words)

    def _read_only(self) -> None:
        """A store and an output that cannot be written."""
        root = self.folder / "read-only"
        store = copied(self.ground.store, root / "store")
        closed = root / "closed"
        closed.mkdir(parents=True, exist_ok=True)
        for name, words in {
            "read-only output, train": train_words(store, closed / "run", 2, "--evaluate", "false"),
            "read-only output, preprocess": [
                "preprocess",
                "folder",
                str(self.ground.photos),
                str(closed / "made"),
                "--size",
                "24",
            ],
            "read-only store, inspect": ["inspect", str(store)],
            "read-only store, verify": ["verify", str(store)],
        }.items():
            outcome = attempt(partial(readers.command, *words), LIMIT, self.folder, conditions.read_only(root))
            self.tally.add(name, outcome, name)

    def kill(self, count: int, until: float) -> None:
        """Kills of training and of preprocessing, compared with the unbroken."""
        training = partial(kills.training, self.runs)
        preprocessing = partial(kills.preprocessing, self.ground, self.folder, self.draw)
        for name, act in (("kill -9, train", training), ("kill -9, preprocess", preprocessing)):
            done, ends, wrong = act(count, until)
            self.tally.counts[name, "killed"] += done
            self.tally.counts[name, "compared with the unbroken"] += ends
            self.tally.counts[name, "silent wrong value"] += len(wrong)
            self.tally.faults += [f"{name}: {text}" for text in wrong]

    def run(self, until: float, rounds: int | None = None, kill_count: int = 20) -> Tally:
        """Rounds of everything until the time is over (`time.monotonic()`), or so many rounds."""
        number = 0
        wanted = [case for case in cases(self.ground) if self.only in case.name]
        while time.monotonic() < until and (rounds is None or number < rounds):
            for case in wanted:
                if time.monotonic() < until:
                    self.damage_one(case)
            if self.only in "conditions":
                self.conditions()
            if self.only in "kill -9":
                self.kill(kill_count, until)
            number += 1
        return self.tally


def report(tally: Tally) -> str:
    """The counts as a table, and every fault."""
    kinds = sorted({kind for _, kind in tally.counts})
    lines = [f"{'case':<46}" + "".join(f"{kind:>28}" for kind in kinds)]
    names = sorted({name for name, _ in tally.counts})
    lines += [f"{name:<46}" + "".join(f"{tally.counts[name, kind] or '':>28}" for kind in kinds) for name in names]
    lines.append(
        f"{'all':<46}" + "".join(f"{sum(v for (_, k), v in tally.counts.items() if k == kind):>28}" for kind in kinds)
    )
    bad = sum(count for (_, kind), count in tally.counts.items() if kind in MISTAKES)
    return "\n".join([*lines, *tally.faults, f"{sum(tally.counts.values())} attempts, {bad} faults"])


def bad(tally: Tally) -> int:
    """The number of outcomes that are faults."""
    return sum(count for (_, kind), count in tally.counts.items() if kind in MISTAKES)
