"""Output on the terminal: foreign texts can neither steer the terminal nor be read as markup."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from multiview.errors import printable


def silence_closed_pipes() -> bool:
    """Sends standard output and errors nowhere if they are pipes that nobody reads any longer.

    Returns whether one of them was such a pipe.
    """
    closed = [stream for stream in (1, 2) if _is_closed(stream)]
    for stream in closed:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)
    return bool(closed)


def _is_closed(stream: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return False
    watch = select.poll()
    watch.register(stream, select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLNVAL) for _, events in watch.poll(0))


class SafeConsole(Console):
    """A rich console that prints `[red]` as it is, and control characters of texts as `\\x1b`.

    In a notebook it prints plain text: rich itself shows HTML whose long lines are cut, and shows
    there also what is meant for a file.
    """

    _watched = True

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, force_jupyter=False, **options)
        self.closed = False
        self._watched = options.get("force_terminal") is not None

    @property
    def is_terminal(self) -> bool:
        """Whether lines can be rewritten. `FORCE_COLOR` in a pipe, as in Jupyter, only colours."""
        return bool(super().is_terminal and (self._watched or self.file.isatty()))

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich prints; says nothing more when nobody reads any longer, as after `| head`."""
        try:
            super().print(*objects, **options)
        except BrokenPipeError:  # rich below 13.8 does not catch it
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Marks the console as closed, where rich would end the program with exit code 1."""
        self.quiet = self.closed = True
        silence_closed_pipes()

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that is printed; styles and cursor movements are no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def say(text: object) -> None:
    """Prints a text that may hold foreign names."""
    print(printable(text))
