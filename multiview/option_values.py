"""Values of options: lists without brackets, and nulls where an option takes none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from multiview.errors import MultiviewError


def list_options(config: type, prefix: str = "") -> dict[str, bool]:
    """Dotted names of the options that take lists, and whether these are lists of texts."""
    found = {}
    for name, kind, default in _fields(config):
        kinds = _alternatives(kind)
        lists = [each for each in kinds if get_origin(each) in (tuple, list)]
        if lists and all(each in lists or each is NoneType for each in kinds):
            found[prefix + name] = str in get_args(lists[0])
        elif is_dataclass(default):
            found |= list_options(type(default), f"{prefix}{name}.")
    return found


def as_list(value: str, of_texts: bool) -> str:
    """`L, ab` or `(L, ab)` as the parser reads lists: `["L", "ab"]`; `1,2` as `[1,2]`."""
    text = value.strip()
    if text in ("null", "None") or text.startswith(("[", "-")):
        return value
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    items = [item.strip().strip("'\"") for item in split(inner) if item.strip()]
    return json.dumps(items, ensure_ascii=False) if of_texts else f"[{', '.join(items)}]"


def split(text: str) -> list[str]:
    """The parts between commas, except commas in brackets: `table:columns=[0,3]` is one part."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def refuse_misfits(given: Any, config: type, prefix: str = "") -> None:
    """Raises MultiviewError for null where an option takes none, or a value in place of options.

    prefix: of the names in messages. Further wrong values are reported elsewhere.
    """
    for name, kind, default in _fields(config):
        value, full = given.get(name), prefix + name
        if is_dataclass(default) and name in given:
            _refuse_no_options(value, type(default), full)
            refuse_misfits(value, type(default), f"{full}.")
        elif value is None and name in given and default is not None and not _takes_null(kind):
            raise MultiviewError(
                f"{full} is null, but takes {_named(kind)}; give one, or leave {full} out, so that its default holds "
                f"({_shown(default)})."
            )


def _refuse_no_options(value: Any, config: type, full: str) -> None:
    if not (isinstance(value, Mapping) or hasattr(value, "as_dict") or is_dataclass(value)):
        shown = "null" if value is None else repr(value)
        first = fields(config)[0]
        raise MultiviewError(
            f"{full} is {shown}, but has options of its own; give them, as in `{full}: {{{first.name}: "
            f"{_shown(first.default)}}}`, or leave {full} out, so that its defaults hold."
        )


def _fields(config: type) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default of each field."""
    try:
        hints = get_type_hints(config)
    except NameError:  # a recipe in a function, whose types only that function knows
        hints = {}
    for field in fields(config):
        yield field.name, hints.get(field.name, field.type), field.default


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _takes_null(kind: Any) -> bool:
    return kind is Any or isinstance(kind, str) or bool({NoneType, Any} & set(_alternatives(kind)))


def _named(kind: Any) -> str:
    """`a whole number`, `one of sgd, adamw, lars`."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if kind in words:
        return words[kind]
    if get_origin(kind) in (tuple, list):
        return "a list"
    choices = re.fullmatch(r"typing\.Literal\[(.*)\]", str(kind))
    return one_of(choices[1]) if choices else getattr(kind, "__name__", str(kind))


def one_of(choices: str) -> str:
    """`one of sgd, adamw` for "'sgd', 'adamw'", and a single choice as it is."""
    names = choices.replace("'", "")
    return f"one of {names}" if "," in names else names


def _shown(default: Any) -> str:
    """A default as YAML writes it."""
    return json.dumps(default, default=str, ensure_ascii=False).strip('"')
