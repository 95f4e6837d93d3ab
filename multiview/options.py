"""Turning dataclasses into a command line and back: options, YAML, dotted overrides, and errors that suggest."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import docstring_parser
import jsonargparse
import yaml

from multiview.choice_fields import KIND, kind_of, narrowed, open_fields, refuse_another_kind
from multiview.errors import MultiviewError, suggestion
from multiview.plugins import installed

T = TypeVar("T")

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
"""Types as people call them."""


class _Parser(jsonargparse.ArgumentParser):
    """A parser whose complaints are MultiviewErrors."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise MultiviewError(_plain(message, list(self._option_string_actions))) from ex


def parse(
    config: type[T], argv: Sequence[str], *, prog: str, description: str | None = None, positional: Sequence[str] = ()
) -> T:
    """An instance of the frozen dataclass `config` from command-line words.

    Every field is an option; nested dataclasses are dotted (`--train.epochs 5`), and the prefix may be left out where the last word is
    unique (`--epochs 5`). `--config FILE.yaml` reads a file, `--print_config` prints one. `positional` names fields given without a dash.
    description: what --help begins with, `config`'s docstring by default. Raises MultiviewError for anything that does not fit.
    """
    usage = " ".join(["%(prog)s", *(name.upper() for name in positional), "[options]"])
    about = (inspect.getdoc(config) or "" if description is None else description).split("\n\nArgs:")[0]
    epilog = "A prefix may be left out where the last word is unique (--epochs 5); true-or-false options need no value (--plan)."
    parser = _Parser(prog=prog, usage=usage, description=about, epilog=epilog, allow_abbrev=False, default_env=False)
    parser.add_argument("--config", action="config", help="YAML file of options; later options override it")
    narrow, given, kinds = narrowed(config, argv)
    parser.add_class_arguments(narrow, as_group=False, as_positional=False, skip=set(positional))
    for name in positional:
        _add_positional(parser, config, name)
    for name, kind in kinds.items():
        _add_kind(parser, name, kind, open_fields(config)[name])
    words = _expanded(
        given, [o.removeprefix("--") for o in parser._option_string_actions if o.startswith("--")], narrow
    )
    try:
        parsed = parser.parse_args(words)
        for name, kind in kinds.items():
            refuse_another_kind(name, kind, str(parsed.get(f"{name}.{KIND}", kind)))
        for name in ("config", *(f"{name}.{KIND}" for name in kinds)):
            parsed.pop(name, None)
        values = parser.instantiate(parsed)
    except jsonargparse.ArgumentError as error:
        parser.error(str(error), error)
    return config(**values.as_dict()) if hasattr(values, "as_dict") else values


def _add_positional(parser: jsonargparse.ArgumentParser, config: type, name: str) -> None:
    about = {param.arg_name: param.description for param in docstring_parser.parse(config.__doc__ or "").params}
    parser.add_argument(name, type=str, help=about.get(name) or "a folder")


def _add_kind(parser: jsonargparse.ArgumentParser, name: str, kind: str, base: type) -> None:
    names = ", ".join(plugin.name for plugin in installed(base.plugins))  # type: ignore[attr-defined]
    about = f"the same as --{name} KIND, which with --help shows the options of that kind here"
    parser.groups[name].add_argument(f"--{name}.{KIND}", type=str, default=kind, help=about)
    whole = parser._option_string_actions[f"--{name}"]
    whole.metavar, whole.help = "KIND", f"{names}; or a YAML file of the options that follow"


def _expanded(argv: Sequence[str], known: list[str], config: type) -> list[str]:
    """Dashes within names become underscores, unique last words get their prefix, and flags without a value get `true`."""
    flags = _flags(config)
    words: list[str] = []
    for position, word in enumerate(argv):
        match = re.fullmatch(r"--([A-Za-z][\w.-]*)(=.*)?", word, flags=re.DOTALL)
        if not match:
            words.append(word)
            continue
        name = _full_name(match[1], known)
        words.append(f"--{name}{match[2] or ''}")
        follows = argv[position + 1] if position + 1 < len(argv) else "--"
        if name in flags and not match[2] and follows not in ("true", "false"):
            words.append("true")
    return words


