"""Frozen dataclasses as command-line options and as YAML, with errors that suggest a name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, get_type_hints

import docstring_parser
import jsonargparse
import yaml

from multiview import old_import_paths
from multiview.errors import MultiviewError, suggestion
from multiview.option_values import as_list, list_options, one_of, refuse_misfits
from multiview.plugin_fields import KIND, kind_of, narrowed, open_fields, refuse_another_kind
from multiview.plugins import installed

__getattr__ = old_import_paths.names_of("options")

T = TypeVar("T")

PLAIN_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "NoneType": "null",
}
PREFIXES = (
    "The last part of an option is enough where no other option ends in it: --epochs for --train.epochs. "
    "Options that are true or false need no value (--plan)."
)


class _Help(jsonargparse.DefaultHelpFormatter):
    """Wraps each paragraph of a text on its own; keeps indented lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (
            each if "\n  " in each else super(_Help, self)._fill_text(each, width, indent)
            for each in text.split("\n\n")
        )
        return "\n\n".join(paragraphs)


class _Parser(jsonargparse.ArgumentParser):
    """A parser that raises MultiviewError."""

    def __init__(self, prog: str, words: str, description: str, epilog: str) -> None:
        usage = f"{prog} {words}"
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=_Help,
            allow_abbrev=False,
            default_env=False,
        )
        self.add_argument("--config", action="config", help="YAML file of options; later options override it")

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise MultiviewError(_plain(message, list(self._option_string_actions), self.prog, self.usage)) from ex

    def values_of(self, words: Sequence[str], kinds: Mapping[str, str], config: type) -> dict[str, Any]:
        """The values of the fields of `config`. `kinds`: the kind of every open field, by name."""
        try:
            parsed = self.parse_args(words)
            refuse_misfits(parsed, config)
            for name, kind in kinds.items():
                refuse_another_kind(name, kind, str(parsed.get(f"{name}.{KIND}", kind)))
            for name in ("config", *(f"{name}.{KIND}" for name in kinds)):
                parsed.pop(name, None)
            values: dict[str, Any] = self.instantiate(parsed).as_dict()
        except jsonargparse.ArgumentError as error:
            self.error(str(error), error)
        return values


def parse(
    config: type[T],
    argv: Sequence[str],
    *,
    prog: str,
    description: str | None = None,
    words: str = "[options]",
    epilog: str = "",
    first: str = "",
) -> T:
    """Reads an instance of the frozen dataclass `config` from command-line words.

    Every field is an option. Fields of nested dataclasses are dotted (`--train.epochs 5`), and the
    last part is enough where no other option ends in it (`--epochs 5`). `--config FILE.yaml` reads
    a file, `--print_config` prints one.

    Args:
        config: the dataclass.
        argv: the words.
        prog: the words to type before `argv`, as the usage line and errors show them.
        description: text at the top of --help; None = the docstring of `config`.
        words: what the usage line shows after `prog`. STORE makes the field `store` a positional
            word. A field of the type `tuple[str, ...]` takes several words.
        epilog: text at the end of --help.
        first: text at the start of --help, behind the usage line, such as examples.

    Raises:
        MultiviewError: a word is missing, unknown or has a wrong value.
    """
    argv = _without_aliases(argv, getattr(config, "aliases", {}))
    parser, narrow, given, kinds, positional = parser_of(config, argv, prog, description, words, epilog, first)
    known = [option.removeprefix("--") for option in parser._option_string_actions if option.startswith("--")]
    expanded = _expanded(given, known, narrow)
    lists = {name: texts for name, texts in list_options(narrow).items() if name not in positional}
    expanded = _with_brackets(expanded, lists, gather=not positional)
    values = parser.values_of(_positional_first(expanded), kinds, narrow)
    several = {name: tuple(values[name]) for name in positional if isinstance(values[name], list)}
    return config(**values | several)


