"""The rows of `multiview check device`."""

from __future__ import annotations

from dataclasses import dataclass

OK, BROKEN, NOTE = "ok", "broken", ""


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        part: the heading under which it stands.
        what: what was measured.
        value: the number that was found, in `unit` (None = none).
        unit: of the value; empty = a ratio or a count.
        beside: what to compare it with, in words.
        state: `ok`, `broken`, or empty for a number that nobody judges.
    """

    part: str
    what: str
    value: float | None
    unit: str = ""
    beside: str = ""
    state: str = NOTE


def judged(part: str, what: str, value: float, limit: float, beside: str = "") -> Row:
    """A row that is ok up to a limit."""
    text = f"{beside}; at most {limit:g}" if beside else f"at most {limit:g}"
    return Row(part, what, value, "", text, OK if value <= limit else BROKEN)
