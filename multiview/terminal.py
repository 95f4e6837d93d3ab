"""Output on the terminal: foreign texts can neither steer the terminal nor be read as markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from multiview.errors import printable


class SafeConsole(Console):
    """A rich console that prints `[red]` as it is, and control characters of texts as `\\x1b`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that is printed; styles and cursor movements are no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def say(text: object) -> None:
    """Prints a text that may hold foreign names."""
    print(printable(text))