def _without_aliases(argv: Sequence[str], aliases: Mapping[str, str]) -> list[str]:
    """The words with the other names of options replaced, as `--in` and `--in=x` by `--within`."""
    parts = [word.partition("=") for word in argv]
    return [aliases.get(name, name) + equals + value for name, equals, value in parts]


class Reading(NamedTuple):
    """The parser of a dataclass, and what it needs to read some words."""

    parser: _Parser
    config: type
    given: Sequence[str]
    kinds: Mapping[str, str]
    positional: list[str]


def parser_of(
    config: type,
    argv: Sequence[str],
    prog: str,
    description: str | None = None,
    words: str = "[options]",
    epilog: str = "",
    first: str = "",
) -> Reading:
    """The parser that `parse` uses; `argv` chooses the kinds of open fields, such as --objective.

    The arguments are those of `parse`.
    """
    positional = list(dict.fromkeys(name.lower() for name in re.findall(r"[A-Z][A-Z_]*", words)))
    about = (inspect.getdoc(config) or "" if description is None else description).split("\n\nArgs:")[0]
    shown = "\n\n".join(filter(None, (first, about)))
    parser = _Parser(prog, words, shown, "\n\n".join(filter(None, (PREFIXES, epilog))))
    narrow, given, kinds = narrowed(config, argv)
    parser.add_class_arguments(narrow, as_group=False, as_positional=False, skip=set(positional))
    for name in positional:
        _add_positional(parser, config, name)
    for name, kind in kinds.items():
        _add_kind(parser, name, kind, open_fields(config)[name])
    return Reading(parser, narrow, given, kinds, positional)


def _add_positional(parser: _Parser, config: type, name: str) -> None:
    """Adds a positional word: one, none or one where the field may be None, several for a tuple."""
    about = {param.arg_name: param.description for param in docstring_parser.parse(config.__doc__ or "").params}
    (own,) = (field for field in fields(config) if field.name == name)
    several: dict[str, Any] = {}
    if get_type_hints(config)[name] == tuple[str, ...]:
        several = {"nargs": "+"} if own.default is MISSING else {"nargs": "*", "default": list(own.default)}
    elif own.default is None:
        several = {"nargs": "?", "default": None}
    parser.add_argument(name, type=str, help=about.get(name) or "a folder", **several)


def _add_kind(parser: _Parser, name: str, kind: str, base: type) -> None:
    """Adds `--objective.kind`, and describes `--objective`, which takes a kind too."""
    names = ", ".join(plugin.name for plugin in installed(base.plugins))  # type: ignore[attr-defined]
    about = f"the same as --{name} KIND; with --help, the options of that kind are shown here"
    parser.groups[name].add_argument(f"--{name}.{KIND}", type=str, default=kind, help=about)
    whole = parser._option_string_actions[f"--{name}"]
    whole.metavar, whole.help = "KIND", f"{names}; or a YAML file of the options that follow"


def _expanded(argv: Sequence[str], known: list[str], config: type) -> list[str]:
    """Completes names of options (`--micro-batch`, `--epochs`) and gives flags the value `true`."""
    flags = flags_of(config)
    words: list[str] = []
    for position, word in enumerate(argv):
        match = re.fullmatch(r"--([A-Za-z][\w.-]*)(=.*)?", word, flags=re.DOTALL)
        if not match:
            words.append(word)
            continue
        name = _full_name(match[1], known)
        words.append(f"--{name}{match[2] or ''}")
        next_word = argv[position + 1] if position + 1 < len(argv) else "--"
        if name in flags and not match[2] and next_word not in ("true", "false"):
            words.append("true")
    return words


def _with_brackets(words: Sequence[str], lists: Mapping[str, bool], gather: bool) -> list[str]:
    """Writes the values of options that take lists as lists: `L,ab` as `["L", "ab"]`.

    gather: whether `--views L ab` is a list too, where no word of its own follows an option."""
    left, done = _joined_targets(words), []
    while left:
        option, equals, value = left.pop(0).partition("=")
        if option.removeprefix("--") not in lists or not option.startswith("--"):
            done.append(option + equals + value)
            continue
        items = [value] if equals else []
        while left and not left[0].startswith("--") and (not items or (gather and not items[0].startswith("["))):
            items.append(left.pop(0))
        joined = ",".join(items)
        done += [f"{option}={as_list(joined, lists[option.removeprefix('--')])}"] if items else [option]
    return done


