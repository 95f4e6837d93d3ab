"""Fields of a recipe that take any installed class of a kind: `objective: mv.Objective = mv.CMC()` and `--objective siglip`.

The class is known before the command line is made, so that its options are options like any others, in --help too. A class says which
group of plugins its kinds are registered in by `plugins`.
"""

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
"""The key, beside its options, that says which class a field's value is of."""


def open_fields(config: type) -> dict[str, type]:
    """The fields whose type is an abstract class with kinds of its own, with that class."""
    types = {each.name: each.type for each in fields(config) if isinstance(each.type, type)}
    return {name: base for name, base in types.items() if inspect.isabstract(base) and hasattr(base, "plugins")}


def kind_of(value: Any, base: type) -> str:
    """The name that a value's class is registered under, or `module:Class` where it is not."""
    target = f"{type(value).__module__}:{type(value).__qualname__}"
    names = [plugin.name for plugin in installed(base.plugins) if _is(plugin, type(value))]  # type: ignore[attr-defined]
    return names[0] if names else target


def narrowed(config: type, argv: Sequence[str]) -> tuple[type, list[str], dict[str, str]]:
    """`config` with every open field of the class that the words or their config files name, else that of its default.

    Also the words, `--objective siglip` spelt out as `--objective.kind siglip`, and the kind of every open field.
    Raises MultiviewError for a kind that is not installed.
    """
    opened = open_fields(config)
    if not opened:
        return config, list(argv), {}
    words, given = _read(argv, opened)
    defaults = {each.name: _default(each) for each in fields(config) if each.name in opened}
    kinds = {name: given.get(name) or _kind_of_default(name, defaults[name], base) for name, base in opened.items()}
    made = {name: _of_kind(kinds[name], base, defaults[name]) for name, base in opened.items()}
    body = {"__doc__": config.__doc__, "__module__": config.__module__}
    narrow = [(name, type(value), field(default=value)) for name, value in made.items()]
    kind = make_dataclass(config.__name__, narrow, bases=(config,), frozen=True, kw_only=True, namespace=body)
    return kind, words, kinds


def refuse_another_kind(name: str, kind: str, found: str) -> None:
    """Raises MultiviewError when a mapping or file of options names another kind than the one whose options were read."""
    if found.lower() != kind.lower():
        raise MultiviewError(
            f"--{name} has a mapping or file of options of the kind '{found}', which is not read from there; name it first: "
            f"--{name} {found}, and then its options, or both in a --config file."
        )


def _default(field: Field[Any]) -> Any:
    """The default of a field; None where it has none."""
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else None


def _kind_of_default(name: str, default: Any, base: type) -> str:
    """As `kind_of`. Raises MultiviewError where there is no default."""
    if default is None:
        raise MultiviewError(f"this recipe has no {name} of its own; give --{name} NAME (`multiview list` has them).")
    return kind_of(default, base)


def _of_kind(kind: str, base: type, default: Any) -> Any:
    """The default where it is of that kind, else the kind with its own defaults."""
    # A class of the recipe's own file is in another module each time that the file is read.
    own = "" if default is None else kind_of(default, base)
    if own and (kind == own or (":" in own and kind.split(":")[1:] == [type(default).__qualname__])):
        return default
    group = base.plugins  # type: ignore[attr-defined]
    names = [name for plugin in installed(group) for name in (plugin.name, plugin.whole)]
    found = load(group, kind if kind in names else next((n for n in names if n.lower() == kind.lower()), kind))
    if not (isinstance(found, type) and issubclass(found, base)):
        raise MultiviewError(
            f"'{kind}' of multiview.{group} is no subclass of {base.__name__}; register the class itself."
        )
    return default if type(default) is found else found()


def _is(plugin: Any, kind: type) -> bool:
    """Whether a plugin is that very class; only one of its name is imported."""
    return plugin.target.rpartition(":")[2] == kind.__qualname__ and plugin.imported() is kind


def _read(argv: Sequence[str], opened: Mapping[str, type]) -> tuple[list[str], dict[str, str]]:
    """The words with every `--objective NAME` spelt out, and the kinds that they and their config files give."""
    words, given, position = [], {}, 0
    while position < len(argv):
        word, follows = argv[position], argv[position + 1] if position + 1 < len(argv) else ""
        match = re.fullmatch(r"--([\w.-]+?)(?:=(.*))?", word, flags=re.DOTALL)
        name, value = (match[1].replace("-", "_"), follows if match[2] is None else match[2]) if match else ("", "")
        owner = _owner(name, opened)
        if name in opened and _is_name(value):
            words.append(f"--{name}.{KIND}={value}")
            given[name] = value
            position += match is not None and match[2] is None
        else:
            words.append(word)
            given |= {owner: value} if owner else _in_file(value, opened) if name == "config" else {}
        position += 1
    return words, given


def _owner(option: str, opened: Mapping[str, type]) -> str:
    """The field whose kind an option gives; `--kind` is that of an only one."""
    return next((name for name in opened if option == f"{name}.{KIND}" or (option == KIND and len(opened) == 1)), "")


def _is_name(value: str) -> bool:
    """Not a file or a mapping of options, which the parser takes in the same place."""
    return bool(re.fullmatch(r"[\w./:-]+", value)) and not value.startswith("-") and not Path(value).is_file()


def _in_file(path: str, opened: Mapping[str, type]) -> dict[str, str]:
    """The kinds that a config file gives; what is wrong with the file is the parser's to say."""
    try:
        held = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    options = {name: held.get(name) for name in opened} if isinstance(held, dict) else {}
    return {name: str(own[KIND]) for name, own in options.items() if isinstance(own, dict) and KIND in own}
