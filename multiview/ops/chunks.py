"""Work in pieces."""

from __future__ import annotations


def parts(rows: int, step: int) -> list[slice]:
    """0 .. rows - 1, `step` at a time."""
    return [slice(start, start + step) for start in range(0, rows, step)]
