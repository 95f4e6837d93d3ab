"""Checks of values that come from a JSON file, before anything is made of them.

A form takes a value and returns the value to use, or raises ValueError with the reason. Forms are
made of forms: `record({"name": text, "shape": list_of(count)})`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Form = Callable[[Any], Any]

LARGEST_COUNT = 2**48
LONGEST = 100_000
"""Most characters of a text."""


def text(value: Any) -> str:
    """A text that can be printed and written as UTF-8."""
    if not isinstance(value, str):
        raise ValueError(f"{_show(value)} is no text")
    if len(value) > LONGEST:
        raise ValueError(f"a text has {len(value)} characters")
    value.encode()
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{_show(value)} is neither true nor false")
    return value


def count(value: Any) -> int:
    """A whole number from 0 on."""
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"{_show(value)} is no count")
    return value


def number(value: Any) -> float:
    """A finite number, as an int or a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise ValueError(f"{_show(value)} is no finite number")
    return value


def matching(pattern: str) -> Form:
    """A text that fits the pattern from its first to its last character."""

    def check(value: Any) -> str:
        if not re.fullmatch(pattern, text(value)):
            raise ValueError(f"{_show(value)} does not fit {pattern}")
        return str(value)

    return check


def optional(form: Form) -> Form:
    """None, or a value of this form."""
    return lambda value: None if value is None else form(value)


def list_of(form: Form) -> Form:
    """A list of values of this form, as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{_show(value)} is no list")
        return tuple(form(each) for each in value)

    return check


def map_of(form: Form) -> Form:
    """An object with any names and values of this form."""

    def check(value: Any) -> dict[str, Any]:
        return {text(name): _named(name, form, each) for name, each in _object(value).items()}

    return check


def record(required: Mapping[str, Form], others: Mapping[str, Form] | None = None) -> Form:
    """An object with exactly the required names and any of the others."""
    forms = {**required, **(others or {})}

    def check(value: Any) -> dict[str, Any]:
        given = _object(value)
        if missing := [name for name in required if name not in given]:
            raise ValueError(f"'{missing[0]}' is missing")
        if unknown := [name for name in given if name not in forms]:
            raise ValueError(f"'{text(unknown[0])[:40]}' is unknown")
        return {name: _named(name, forms[name], each) for name, each in given.items()}

    return check


def plain(value: Any) -> Any:
    """Any JSON value whose texts can be written as UTF-8 and whose numbers are finite."""
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{_show(value)} is no object")
    return value


def _named(name: str, form: Form, value: Any) -> Any:
    try:
        return form(value)
    except ValueError as cause:
        raise ValueError(f"{name}: {cause}") from cause


def _show(value: Any) -> str:
    shown = ascii(value) if not isinstance(value, dict | list) else type(value).__name__
    return shown if len(shown) < 60 else shown[:57] + "..."
