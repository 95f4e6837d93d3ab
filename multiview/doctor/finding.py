"""One line of the page: what was examined, and whether it will work."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

OK, ADVICE, BROKEN = "ok", "advice", "broken"
STATES = (OK, ADVICE, BROKEN)
FOLDER = ".multiview-doctor-{pid}-"
"""Start of the name of a folder that a check writes; `pid` is the process of its group."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        check: what was examined, in one or two words.
        state: `ok`, `advice` (works, and could work better) or `broken` (will not work).
        text: what is there, with numbers.
        advice: what to do; "" = nothing.
    """

    check: str
    state: str
    text: str
    advice: str = ""


Check = Callable[..., Iterable[Finding]]
"""A function that examines one thing. Its name is the name of the check."""


def name_of(check: Check) -> str:
    """`matrix product` of the function `matrix_product`."""
    return str(check.__name__).replace("_", " ")


def examined(check: Check, name: str) -> list[Finding]:
    """The findings of one check. An error of the check is a finding too."""
    try:
        return list(check())
    except Exception as cause:  # whatever a strange machine raises, the page goes on
        return [Finding(name, ADVICE, f"could not be examined: {reason(cause)}")]


def reason(cause: BaseException) -> str:
    """The type and the first line of an error."""
    first = next(iter(str(cause).strip().splitlines()), "")
    return f"{type(cause).__name__}: {first[:300]}" if first else type(cause).__name__


def short(path: Path | str) -> str:
    """A path with `~` in place of the home folder: reports are sent to other people."""
    home, text = str(Path.home()), str(path)
    return f"~{text[len(home) :]}" if home != "/" and (text == home or text.startswith(f"{home}/")) else text
