"""Every command has help, an error for missing words, and suggestions for unknown options."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiview import cli
from multiview.commandline import Command
from multiview.errors import MultiviewError
from multiview.exits import exit_code_of
from multiview.options import parse
from multiview.plugins import installed, load


def all_commands(commands: tuple[Command, ...]) -> Iterator[Command]:
    for command in commands:
        yield command
        yield from all_commands(command.subcommands)


COMMANDS = tuple(all_commands(cli.COMMANDS))
NEEDS_WORDS = tuple(command for command in COMMANDS if not command.words.startswith("["))
WITH_PLUGINS = tuple(command for command in COMMANDS if command.plugins)

Captured = pytest.CaptureFixture[str]


def started(capsys: Captured, *words: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `multiview WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    return int(end.value.code or 0), *capsys.readouterr()


def named(commands: tuple[Command, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", commands, ids=lambda command: command.name)


@named(COMMANDS)
def test_help_of_every_command_names_the_command(command: Command, capsys: Captured) -> None:
    code, out, err = started(capsys, *command.name.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: multiview {command.name} {command.words}\n")
    assert all(example in out for example in command.examples)


@named(WITH_PLUGINS)
def test_help_of_a_plugin_names_the_plugin(command: Command, capsys: Captured) -> None:
    for plugin in installed(command.plugins):
        code, out, err = started(capsys, *command.name.split(), plugin.name, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: multiview {command.name} {plugin.name} ")


@named(NEEDS_WORDS)
def test_a_missing_word_is_a_mistake(command: Command, capsys: Captured) -> None:
    code, out, err = started(capsys, *command.name.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "missing; type `" in err
    assert f"`multiview {command.name} {command.words}`" in err


@named(tuple(command for command in COMMANDS if command.options))
def test_an_unknown_option_of_a_command_is_a_mistake_with_a_suggestion(command: Command, capsys: Captured) -> None:
    words = ["x"] * sum(word[0].isupper() for word in command.words.split())
    code, out, err = started(capsys, *command.name.split(), *words, "--confg", "x")
    assert (code, out) == (2, "")
    assert "there is no option 'confg'. Did you mean 'config'?" in err
    assert f"`multiview {command.name} --help` lists all options." in err


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        ("trian", "train"),
        ("check veiw", "view"),
        ("train cmc_lb", "cmc_lab"),
        ("preprocess foldr", "folder"),
        ("train cmc_lab --epoch 3", "epochs"),
        ("check parity cmc_lab --epoch 3", "epochs"),
        ("preprocess folder a b --workes 3", "workers"),
        ("check source scenes --cont 3", "count"),
        ("merge a b --overwite", "overwrite"),
        ("list view", "views"),
    ],
)
def test_a_misspelt_word_is_a_mistake_with_a_suggestion(words: str, suggested: str, capsys: Captured) -> None:
    code, out, err = started(capsys, *words.split())
    assert (code, out) == (2, "")
    assert f"Did you mean '{suggested}'?" in err


def test_multiview_alone_shows_its_commands_and_exit_codes(capsys: Captured) -> None:
    code, out, err = started(capsys)
    assert (code, err) == (2, "")
    assert started(capsys, "--help") == (0, out, "")
    assert out.startswith("usage: multiview COMMAND ...\n")
    assert all(f"  {command.name} " in out and command.summary in out for command in cli.COMMANDS)
    assert all(f"\n  {number}: " in out for number in ("0", "1", "2", "128+n"))


def test_exit_codes(capsys: Captured) -> None:
    def raise_(error: BaseException) -> int:
        raise error

    assert exit_code_of(lambda: 1) == 1
    assert exit_code_of(lambda: raise_(MultiviewError("give 2."))) == 2
    assert exit_code_of(lambda: raise_(KeyboardInterrupt())) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "error: give 2.\ninterrupted\n"


def test_several_words_may_stand_around_options() -> None:
    from multiview.commands.stores import Merge

    usage = "OUT STORE [STORE ...] [options]"
    expected = Merge(out="a", store=("b", "c"), overwrite=True)
    for words in ("a b c --overwrite", "--overwrite a b c", "a --overwrite b c", "a b --overwrite c"):
        assert parse(Merge, words.split(), prog="merge", words=usage) == expected, words


@named(COMMANDS)
def test_every_target_of_the_table_exists(command: Command) -> None:
    from multiview.commandline import _imported

    for target in (command.action, command.options):
        assert not target or callable(_imported(target))
    assert sum(map(bool, (command.options, command.plugins, command.subcommands))) == 1


def test_a_recipe_started_by_its_file_names_the_file(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from multiview.launch import exit_code

    monkeypatch.setattr("sys.argv", [str(Path("recipes/cmc_lab.py"))])
    with pytest.raises(SystemExit):
        exit_code(load("recipes", "cmc_lab"), ["--help"])
    assert capsys.readouterr().out.startswith("usage: cmc_lab.py [options]\n")
