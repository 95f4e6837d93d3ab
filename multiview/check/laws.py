"""A law is a function, named by what it demands, that raises `Broken` when a plugin does not keep it.

The same functions are the tests of our own parts and what `multiview check` runs on anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import docstring_parser

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
    """What a law is called: `device neutral`."""
    return law.__name__.replace("_", " ")


def report(subject: str, findings: Sequence[Finding]) -> int:
    """Prints a table of findings with what to mend; returns 0 when all laws hold, 1 when one is broken."""
    width = max(len(finding.law) for finding in findings)
    print(subject)
    for finding in findings:
        word = "BROKEN" if finding.trouble else "holds"
        print(f"  {word:<6}  {finding.law:<{width}}  {finding.trouble or finding.remark}".rstrip())
    broken = sum(bool(finding.trouble) for finding in findings)
    print(f"{len(findings) - broken} of {len(findings)} laws hold.")
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


def frozen(kind: type) -> bool:
    """Whether a class is a frozen dataclass."""
    return is_dataclass(kind) and bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]


def undocumented(kind: type) -> list[str]:
    """The fields of a dataclass, which are options, that the Args of its docstring and of its bases' leave out."""
    told = {p.arg_name for each in kind.__mro__ for p in docstring_parser.parse(each.__doc__ or "").params}
    return [field.name for field in fields(kind) if field.name not in told]
