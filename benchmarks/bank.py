"""Compares a memory bank that is split over processes with a whole one on each process.

make bench-bank                                             1, 2 and 4 processes, 200,000 rows
make bench-bank ARGS="--processes 4 --rows 20000000 --dtype bfloat16 --ways split --negatives 1024"

Each process has one CPU thread. A step scores both directions of an edge (CMC, softmax), takes the
gradient, and updates both banks. Times are the median and the least of the steps, in the slowest
process. Bytes are those that a process receives from others, counted where they are received. The
gradient of the first step is compared with that of the first number of processes. The peak is that
of the process so far, with the way measured before.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from multiview import CMC, distributed
from multiview.check.parity import process, spread
from multiview.distributed import gather, rank, world
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import Embeddings
from multiview.objectives.base import Situation
from multiview.objectives.needs import Head

DIM = 128


class Received:
    """Counts the bytes that this process receives from others through gather and exchange."""

    def __init__(self) -> None:
        self.bytes = 0
        self._gather, self._exchange = distributed._all_gather, distributed.dist.all_to_all_single
        distributed._all_gather = self._counted(self._gather)
        distributed.dist.all_to_all_single = self._counted(self._exchange)

    def _counted(self, act):
        def counted(out, given, *rest, **named):
            self.bytes += out.numel() * out.element_size() * (world() - 1) // world()
            return act(out, given, *rest, **named)

        return counted


def measured(number: int, count: int, folder: Path, options: argparse.Namespace) -> None:
    """One of `count` processes: trains some steps and saves what it found."""
    with process(number, count, folder):
        for way in options.ways:
            found = _steps(way, options)
            torch.save(found, folder / f"{way}-{number}-of-{count}")


def _steps(way: str, options: argparse.Namespace) -> dict:
    start = time.perf_counter()
    cmc = CMC(
        dim=DIM,
        variant="softmax",
        negatives=options.negatives,
        bank=way,
        bank_dtype=options.dtype,
        draw=options.draw,
        numbers="auto" if way == "split" else options.numbers,
    )
    situation = Situation(samples=options.rows, per_rank=options.batch // world(), ranks=world())
    graph = ContrastGraph.full(("a", "b"), cmc.resolved(situation))
    memories = Memories(None, graph, options.rows, seed=0)
    made, counter, seconds = time.perf_counter() - start, Received(), []
    for step in range(1, options.steps + 1):
        counter.bytes = 0
        began = time.perf_counter()
        loss, gradient = _step(memories, graph, step, options)
        seconds.append(time.perf_counter() - began)
        if step == 1:
            first = gather(loss[None]).mean().item(), gather(gradient) / world()
    distributed._all_gather, distributed.dist.all_to_all_single = counter._gather, counter._exchange
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = sum(memories.sizes().values())
    return {"seconds": seconds[1:], "bytes": counter.bytes, "peak": peak, "made": made, "first": first, "rows": rows}


def _step(memories: Memories, graph: ContrastGraph, step: int, options: argparse.Namespace):
    """The loss and the gradient of the own rows of view a; updates the banks."""
    generator = torch.Generator().manual_seed(step)
    z = [normalize(torch.randn(options.batch, DIM, generator=generator), dim=1) for _ in "ab"]
    index = (
        torch.randperm(options.rows, generator=generator)[: options.batch]
        if options.rows < 10**6
        else (torch.randint(options.rows, (options.batch,), generator=generator))
    )
    part = slice(options.batch * rank() // world(), options.batch * (rank() + 1) // world())
    own = [x[part].clone().requires_grad_() for x in z]
    embeddings = Embeddings({(view, Head(dim=DIM)): x for view, x in zip("ab", own, strict=True)}, {}, {})
    present = dict.fromkeys("ab", torch.ones(len(own[0]), dtype=torch.bool))
    (edge,) = memories.edge_inputs(embeddings, {}, index[part], present, step)
    ((name, objective),) = ((n, e.objective) for n, e in graph.named_edges().items())
    out = objective.loss(edge)
    out.loss.backward()
    memories.update(embeddings, {}, index[part], present, {name: out.state})
    return out.loss.detach(), own[0].grad


def main(argv: Sequence[str]) -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4], help="numbers of processes")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each of the two banks")
    parser.add_argument("--batch", type=int, default=256, help="samples of a step, of all processes together")
    parser.add_argument("--negatives", type=int, default=4096, help="K")
    parser.add_argument("--steps", type=int, default=8, help="steps; the first is not timed")
    parser.add_argument("--ways", nargs="*", default=["whole", "split"], choices=["whole", "split"])
    parser.add_argument("--draw", default="sample", choices=["sample", "step"])
    parser.add_argument("--numbers", default="auto", choices=["auto", "table", "counter"], help="of the whole bank")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args(argv)
    table = Table(title=_title(options), box=None, padding=(0, 2, 0, 0), title_justify="left")
    for column in (
        "bank",
        "processes",
        "s a step",
        "least",
        "MB received",
        "MB of rows",
        "MB at the peak",
        "loss",
        "off",
    ):
        table.add_column(column, justify="right" if column != "bank" else "left", no_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        for count in options.processes:
            spread(measured, count, count, Path(folder), options)
            for way in options.ways:
                table.add_row(*_row(way, count, options, Path(folder)))
    Console(width=140).print(table)
    return 0


def _row(way: str, count: int, options: argparse.Namespace, folder: Path) -> list[str]:
    found = [torch.load(folder / f"{way}-{n}-of-{count}", weights_only=False) for n in range(count)]
    slowest, least = (max(of(each["seconds"]) for each in found) for of in (statistics.median, min))
    one = torch.load(folder / f"{way}-0-of-{options.processes[0]}", weights_only=False)["first"][1]
    off = (found[0]["first"][1] - one).abs().max() / one.abs().max()
    sizes = (max(each[name] for each in found) / 1e6 for name in ("bytes", "rows", "peak"))
    received, rows, peak = sizes
    loss = f"{found[0]['first'][0]:.7f}"
    times = [f"{slowest:.4f}", f"{least:.4f}"]
    return [way, str(count), *times, f"{received:.3f}", f"{rows:,.1f}", f"{peak:,.0f}", loss, f"{off:.1e}"]


def _title(options: argparse.Namespace) -> str:
    return (
        f"Two banks of {options.rows:,} x {DIM} {options.dtype}, batch {options.batch}, K {options.negatives}, "
        f"draw={options.draw}; off = largest difference of a gradient from that on {options.processes[0]} process(es)"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