def _joined_targets(words: Sequence[str]) -> list[str]:
    """The words with all `--target COLUMN` as one `--target=COLUMN,COLUMN`."""
    left, done, targets = list(words), [], list[str]()
    while left:
        option, equals, value = left.pop(0).partition("=")
        if option != "--target":
            done.append(option + equals + value)
        elif equals or (left and not left[0].startswith("--")):
            targets.append(value if equals else left.pop(0))
        else:
            done.append(option)
    return [*done, *([f"--target={','.join(targets)}"] if targets else [])]


def _positional_first(words: list[str]) -> list[str]:
    """Moves options and their values behind the positional words, which argparse wants together."""
    positional: list[str] = []
    options: list[str] = []
    for word in words:
        before = options[-1] if options else ""
        wants_value = before.startswith("--") and "=" not in before and before not in ("--help", "--print_config")
        (options if wants_value or word.startswith("-") else positional).append(word)
    return positional + options


def _full_name(given: str, known: list[str]) -> str:
    """`train.epochs` for `epochs`; an exact or unknown name stays as it is."""
    name = given.replace("-", "_")
    for exact in (given, name):
        if exact in known:
            return exact
    ends = [full for full in known if full.endswith(f".{name}")]
    shallow = [full for full in ends if full.count(".") == min(end.count(".") for end in ends)]
    if len(shallow) > 1:
        options = " or ".join(f"--{full}" for full in sorted(shallow))
        raise MultiviewError(f"--{given} could be {options}; write one of these names.")
    return shallow[0] if shallow else name


def flags_of(config: type, prefix: str = "") -> set[str]:
    """Dotted names of the boolean fields."""
    names = set()
    for field in fields(config):
        if field.type is bool or field.type == "bool":
            names.add(prefix + field.name)
        elif is_dataclass(field.default):
            names |= flags_of(type(field.default), f"{prefix}{field.name}.")
    return names


def _plain(message: str, known: list[str], prog: str, usage: str) -> str:
    """The parser's message in one line, with the nearest option for an unknown option."""
    text = re.sub(r"\s*\n\s*", " ", message.strip())
    missing = re.fullmatch(r"the following arguments are required: (.*)", text)
    if missing:
        verb = "are" if "," in missing[1] else "is"
        return f"{missing[1].upper()} {verb} missing; type `{usage}` (`{prog} --help` explains the options)."
    unknown = re.search(r"unrecognized arguments?: (--?[\w.-]+)", text, flags=re.IGNORECASE)
    key = re.search(r"(?:does not accept option|Key|Option) '([\w.]+)'|Unrecognized key '?([\w.]+)", text)
    given = unknown[1].removeprefix("--") if unknown else key[1] or key[2] if key else ""
    if given:
        options = {option.removeprefix("--") for option in known if option.startswith("--")}
        return f"{_unknown_option(given, options)} `{prog} --help` lists all options."
    if text.startswith("Unexpected config:"):
        held = text.partition(":")[2].strip() or "nothing"
        return f"the file of --config holds {held} instead of options; write lines such as `seed: 1`."
    file = re.match(r"Parser key \"([\w.]+)\": Unable to load config ['\"](.*?)['\"]", text)
    if file:
        return (
            f"--{file[1]} takes a YAML file of its options, and '{file[2]}' is no such file; give the file, or the "
            f"options one by one{_first_of(file[1], known)} (`{prog} --help` lists them)."
        )
    wrong = re.fullmatch(r"Parser key \"([\w.]+)\": (.*)", text)
    return f"--{wrong[1]}: {_wrong_value(wrong[2])}" if wrong else text


