"""Checks of options. An error names the option, its value and what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from multiview.errors import MultiviewError


def positive(owner: str, **values: float) -> None:
    """Raises MultiviewError unless every named value is above 0."""
    for name, value in values.items():
        if not value > 0:
            raise MultiviewError(f"{owner}: {name} is {value}; give a number above 0.")


def fraction(owner: str, **values: float) -> None:
    """Raises MultiviewError unless every named value is in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise MultiviewError(f"{owner}: {name} is {value}; give a number that is at least 0 and less than 1.")


def options(values: object, names: Iterable[str], accepts: Callable[[Any], bool], wanted: str, owner: str = "") -> None:
    """Raises MultiviewError for the first named option that is not accepted.

    The message reads `OWNER: batch is 0; give WANTED.` The options are attributes of `values`.
    """
    for name in names:
        given = getattr(values, name)
        if not accepts(given):
            raise MultiviewError(f"{owner}{': ' if owner else ''}{name} is {given}; give {wanted}.")
