"""A live progress line with rate and remaining time for long preparations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int, int], None]
"""Called with (samples done, samples in all, samples rejected)."""

PLAIN_SECONDS = 10.0
"""Fewest seconds between two lines outside a terminal; shorter work prints none."""


@contextmanager
def progress_bar(label: str = "preparing") -> Iterator[Progress]:
    """A live progress line; outside a terminal a plain line every ten seconds."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from multiview.terminal import SafeConsole

    console = SafeConsole(stderr=True)
    if not console.is_terminal:
        yield _PlainLines(label, console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None, visible=False, rate="")

        def show(done: int, total: int, rejected: int) -> None:
            text = f"{label}, {rejected} rejected" if rejected else label
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(task, completed=done, total=total, description=text, visible=True, rate=rate)

        yield show


class _PlainLines:
    """Prints `preparing photos: 1,200 of 9,000, 130/s, 60 s left` to stderr every ten seconds."""

    def __init__(self, label: str, console: Console) -> None:
        self.label, self.console = label, console
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int, rejected: int) -> None:
        now = time.monotonic()
        if now - self.last < PLAIN_SECONDS:
            return
        self.last = now
        rate = done / (now - self.start)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        bad = f", {rejected:,} rejected" if rejected else ""
        text = f"{self.label}: {done:,} of {total:,}{bad}, {rate:,.0f}/s{left}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
