"""A live progress line with rate and remaining time for long preparations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int, int], None]
"""Called with (samples done, samples in all, samples rejected)."""


@contextmanager
def progress_bar(label: str = "preparing") -> Iterator[Progress]:
    """A live progress line for `preprocess(progress=...)`; prints nothing outside a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from multiview.terminal import SafeConsole

    console = SafeConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None, visible=False, rate="")

        def show(done: int, total: int, rejected: int) -> None:
            text = f"{label}, {rejected} rejected" if rejected else label
            speed = bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            bar.update(task, completed=done, total=total, description=text, visible=True, rate=rate)

        yield show
