"""`multiview completion`: a script that completes commands, plugins and options in a shell."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

from multiview.commandline import Command
from multiview.errors import MultiviewError, unknown_name
from multiview.exits import DONE
from multiview.plugins import GROUPS, installed, load

PATHS = re.compile(r"(^|\.)(data|out|config|cache|model|sheet|svg|weights|input|gallery|query|run|store|folder|graph)$")
"""Options and words whose values are paths."""
SHELLS = ("bash", "zsh")
OF_PLUGINS = {"check view": "views", "check encoder": "encoders", "check objective": "objectives"}
"""Commands whose NAME is an installed plugin."""
CHANGES = {
    # Bash falls back to files, for words such as a graph file in place of a recipe.
    "complete -o bashdefault -F": "complete -o bashdefault -o default -F",
    # In zsh, the context of `source FILE` is "file"; shtab expects "eval" and would complete.
    "[[ $zsh_eval_context[-1] == eval ]]": "[[ $zsh_eval_context[-1] == (eval|file) ]]",
}
"""Lines of shtab's scripts, and what stands there instead."""
WORDS = {"group": GROUPS, "shell": SHELLS}
"""The values of words that are not options."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Prints a script that completes commands, plugins, options and paths with the Tab key.

    Print it again after an update, or after another package with plugins was installed.

    Args:
        shell: bash or zsh.
    """

    shell: str


def completion(options: Completion, commands: Sequence[Command]) -> int:
    """multiview completion SHELL. commands: all commands of the program."""
    if options.shell not in SHELLS:
        raise unknown_name("shell of this command", options.shell, SHELLS)
    try:
        import shtab
    except ImportError as cause:
        raise MultiviewError("completion needs shtab; type `pip install 'multiview-cmc[completion]'`.") from cause
    script = shtab.complete(whole(commands, shtab.FILE), options.shell)
    for generated, ours in CHANGES.items():
        script = script.replace(generated, ours)
    print(script)
    return DONE


def whole(commands: Sequence[Command], paths: Any) -> argparse.ArgumentParser:
    """All commands as one plain parser. paths: what shtab takes for "a file"."""
    parser = argparse.ArgumentParser(prog="multiview")
    parser.add_argument("--version", action="store_true", help="print versions")
    _add_all(parser, commands, paths)
    return parser


def _add_all(parser: argparse.ArgumentParser, commands: Sequence[Command], paths: Any) -> None:
    inside = parser.add_subparsers()
    for command in commands:
        own = inside.add_parser(command.last_word, help=_plain(command.summary))
        if command.subcommands:
            _add_all(own, command.subcommands, paths)
        elif command.plugins:
            _add_plugins(own, command, paths)
        else:
            _add_options(own, _imported(command.options), command.words, paths, OF_PLUGINS.get(command.name))


def _add_plugins(parser: argparse.ArgumentParser, command: Command, paths: Any) -> None:
    """Adds the plugins of a command, and the options of those that can be imported."""
    inside = parser.add_subparsers()
    for name in dict.fromkeys(plugin.name for plugin in installed(command.plugins)):
        own = inside.add_parser(name, help=name)  # without help, shtab leaves it out
        try:
            config = load(command.plugins, name)
        except MultiviewError:
            continue
        words = " ".join(re.findall(r"[A-Z]+", command.words)[1:])
        _add_options(own, config, "", paths, None)
        for word in words.lower().split():
            own.add_argument(word, nargs="?").complete = paths  # type: ignore[attr-defined]


def _add_options(parser: argparse.ArgumentParser, config: type, words: str, paths: Any, plugins: str | None) -> None:
    actions = _actions(config, words)
    known = [option.removeprefix("--") for action in actions for option in action.option_strings]
    for action in actions:
        if action.dest == "help":
            continue
        added = parser.add_argument(*_names(action, known), **_shape(action, plugins))
        if added.choices is None and PATHS.search(action.dest):
            added.complete = paths  # type: ignore[attr-defined]


@cache
def _actions(config: type, words: str) -> list[argparse.Action]:
    """The options of a dataclass; the same recipe stands behind several commands."""
    from multiview.options import parser_of

    return parser_of(config, [], "multiview", words=words).parser._actions


def _names(action: argparse.Action, known: Sequence[str]) -> list[str]:
    """`--train.epochs` and `--epochs` where no other option ends in it."""
    if not action.option_strings:
        return [action.dest]
    return list(dict.fromkeys(each for option in action.option_strings for each in _forms(option, known)))


def _forms(option: str, known: Sequence[str]) -> Iterator[str]:
    yield option
    last = option.removeprefix("--").rpartition(".")[2]
    if last not in known and sum(each.endswith(f".{last}") for each in known) == 1:
        yield f"--{last}"


def _shape(action: argparse.Action, plugins: str | None) -> dict[str, Any]:
    """Choices, number of values and help, as argparse takes them."""
    shape: dict[str, Any] = {"help": _plain(action.help or "")}
    if choices := _choices(action, plugins):
        shape["choices"] = choices
    if not action.option_strings:
        return shape | {"nargs": "*" if action.nargs in ("+", "*") else "?"}
    return shape | {"dest": action.dest}


def _choices(action: argparse.Action, plugins: str | None) -> list[str]:
    """The values that an option or word can have; empty = any."""
    if plugins and action.dest == "name":
        return [plugin.name for plugin in installed(plugins)]
    if not action.option_strings:
        return list(WORDS.get(action.dest, ()))
    kind = getattr(action, "_typehint", None)
    if kind is bool:
        return ["true", "false"]
    values = getattr(kind, "__args__", ()) if getattr(kind, "__origin__", None) is Literal else ()
    return [str(value) for value in values]


def _plain(text: str) -> str:
    """The first sentence of a help text, short, without signs that a shell reads."""
    first = re.split(r"(?<=[.;:])\s", " ".join(text.split()))[0].rstrip(".;:")
    return re.sub(r"[^\w ,()/-]", "", first)[:70]


def _imported(target: str) -> type:
    module, _, name = target.partition(":")
    kind: type = getattr(import_module(module), name)
    return kind
