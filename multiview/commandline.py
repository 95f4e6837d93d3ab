"""A command of `multiview` as a value, with its usage line, its help and its mistakes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from multiview.errors import MultiviewError, unknown_name
from multiview.exits import DONE
from multiview.misplaced import require_command, require_recipe

HELP = ("-h", "--help")
SHORT = {"-o": "--out"}
"""Short forms of options."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, such as `split`, or one subcommand, such as `check view`.

    The first word after the name is one of `subcommands`, or a plugin of the group `plugins`, or
    belongs to `options`. Targets are `module:name` and are imported only when they are needed.

    Args:
        name: the words that start the command, without `multiview`.
        summary: one line for the list of commands.
        words: the words that follow the name, as the usage line shows them.
        action: target of the function. It returns the exit code and takes the options, or the
            plugin's name and the words after the name.
        options: target of the dataclass of options.
        plugins: group of plugins: the first word is the name of one.
        subcommands: the commands of which the first word names one.
        about: the text of --help; None = the docstring of the options, or the summary.
        examples: whole commands to copy.
        epilog: the last text of --help of a command with subcommands.
    """

    name: str
    summary: str
    words: str
    action: str = ""
    options: str = ""
    plugins: str = ""
    subcommands: tuple[Command, ...] = ()
    about: str | None = None
    examples: tuple[str, ...] = ()
    epilog: str = ""

    @property
    def prog(self) -> str:
        """The words to type before `words`."""
        return f"multiview {self.name}".rstrip()

    @property
    def last_word(self) -> str:
        """`view` of `check view`."""
        return self.name.rpartition(" ")[2]

    @property
    def choice(self) -> str:
        """The first word of the usage line: RECIPE, SUBJECT, STORE."""
        return re.findall(r"[A-Z][A-Z_]*", self.words)[0]


def run(command: Command, words: Sequence[str]) -> int:
    """Runs a command with the words after its name and returns the exit code."""
    if command.options:
        options = _options(command, words)  # first: an action may import torch, and --help needs none
        return int(_imported(command.action)(options))
    if words and words[0] in HELP:
        print(help_text(command))
        return DONE
    if not words:
        raise MultiviewError(
            f"{command.choice} is missing; type `{command.prog} {command.words}` with one of "
            f"{', '.join(_names(command))}."
        )
    if command.plugins and words[0].startswith("-"):
        raise MultiviewError(_order(command, words))
    if command.plugins == "recipes":
        require_recipe(command, words)
    if command.plugins:
        return int(_imported(command.action)(words[0], words[1:]))
    return run(_subcommand(command, words), words[1:])


def _order(command: Command, words: Sequence[str]) -> str:
    """The message about options that stand before the word to which they belong."""
    from multiview.papers import is_graph_file

    names = _names(command)
    first = next((word for word in words if word in names or is_graph_file(word)), command.choice)
    rest = [word for word in words if word != first]
    return (
        f"{words[0]} stands where the {command.choice.lower()} belongs, which is the first word; type "
        f"`{command.prog} {first} {shlex.join(rest)}`."
    )


def help_text(command: Command) -> str:
    """The text of --help of a command that has no options of its own."""
    parts = [f"usage: {command.prog} {command.words}"]
    parts += [examples_text(command.examples)] if command.examples else []
    parts.append(command.about or command.summary)
    if command.plugins:
        parts.append(f"{command.plugins}: {', '.join(_names(command))}")
    else:
        width = max(len(each.last_word) for each in command.subcommands)
        lines = [f"  {each.last_word:<{width}}  {each.summary}" for each in command.subcommands]
        parts.append("\n".join([f"{command.choice.lower()}s:", *lines]))
    parts.append(f"`{command.prog} {command.choice} --help` lists the options of each {command.choice.lower()}.")
    return "\n\n".join([*parts, *([command.epilog] if command.epilog else [])])


def examples_text(examples: Sequence[str]) -> str:
    """The examples of --help, one on each line."""
    return "\n".join(["examples:", *(f"  {example}" for example in examples)])


def _options(command: Command, words: Sequence[str]) -> Any:
    from multiview.options import parse

    examples = examples_text(command.examples) if command.examples else ""
    return parse(
        _imported(command.options),
        [SHORT.get(word, word) for word in words],
        prog=command.prog,
        description=command.about,
        words=command.words,
        first=examples,
    )


def _names(command: Command) -> list[str]:
    """The words that may stand first."""
    if not command.plugins:
        return [each.last_word for each in command.subcommands]
    from multiview.plugins import installed

    return [plugin.name for plugin in installed(command.plugins)]


def _subcommand(command: Command, words: Sequence[str]) -> Command:
    word, by_name = words[0], {each.last_word: each for each in command.subcommands}
    if word not in by_name:
        require_command(command, words)
        kind = f"{command.choice.lower()} of `{command.prog}`"
        raise unknown_name(kind, word, by_name, f"`{command.prog} --help` explains them.")
    return by_name[word]


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
