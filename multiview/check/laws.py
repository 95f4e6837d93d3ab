"""A law is a function that raises `Broken` when a plugin does not keep it; its docstring's first line is its name.

The same functions are the tests of our own parts and what `multiview check` runs on anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from multiview.errors import MultiviewError

S = TypeVar("S")
Law = Callable[[S], "str | None"]
"""Takes the subject; returns a remark, or None."""


class Broken(Exception):  # noqa: N818
    """A law does not hold: what was found, and what to mend."""


@dataclass(frozen=True)
class Finding:
    """How one law fared: `trouble` is "" where it holds."""

    law: str
    trouble: str = ""
    remark: str = ""


def demand(holds: object, trouble: str) -> None:
    """Raises Broken unless `holds`."""
    if not holds:
        raise Broken(trouble)


def judged(laws: Iterable[Law[S]], subject: S) -> list[Finding]:
    """Every law applied to one subject; whatever else a plugin raises breaks the law too."""
    return [_judged(law, subject) for law in laws]


def _judged(law: Law[S], subject: S) -> Finding:
    try:
        return Finding(title(law), remark=law(subject) or "")
    except Broken as broken:
        return Finding(title(law), trouble=str(broken))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Finding(title(law), trouble=f"{type(error).__name__}: {first}")


def title(law: Law[S]) -> str:
    """What a law says, in words."""
    return (law.__doc__ or law.__name__).strip().splitlines()[0].rstrip(".")


def report(subject: str, findings: Sequence[Finding]) -> int:
    """Prints a table of findings with what to mend; returns 0 when all laws hold, 1 when one is broken."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for finding in findings:
        word, style = ("BROKEN", "bold red") if finding.trouble else ("holds", "green")
        table.add_row(Text(word, style), Text(finding.law), Text(finding.trouble or finding.remark))
    console.print(f"{subject}", style="bold", markup=False)
    console.print(table, width=None if console.is_terminal else 1000)
    broken = sum(bool(finding.trouble) for finding in findings)
    console.print(f"{len(findings) - broken} of {len(findings)} laws hold.")
    return 1 if broken else 0


def refused(act: Callable[[], object], what: str) -> str:
    """The message of the MultiviewError that `act` must raise; anything else is broken."""
    try:
        act()
    except MultiviewError as error:
        return str(error)
    except Exception as error:
        raise Broken(f"{what} raises {type(error).__name__}; raise a MultiviewError that says what to do") from error
    raise Broken(f"{what} is accepted; raise a MultiviewError that says what to do")