def _first_of(group: str, known: Sequence[str]) -> str:
    """`, such as --crop.size` for the group `crop`."""
    first = next((option for option in known if option.startswith(f"--{group}.")), None)
    return f", such as {first}" if first else ""


ELSEWHERE = {
    "crop": "size",
    "crop_size": "size",
    "image_size": "size",
    "img_size": "size",
    "resolution": "size",
    "batch_size": "batch",
    "learning_rate": "lr",
    "backbone": "encoder",
    "arch": "encoder",
    "model": "encoder",
}
"""Names of options in other programs -> ours."""


def _unknown_option(given: str, options: set[str]) -> str:
    """The sentences about an option that does not exist, or does not exist in that place."""
    elsewhere = ", ".join(sorted(f"--{option}" for option in options if option.endswith(f".{given}")))
    if elsewhere:
        return f"there is no option '{given}' in that place; {elsewhere} is another option."
    first, last = given.partition(".")[0], given.rpartition(".")[2]
    deeper = sorted(option for option in options if option.startswith(f"{first}.") and option.endswith(f".{last}"))
    if deeper:
        return f"there is no option '{given}'. Did you mean '{deeper[0]}'?"
    last_words = {option.rsplit(".", 1)[-1] for option in options}
    if ELSEWHERE.get(given) in last_words:
        return f"there is no option '{given}'. Did you mean '{ELSEWHERE[given]}'?"
    nearest = suggestion(given, options if "." in given else last_words) or suggestion(given, options)
    return f"there is no option '{given}'.{nearest}"


def _wrong_value(text: str) -> str:
    """`expected a whole number. Given: ten` for `Expected a <class 'int'>. Got value: ten`."""
    choice = re.fullmatch(r"Expected a typing\.Literal\[(.*)\]\. Got value: (.*)", text)
    if choice:
        names = [name.strip("'\"") for name in choice[1].split(", ")]
        return f"'{choice[2]}' is none of {', '.join(names)}.{suggestion(choice[2], names)}"
    several = re.search(r"Expected a <class 'tuple'>.* (?:Given|Got) value: (.*)$", text)
    if several and several[1].startswith(("[", "(", "None", "{")):
        return f"expected a list of values of the right type. Given: {several[1]}"
    if several:
        return f"expected a list, in brackets: [{several[1]}]. Given: {several[1]}"
    union = re.fullmatch(r"Does not validate against any of the Union subtypes Subtypes: \[(.*)\] Errors: .*", text)
    given = text.rpartition("Given value: ")[2]
    if union and (kinds := _kinds_in(union[1])):
        return f"expected {' or '.join(kinds)}. Given: {given}"
    plain = re.sub(
        r"Expected a (?:<class )?'(\w+)'>?\.", lambda kind: f"expected {PLAIN_TYPES.get(kind[1], kind[1])}.", text
    )
    return re.sub(r"Got value: (.*)", r"Given: \1", plain)


def _kinds_in(subtypes: str) -> list[str]:
    """`one of ema, first-batch` and `a number` for a union, null last; none for other kinds."""
    member = r"typing\.Literal\[([^\]]*)\]|<class '(\w+)'>"
    found = list(re.finditer(member, subtypes))
    if re.sub(member, "", subtypes).strip(", ") or any(each[2] and each[2] not in PLAIN_TYPES for each in found):
        return []
    kinds = [PLAIN_TYPES[each[2]] if each[2] else one_of(each[1]) for each in found]
    return sorted(kinds, key=PLAIN_TYPES["NoneType"].__eq__)  # versions of jsonargparse differ in the order


def to_dict(value: Any) -> Any:
    """A (nested) frozen dataclass as plain dictionaries, lists and numbers, for YAML and JSON."""
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
    """A dataclass as YAML text; `--config` reads the same value from it."""
    return yaml.safe_dump(to_dict(value), sort_keys=False, allow_unicode=True)
