"""The whole line to type when a word stands in the place of a command or of a recipe."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError, printable
from multiview.papers import PREFIX
from multiview.plugins import installed
from multiview.remote.address import is_address

if TYPE_CHECKING:
    from multiview.commandline import Command

GRAPHS = (".yaml", ".yml")
DATA_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".npz", ".npy", ".h5", ".hdf5", ".mat")
"""Files of data; a file with another ending, or none, may be a graph file."""
GENERATED = re.compile(r"(scenes|trifeature)(:\d+)?|(hf|folder):.+")
"""Data that no path names."""
RECORDS = {
    "environment.json": ("a run", "multiview report {}"),
    "model.json": ("a model", "multiview embed {} INPUT OUT"),
}
"""A file of a folder that the toolkit wrote -> what the folder is, and a line that reads it."""


def require_command(command: Command, words: Sequence[str]) -> None:
    """Raises MultiviewError with the line to type when the first word is a recipe or data.

    Does nothing for a word that could be anything.
    """
    if words[0].startswith("-"):
        raise MultiviewError(_option_first(command, words))
    what, line = _meant(command, words)
    if line:
        raise MultiviewError(f"'{printable(words[0])}' is {what}, not a {_place(command)}; type `{line}`.")


def require_recipe(command: Command, words: Sequence[str]) -> None:
    """Raises MultiviewError with the line to type when data stand beside the recipe, or for it.

    words: the words after the command; the first is the recipe or a graph file.
    """
    word, *rest = words
    if word.endswith(".py") and Path(word).is_file():
        line = _joined("accelerate launch", *words)
        raise MultiviewError(f"'{printable(word)}' is a file of Python; type `{line}`.")
    if found := _written(word):
        if command.name != "graph":  # which draws the graph of a run
            raise MultiviewError(f"'{printable(word)}' is {found[0]}, not a recipe; type `{found[1]}`.")
        return
    if word not in {plugin.name for plugin in installed("recipes")} and (what := _data(word)):
        line = _joined(command.prog, "auto", "--data", word, *rest)
        raise MultiviewError(f"'{printable(word)}' is {what}, not a recipe; type `{line}`.")
    if rest and not rest[0].startswith("-") and word != "graph" and (what := _data(rest[0])):
        line = _joined(command.prog, word, "--data", *rest)
        raise MultiviewError(f"'{printable(rest[0])}' is {what}; type `{line}`.")


def _place(command: Command) -> str:
    return command.choice.lower()


def _joined(prog: str, *words: str) -> str:
    return printable(f"{prog} {shlex.join(words)}")


def _option_first(command: Command, words: Sequence[str]) -> str:
    """The message about options before the command: that word goes first, or `train auto` does."""
    names = {each.last_word for each in command.subcommands}
    first = next((word for word in words if word in names or (not _data(word) and _meant(command, [word])[1])), None)
    place = words.index(first) if first is not None else len(words)
    rest = [*words[place + 1 :], *words[:place]]
    if first is None:
        line = _joined("multiview", "train", "auto", *rest) if not command.name else f"{command.prog} {command.words}"
    else:
        line = _joined(command.prog, first, *rest) if first in names else _meant(command, [first, *rest])[1]
    return f"{printable(words[0])} stands where the {_place(command)} belongs, which is the first word; type `{line}`."


def _meant(command: Command, words: Sequence[str]) -> tuple[str, str]:
    """What the first word is, and the line to type; two empty texts when it could be anything."""
    word = words[0]
    if (found := _below(command, words)) or command.name:
        return found or ("", "")
    if word.startswith(PREFIX) or word.endswith(GRAPHS):
        return "a graph file", _joined("multiview train", *words)
    if word.endswith(".py") and Path(word).is_file():
        return "a file of Python", _joined("accelerate launch", *words)
    if found := _written(word):
        return found
    what = _data(word)
    return (what, _joined("multiview train auto --data", *words)) if what else ("", "")


def _below(command: Command, words: Sequence[str]) -> tuple[str, str] | None:
    """What the first word is, and the line, for a plugin or a subcommand of a subcommand."""
    for each in command.subcommands:
        if each.plugins and words[0] in {plugin.name for plugin in installed(each.plugins)}:
            return f"a {each.plugins.removesuffix('s')}", _joined(each.prog, *words)
        if words[0] in {inner.last_word for inner in each.subcommands}:
            return f"a {each.choice.lower()} of `{each.prog}`", _joined(each.prog, *words)
    return None


def _written(word: str) -> tuple[str, str] | None:
    """What a folder is that the toolkit wrote, and a line that reads it; None for other words."""
    for record, (what, line) in RECORDS.items():
        if (Path(word) / record).is_file():
            return what, line.format(printable(shlex.quote(word)))
    return None


def _data(word: str) -> str:
    """`a folder`, `a file` or `data`; empty for a word that names no data."""
    path = Path(word)
    if GENERATED.fullmatch(word) or is_address(word):
        return "data"
    if path.is_dir():
        return "a folder"
    return "a file" if path.is_file() and path.suffix in DATA_ENDINGS else ""
