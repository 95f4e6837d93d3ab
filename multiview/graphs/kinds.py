"""Values of options as their annotations ask for them, and what is wrong with a value."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from multiview.errors import MultiviewError, suggestion
from multiview.record import from_plain

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}


def fitting(value: Any, kind: Any) -> Any:
    """The value as the annotation `kind` has it: a list as a tuple, a whole number as a float.

    Raises ValueError with what would be right; an unknown annotation takes every value.
    """
    if isinstance(value, Mapping) and set(value) == {"class", "options"}:
        return from_plain({"class": value["class"], "options": dict(value["options"] or {})})
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _first_fitting(value, get_args(kind))
    if origin is Literal:
        choices = get_args(kind)
        if value in choices:
            return value
        names = ", ".join(map(str, choices))
        raise ValueError(f"give one of {names}.{suggestion(str(value), map(str, choices))}")
    if origin in (tuple, list):
        return _items(value, get_args(kind))
    if isinstance(kind, type):
        return _plain(value, kind)
    return tuple(value) if isinstance(value, list) else value


def _first_fitting(value: Any, kinds: tuple[Any, ...]) -> Any:
    wanted = []
    for kind in kinds:
        try:
            return fitting(value, kind)
        except ValueError as error:
            wanted.append(str(error).removeprefix("give ").rstrip("."))
    raise ValueError(f"give {' or '.join(wanted)}.")


def _items(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("give a list, in brackets.")
    if len(kinds) == 2 and kinds[1] is ...:
        return tuple(fitting(item, kinds[0]) for item in value)
    if kinds and len(kinds) != len(value):
        raise ValueError(f"give a list of {len(kinds)} values.")
    return tuple(fitting(item, kind) for item, kind in zip(value, kinds or (Any,) * len(value), strict=True))


def _plain(value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and math.isnan(value):
        raise ValueError("give a number.")
    if is_dataclass(kind) and isinstance(value, Mapping):
        try:
            return of_fields(kind, value)
        except MultiviewError as error:
            raise ValueError(str(error)) from None
    if kind in WORDS and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise ValueError(f"give {WORDS[kind]}.")
    return tuple(value) if isinstance(value, list) else value


def of_fields(kind: type, options: Mapping[str, Any]) -> Any:
    """An instance of a dataclass from its fields by name. Raises MultiviewError."""
    hints = hints_of(kind)
    values = {}
    for name, value in options.items():
        known = [each.name for each in fields(kind) if each.init]
        if name not in known:
            raise MultiviewError(
                f"'{name}' is no option of {kind.__name__}; available: {', '.join(known)}.{suggestion(name, known)}"
            )
        try:
            values[name] = fitting(value, hints.get(name, Any))
        except ValueError as error:
            raise MultiviewError(f"{name} is {value!r}; {error}") from None
    return kind(**values)


def hints_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function or class by name; none where they cannot be read."""
    try:
        return get_type_hints(factory)
    except Exception:  # names that only a type checker knows
        return {}


def keywords_of(factory: Callable[..., Any]) -> tuple[set[str], bool]:
    """The options of a factory, and whether it takes any further option."""
    parameters = inspect.signature(factory).parameters.values()
    names = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    return names, any(each.kind is each.VAR_KEYWORD for each in parameters)
