"""Compares a recipe's training step with its bare encoders and with a plain PyTorch loop.

Exits with 1 when a step takes more than 1.15 times the forward and backward pass of its encoders.

make bench-step                                  all cases
make bench-step ARGS="cmc_lab --samples 20000"   one recipe, another number of samples
make bench-step ARGS="--draw step"               CMC with another way to draw negatives

The three take turns in blocks of as many steps as there are between two lines of metrics, and the
medians of the blocks are compared, in wall time and in CPU time. Wall time counts; CPU time also
says something on a machine that does other work. Then the parts of the step are timed, in steps
of their own. The last table holds what the same mathematics needs beside its encoders: no program
is faster than `least / encoders` on this machine, unless it does the parts at the same time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import _bare_loops
import numpy as np
import torch
from _measure import THREADS
from _shares import PARTS, Stopwatch, watched
from _step_floors import LEAST, least_of
from rich.console import Console
from rich.table import Table
from torch import nn

from multiview import CMC, ImageRecipe
from multiview.batch import Batch
from multiview.heap import keep_freed_memory
from multiview.plugins import load
from multiview.run import loop_of
from multiview.train.loop import Loop
from multiview.train.prepare import Prepared, prepare
from multiview.train.telemetry import Display, Metrics

GOAL = 1.15
SIDE = 64
"""Side of the stored pictures, as in `scenes`."""
CASES = (("cmc_lab", 32), ("cmc_lab", 64), ("simclr", 32), ("moco", 32), ("simsiam", 32))
"""Recipes and sizes of crops; 32 is their default."""


@dataclass
class Case:
    """A prepared run whose steps can be made one by one."""

    name: str
    prepared: Prepared
    loop: Loop
    metrics: Metrics
    display: Display

    def __post_init__(self) -> None:
        self.batches = self._batches()

    def _batches(self) -> Generator[Batch]:
        epoch = 0
        while True:
            self.loop.parts.wrapped.train()
            yield from self.loop.loader.for_epoch(epoch)
            epoch += 1

    def close(self) -> None:
        """Closes the files before their folder goes."""
        self.metrics.close()

    def block(self) -> None:
        """The steps from one line of metrics to the next."""
        for _ in range(self.prepared.train.log_every):
            self.loop._step(next(self.batches), self.metrics, self.display)
            self.loop._ended()


def case(name: str, size: int, samples: int, folder: Path, draw: str | None) -> Case:
    """The default recipe on random pictures in memory."""
    recipe: ImageRecipe = load("recipes", name)(size=size, out=str(folder))
    if draw is not None and isinstance(recipe.objective, CMC):
        recipe = replace(recipe, objective=replace(recipe.objective, draw=draw))
    train = replace(recipe.train, epochs=10_000, threads=torch.get_num_threads(), save_minutes=0.0, save_every=100_000)
    pictures = np.random.default_rng(0).integers(0, 256, (samples, SIDE, SIDE, 3), dtype=np.uint8)
    with redirect_stdout(StringIO()):
        prepared = prepare(replace(recipe, train=train), data={"image": pictures, "split": ["train"] * samples})
        loop = loop_of(prepared, prepared.recipe, folder)
    metrics, quiet = Metrics(folder), Console(file=StringIO())
    made = Case(
        f"{name}, {size} px, {samples:,} samples, B {train.batch}", prepared, loop, metrics, Display(quiet, 1, 0, False)
    )
    made.block()
    return made


def bare_encoders(made: Case) -> Callable[[], None]:
    """The encoders, on the views of one batch; key encoders run without a gradient."""
    parts, memories = made.loop.parts, made.loop.parts.memories
    views = parts.layer(next(made.batches))
    learn = [(parts.model.encoder(view), views[view]) for view in parts.model.online]
    keyed = [(memories.key_encoders[memories._key_name(v, n)], v) for v, n in memories.wanted if n.keys is not None]
    return _bare_loops.encoders_only(learn, [(key.encoder, views[view]) for key, view in keyed])


def bare_loop(made: Case) -> Callable[[], None] | None:
    """The plain loop of the case's mathematics; None where there is none here."""
    prepared, recipe = made.prepared, made.prepared.recipe
    store, batch = prepared.store, prepared.train.batch
    pictures = torch.from_numpy(np.asarray(store.read(np.arange(len(store)), "image"))).permute(0, 3, 1, 2).contiguous()
    encoders = nn.ModuleList(prepared.model.own_encoders().values())
    objective = prepared.setup.graph.edges[0].objective
    if made.name.startswith("cmc_lab"):
        k = objective.resolved(prepared.situation).negatives
        return _bare_loops.BareCmc(encoders, pictures, recipe.size, batch, k, objective.temperature)
    if made.name.startswith("simclr"):
        return _bare_loops.BareSimClr(encoders[0], pictures, recipe.size, batch, objective.temperature)
    return None


