"""Numbers in sentences."""

from __future__ import annotations

import pytest

from multiview.plurals import counted


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (20000, ("row",), "20,000 rows"),
        (1, ("process", "processes"), "1 process"),
        (3, ("process", "processes"), "3 processes"),
    ],
)
def test_counted(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text
