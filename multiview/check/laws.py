"""A law is a function that raises `Broken` when a plugin does not fulfil a demand.

The function has the name of the demand. The tests of this package run the same laws on its own
parts as `multiview check` runs on the parts of other packages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import docstring_parser

from multiview.errors import MultiviewError
from multiview.terminal import say

S = TypeVar("S")
Law = Callable[[S], "str | None"]
"""Takes the subject; returns a remark, or None."""


class Broken(Exception):  # noqa: N818
    """A law does not hold. The message says what was found and what to correct."""


@dataclass(frozen=True)
class Finding:
    """The result of one law; `trouble` is "" when the law holds."""

    law: str
    trouble: str = ""
    remark: str = ""


def demand(holds: object, trouble: str) -> None:
    """Raises Broken unless `holds`."""
    if not holds:
        raise Broken(trouble)


def judged(laws: Iterable[Law[S]], subject: S) -> list[Finding]:
    """The findings of every law on one subject; any other exception breaks the law too."""
    return [_finding(law, subject) for law in laws]


def _finding(law: Law[S], subject: S) -> Finding:
    try:
        return Finding(title(law), remark=law(subject) or "")
    except Broken as broken:
        return Finding(title(law), trouble=str(broken))
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        return Finding(title(law), trouble=f"{type(error).__name__}: {first_line}")


def title(law: Law[S]) -> str:
    """The name of a law in words: `device neutral`."""
    return law.__name__.replace("_", " ")


def report(subject: str, findings: Sequence[Finding]) -> int:
    """Prints a table of findings; returns the exit code, 0 when all laws hold, else 1."""
    width = max(len(finding.law) for finding in findings)
    say(subject)
    for finding in findings:
        word = "BROKEN" if finding.trouble else "holds"
        say(f"  {word:<6}  {finding.law:<{width}}  {finding.trouble or finding.remark}".rstrip())
    broken = sum(bool(finding.trouble) for finding in findings)
    print(f"{len(findings) - broken} of {len(findings)} laws hold.")
    return 1 if broken else 0


def refused(act: Callable[[], object], what: str) -> str:
    """The message of the MultiviewError that `act` must raise; raises Broken otherwise."""
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
    """The fields that the docstrings of a dataclass and of its bases do not explain."""
    docstrings = [docstring_parser.parse(base.__doc__ or "") for base in kind.__mro__]
    explained = {param.arg_name for docstring in docstrings for param in docstring.params}
    return [field.name for field in fields(kind) if field.name not in explained]
