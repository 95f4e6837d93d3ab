"""Work in chunks."""

from __future__ import annotations


def parts(rows: int, step: int) -> list[slice]:
    """Slices of 0 .. rows - 1, `step` rows each."""
    return [slice(start, start + step) for start in range(0, rows, step)]
