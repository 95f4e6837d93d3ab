"""Open fields: fields of a recipe that take any installed subclass of an abstract class.

The field `objective: mv.Objective = mv.CMC()` takes `--objective siglip`. The name is read before
the options are, so that --help lists the options of SigLIP. The attribute `plugins` of the abstract
class names the group of plugins.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from pathlib import Path
from typing import Any

import yaml

from multiview.errors import MultiviewError
from multiview.plugins import installed, load

KIND = "kind"
"""The key that names the class, beside the keys of the options."""


def open_fields(config: type) -> dict[str, type]:
    """The open fields of a dataclass, with their abstract class."""
    types = {field.name: field.type for field in fields(config) if isinstance(field.type, type)}
    return {name: base for name, base in types.items() if inspect.isabstract(base) and hasattr(base, "plugins")}


def kind_of(value: Any, base: type) -> str:
    """The registered name of a value's class, or `module:Class` for an unregistered class."""
    target = f"{type(value).__module__}:{type(value).__qualname__}"
    group = base.plugins  # type: ignore[attr-defined]
    names = [plugin.name for plugin in installed(group) if _is(plugin, type(value))]
    return names[0] if names else target


def narrowed(config: type, argv: Sequence[str]) -> tuple[type, list[str], dict[str, str]]:
    """Gives every open field the class that the words or their config files name.

    Returns:
        A subclass of `config`, in which the open fields have the named class, or the class of
        their default; the words, with `--objective siglip` written as `--objective.kind=siglip`;
        and the kind of every open field.

    Raises:
        MultiviewError: a kind is not installed.
    """
    opened = open_fields(config)
    if not opened:
        return config, list(argv), {}
    words, given = _named_kinds(argv, opened)
    defaults = {own.name: _default(own) for own in fields(config) if own.name in opened}
    kinds = {name: given.get(name) or _kind_of_default(name, defaults[name], base) for name, base in opened.items()}
    values = {name: _of_kind(kinds[name], base, defaults[name]) for name, base in opened.items()}
    body = {"__doc__": config.__doc__, "__module__": config.__module__}
    members = [(name, type(value), field(default=value)) for name, value in values.items()]
    narrow = make_dataclass(config.__name__, members, bases=(config,), frozen=True, kw_only=True, namespace=body)
    return narrow, words, kinds


def refuse_another_kind(name: str, kind: str, given: str) -> None:
    """Raises MultiviewError when a mapping or file of options is of another kind than `kind`."""
    if given.lower() != kind.lower():
        raise MultiviewError(
            f"--{name} got options of the kind '{given}' without the name of the kind; type --{name} {given} and then "
            "its options, or write both into a --config file."
        )


def _default(field: Field[Any]) -> Any:
    """The default of a field; None when the field has no default."""
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else None


def _kind_of_default(name: str, default: Any, base: type) -> str:
    """The kind of the default. Raises MultiviewError when there is no default."""
    if default is None:
        raise MultiviewError(
            f"this recipe has no default {name}; give --{name} NAME (`multiview list` shows the names)."
        )
    return kind_of(default, base)


def _of_kind(kind: str, base: type, default: Any) -> Any:
    """The default when it is of that kind, else the class of that kind with its own defaults."""
    # Every reading of the recipe's own file makes a new module and a new class.
    own = "" if default is None else kind_of(default, base)
    if own and (kind == own or (":" in own and kind.split(":")[1:] == [type(default).__qualname__])):
        return default
    group = base.plugins  # type: ignore[attr-defined]
    names = [name for plugin in installed(group) for name in (plugin.name, plugin.whole)]
    chosen = load(group, kind if kind in names else next((n for n in names if n.lower() == kind.lower()), kind))
    if not (isinstance(chosen, type) and issubclass(chosen, base)):
        raise MultiviewError(
            f"'{kind}' of multiview.{group} is not a subclass of {base.__name__}; register the class itself."
        )
    return default if type(default) is chosen else chosen()


def _is(plugin: Any, kind: type) -> bool:
    """Whether a plugin is this class. Only plugins with the name of the class are imported."""
    return plugin.target.rpartition(":")[2] == kind.__qualname__ and load(plugin.group, plugin.whole) is kind


def _named_kinds(argv: Sequence[str], opened: Mapping[str, type]) -> tuple[list[str], dict[str, str]]:
    """The words with `--objective NAME` written in full, and the kinds that are given."""
    words, given, position = [], {}, 0
    while position < len(argv):
        word, follows = argv[position], argv[position + 1] if position + 1 < len(argv) else ""
        match = re.fullmatch(r"--([\w.-]+?)(?:=(.*))?", word, flags=re.DOTALL)
        name, value = (match[1].replace("-", "_"), follows if match[2] is None else match[2]) if match else ("", "")
        owner = _field_of(name, opened)
        if name in opened and _is_name(value):
            words.append(f"--{name}.{KIND}={value}")
            given[name] = value
            position += match is not None and match[2] is None
        else:
            words.append(word)
            given |= {owner: value} if owner else _in_file(value, opened) if name == "config" else {}
        position += 1
    return words, given


def _field_of(option: str, opened: Mapping[str, type]) -> str:
    """The field whose kind an option gives; `--kind` is enough when there is one open field."""
    return next((name for name in opened if option == f"{name}.{KIND}" or (option == KIND and len(opened) == 1)), "")


def _is_name(value: str) -> bool:
    """Whether a value is the name of a kind, and not a file or a mapping of options."""
    return bool(re.fullmatch(r"[\w./:-]+", value)) and not value.startswith("-") and not Path(value).is_file()


def _in_file(path: str, opened: Mapping[str, type]) -> dict[str, str]:
    """The kinds that a config file gives. The parser reports a faulty file later."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    options = {name: content.get(name) for name in opened} if isinstance(content, dict) else {}
    return {name: str(own[KIND]) for name, own in options.items() if isinstance(own, dict) and KIND in own}
