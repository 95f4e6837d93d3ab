"""Compares two implementations: times, peak bytes, and which targets were missed.

Times are medians. The implementations take turns, so that other work on the machine affects both.
Bytes are the peak of live tensors beyond the start, from the events of the allocator. The scratch
memory of BLAS calls is not counted, on either side.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# Set before torch is imported: otherwise the profiler complains that there is no GPU.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

THREADS = 2
FLOOR_GOAL = 1.3
"""Our time over the floor's that would be good; `_floors` says what stands between."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured ratio and its target.

    Args:
        target: limit of the ratio (None = the ratio is only reported).
        at_most: the target is an upper limit, as for an overhead; otherwise it is a lower limit.
        floor: the time of the least that the work costs on this machine; empty = not measured.
        share: our time divided by the floor; `FLOOR_GOAL` or less is good.
    """

    work: str
    what: str
    ours: str
    reference: str
    ratio: float
    target: float | None = None
    at_most: bool = False
    floor: str = ""
    share: float | None = None

    @property
    def passed(self) -> bool:
        if self.target is None:
            return True
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


@dataclass(frozen=True, kw_only=True)
class Work:
    """One task in our implementation and in the reference.

    Args:
        time: target of the reference's time divided by ours.
        memory: target of the reference's peak bytes divided by ours.
        peers: further implementations, whose times are only reported.
        floor: the least that the work costs, see `_floors` (None = not measured).
    """

    name: str
    ours: Callable[[], object]
    reference: Callable[[], object]
    time: float | None = None
    memory: float | None = None
    peers: Mapping[str, Callable[[], object]]
    floor: Callable[[], object] | None = None
    repeats: int = 9


def compared(work: Work) -> Iterator[Row]:
    """Times and bytes of a task, one row each."""
    floors = {} if work.floor is None else {"floor": work.floor}
    seconds = medians({"ours": work.ours, "reference": work.reference, **work.peers, **floors}, work.repeats)
    ours, floor = seconds.pop("ours"), seconds.pop("floor", None)
    for name, other in seconds.items():
        first = name == "reference"
        yield Row(
            work=work.name if first else f"  against {name}",
            what="time",
            ours=milliseconds(ours),
            reference=milliseconds(other),
            ratio=other / ours,
            target=work.time if first else None,
            floor=milliseconds(floor) if first and floor else "",
            share=ours / floor if first and floor else None,
        )
    held, theirs = peak_bytes(work.ours), peak_bytes(work.reference)
    ratio = theirs / max(held, 1)
    yield Row(work="", what="peak", ours=megabytes(held), reference=megabytes(theirs), ratio=ratio, target=work.memory)


def medians(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each function, after one call that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_bytes(function: Callable[[], object]) -> int:
    """The peak bytes of tensors during one call, beyond those that existed before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    assert profiled.profiler is not None
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def show(title: str, rows: list[Row]) -> bool:
    """Prints the table; returns whether every target is met."""
    table = Table(title=title, box=None, padding=(0, 2, 0, 0), title_justify="left")
    for column in ("work", "", "ours", "reference", "ratio", "target", " ", "floor", "ours / floor"):
        table.add_column(column, justify="right" if column.strip() and column != "work" else "left", no_wrap=True)
    for row in rows:
        bound = "" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"
        verdict = "" if row.target is None else "ok" if row.passed else "MISSED"
        share = "" if row.share is None else f"{row.share:.2f}{'' if row.share <= FLOOR_GOAL else ' above 1.3'}"
        table.add_row(row.work, row.what, row.ours, row.reference, f"{row.ratio:.3g}", bound, verdict, row.floor, share)
    Console(width=160).print(table)
    return all(row.passed for row in rows)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def megabytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB"