def medians(blocks: dict[str, Callable[[], None]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """The median wall and CPU seconds of each block; the blocks take turns."""
    wall: dict[str, list[float]] = {name: [] for name in blocks}
    cpu: dict[str, list[float]] = {name: [] for name in blocks}
    for number in range(rounds + 1):
        for name, block in blocks.items():
            start = time.perf_counter(), time.process_time()
            block()
            if number:
                wall[name].append(time.perf_counter() - start[0])
                cpu[name].append(time.process_time() - start[1])
    return tuple({name: statistics.median(x) for name, x in each.items()} for each in (wall, cpu))  # type: ignore[return-value]


def repeated(step: Callable[[], None], times: int) -> Callable[[], None]:
    """A block of steps."""

    def block() -> None:
        for _ in range(times):
            step()

    return block


def shares(made: Case, blocks: int) -> dict[str, float]:
    """The milliseconds of each part of a step."""
    steps = blocks * made.prepared.train.log_every
    with watched(made.loop) as watch:
        kept = made.batches
        made.batches = timed_batches(kept, watch)
        for _ in range(blocks):
            made.block()
        watch.switch("rest")
        made.batches = kept
    return {part: watch.seconds[part] / steps * 1e3 for part in PARTS}


def timed_batches(batches: Iterator[Batch], watch: Stopwatch) -> Generator[Batch]:
    """The batches; the time to make them counts for the data."""
    while True:
        with watch.block("data"):
            batch = next(batches)
        yield batch


def measured(made: Case, rounds: int, times: Table, parts: Table, least: Table) -> float:
    """Adds the case to the tables; returns its ratio to the bare encoders, in wall time."""
    every, plain = made.prepared.train.log_every, bare_loop(made)
    blocks = {"ours": made.block, "encoders": repeated(bare_encoders(made), every)}
    blocks |= {} if plain is None else {"loop": repeated(plain, every)}
    wall, cpu = medians(blocks, rounds)
    ratio, ratio_cpu = (each["ours"] / each["encoders"] for each in (wall, cpu))
    each = [f"{wall[name] / every * 1e3:.1f}" if name in wall else "" for name in ("ours", "encoders", "loop")]
    loop = f"{wall['ours'] / wall['loop']:.2f}" if "loop" in wall else ""
    times.add_row(made.name, *each, f"{ratio:.2f}", f"{ratio_cpu:.2f}", loop)
    found = shares(made, max(1, rounds // 2))
    whole = sum(found.values())
    parts.add_row(made.name, *(f"{x:.1f} {x / whole:4.0%}" for x in found.values()))
    floors = {name: repeated(each, every) for name, each in least_of(made.prepared, made.loop, made.block).items()}
    floor = {name: seconds / every for name, seconds in medians(floors, rounds)[0].items()}
    encoders, beside = wall["encoders"] / every, sum(floor.values())
    least.add_row(
        made.name,
        *(f"{1e3 * floor[name]:.1f}" for name in LEAST),
        f"{1 + beside / encoders:.2f}",
        f"{wall['ours'] / every / (encoders + beside):.2f}",
    )
    return ratio


def tables(threads: int) -> tuple[Table, Table, Table]:
    """The empty tables of times, of shares and of the least that a step needs."""
    made = []
    heads = (
        ("ours", "its encoders", "plain loop", "ours / encoders", "in CPU time", "ours / loop"),
        PARTS,
        (*LEAST, "least / encoders", "ours / least"),
    )
    titles = (
        f"Milliseconds of a step, {threads} threads",
        "Where they go: milliseconds and share",
        "The least beside the encoders: milliseconds",
    )
    for title, columns in zip(titles, heads, strict=True):
        made.append(Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0)))
        made[-1].add_column("recipe", no_wrap=True)
        for column in columns:
            made[-1].add_column(column, justify="right", no_wrap=True)
    return made[0], made[1], made[2]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="recipes to measure (default: all cases)")
    parser.add_argument("--samples", type=int, default=3200, help="training samples, the rows of a bank")
    parser.add_argument("--size", type=int, help="side of the crops (default: those of the cases)")
    parser.add_argument("--draw", choices=("auto", "all", "step", "sample"), help="how CMC draws negatives")
    parser.add_argument("--rounds", type=int, default=9, help="blocks of ten steps, per implementation")
    parser.add_argument("--threads", type=int, default=THREADS, help="CPU threads")
    parser.add_argument("--goal", type=float, default=GOAL, help="the largest ratio that passes")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measures and prints; returns 0 when every ratio is within the goal, else 1."""
    given = arguments(argv)
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    chosen = [(n, given.size or s) for n, s in CASES if not given.recipes or n in given.recipes]
    printed = tables(given.threads)
    ratios = []
    for name, size in dict.fromkeys(chosen):
        with tempfile.TemporaryDirectory() as folder:
            made = case(name, size, given.samples, Path(folder), given.draw)
            ratios.append(measured(made, given.rounds, *printed))
            made.close()
    Console(width=170).print(*printed)
    return 0 if max(ratios) <= given.goal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