def _full_name(given: str, known: list[str]) -> str:
    for name in (given, given.replace("-", "_")):
        if name in known:
            return name
    name = given.replace("-", "_")
    ends = [full for full in known if full.endswith(f".{name}")]
    shallow = [full for full in ends if full.count(".") == min(e.count(".") for e in ends)]
    if len(shallow) > 1:
        raise MultiviewError(
            f"--{given} could be " + " or ".join(f"--{e}" for e in sorted(shallow)) + "; write one of them."
        )
    return shallow[0] if shallow else name


def _flags(config: type, prefix: str = "") -> set[str]:
    """Dotted names of the boolean fields."""
    found = set()
    for field in fields(config):
        if field.type is bool or field.type == "bool":
            found.add(prefix + field.name)
        elif is_dataclass(field.default):
            found |= _flags(type(field.default), f"{prefix}{field.name}.")
    return found


def _plain(message: str, known: list[str]) -> str:
    """The parser's complaint in one line, with the nearest option where one was not known."""
    text = re.sub(r"\s*\n\s*", " ", message.strip())
    missing = re.fullmatch(r"the following arguments are required: (.*)", text)
    if missing:
        return f"{missing[1].upper()} must be given; --help shows how."
    options = {option.removeprefix("--") for option in known if option.startswith("--")}
    leaves = {option.rsplit(".", 1)[-1] for option in options}
    unknown = re.search(r"unrecognized arguments?: (--?[\w.-]+)", text, flags=re.IGNORECASE)
    key = re.search(r"(?:does not accept option|Key|Option) '([\w.]+)'|Unrecognized key '?([\w.]+)", text)
    given = unknown[1].removeprefix("--") if unknown else key[1] or key[2] if key else ""
    if given:
        elsewhere = ", ".join(sorted(f"--{option}" for option in options if option.endswith(f".{given}")))
        if elsewhere:
            return f"there is no option '{given}' in that place; {elsewhere} is another. --help lists them all."
        near = suggestion(given, options if "." in given else leaves) or suggestion(given, options)
        return f"there is no option '{given}'.{near} --help lists them all."
    wrong = re.fullmatch(r"Parser key \"([\w.]+)\": (.*)", text)
    return f"--{wrong[1]}: {_of_value(wrong[2])}" if wrong else text


def _of_value(text: str) -> str:
    """The complaint about a value, in words: `Expected a typing.Literal['sgd', 'lars']. Got value: sdg` and the like."""
    choice = re.fullmatch(r"Expected a typing\.Literal\[(.*)\]\. Got value: (.*)", text)
    if choice:
        names = [name.strip("'\"") for name in choice[1].split(", ")]
        return f"'{choice[2]}' is none of {', '.join(names)}.{suggestion(choice[2], names)}"
    several = re.search(r"Expected a <class 'tuple'>.* Given value: (\S+)$", text)
    if several:
        return f"expected a list, in brackets: [{several[1]}]. Given: {several[1]}"
    plain = re.sub(r"Expected a (?:<class )?'(\w+)'>?\.", lambda kind: f"expected {KINDS.get(kind[1], kind[1])}.", text)
    return re.sub(r"Got value: (.*)", r"Given: \1", plain)


def to_dict(value: Any) -> Any:
    """Plain dictionaries, lists and numbers of a (nested) frozen dataclass, as YAML and JSON take them."""
    if is_dataclass(value) and not isinstance(value, type):
        kinds = {name: {KIND: kind_of(getattr(value, name), base)} for name, base in open_fields(type(value)).items()}
        options = {field.name: to_dict(getattr(value, field.name)) for field in fields(value)}
        return options | {name: kind | options[name] for name, kind in kinds.items()}
    if isinstance(value, dict):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_yaml(value: Any) -> str:
    """The YAML text that `--config` reads back into the same value."""
    return yaml.safe_dump(to_dict(value), sort_keys=False, allow_unicode=True)
