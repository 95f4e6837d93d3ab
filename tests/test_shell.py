"""The shell: completion, versions, colours, and the page about the commands."""

from __future__ import annotations

import io
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from goldens import command

from multiview import cli
from multiview.commandline import Command
from multiview.commands.doctor import STYLES
from multiview.exits import EXIT_CODES
from multiview.terminal import SafeConsole

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/commands.md").read_text("utf8")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash."""
    pytest.importorskip("shtab")
    file = tmp_path_factory.mktemp("shell") / "completion.bash"
    with redirect_stdout(io.StringIO()) as said:
        assert command("completion", "bash") == 0
    file.write_text(said.getvalue())
    return file


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("multiview em", {"embed"}),
        ("multiview train cm", {"cmc_lab", "cmc_rgbd"}),
        ("multiview train cmc_lab --epo", {"--epochs"}),
        ("multiview train cmc_lab --train.epo", {"--train.epochs"}),
        ("multiview check view depth_n", {"depth_normal"}),
        ("multiview preprocess fold", {"folder"}),
        ("multiview list enc", {"encoders"}),
        ("multiview completion z", {"zsh"}),
        ("multiview doctor --js", {"--json"}),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(script: Path, words: str, expected: set[str]) -> None:
    code = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        '_shtab_multiview multiview "${COMP_WORDS[COMP_CWORD]}" ""; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected, done.stderr


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("fpath+={folder}; compinit -u -D", "_multiview"),
        ("compinit -u -D; source {folder}/_multiview", "_shtab_multiview"),
        ('compinit -u -D; eval "$(cat {folder}/_multiview)"', "_shtab_multiview"),
        ("compinit -u -D; source <(cat {folder}/_multiview)", "_shtab_multiview"),
    ],
)
@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_from_a_folder_and_from_a_sourced_script(way: str, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    with redirect_stdout(io.StringIO()) as said:
        assert command("completion", "zsh") == 0
    (tmp_path / "_multiview").write_text(said.getvalue())
    code = f"autoload -U compinit; {way.format(folder=tmp_path)}; print $_comps[multiview]"
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_words_that_are_no_option_may_be_files(script: Path) -> None:
    assert "complete -o bashdefault -o default -F _shtab_multiview multiview" in script.read_text()


def test_another_shell_is_a_mistake_and_shtab_may_be_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("completion", "bsh") == 2
    assert "Did you mean 'bash'?" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert command("completion", "bash") == 2
    assert "pip install 'multiview-cmc[completion]'" in capsys.readouterr().err


def test_the_version_names_torch_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S* \(torch \d\S*, Python 3\.\S+\)\n", capsys.readouterr().out)


def test_python_dash_m_is_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["multiview", "--version"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("multiview", run_name="__main__")
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize("each", [each for each in cli.COMMANDS if each.examples], ids=lambda each: each.name)
def test_help_begins_with_examples(each: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([each.name, "--help"])
    parts = capsys.readouterr().out.split("\n\n")
    assert parts[0] == f"usage: multiview {each.name} {each.words}"
    assert parts[1].splitlines() == ["examples:", *(f"  {example}" for example in each.examples)]


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_off_in_a_pipe_and_by_no_color(
    terminal: bool, no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color) if no_color else monkeypatch.delenv("NO_COLOR", raising=False)
    out = io.StringIO()
    SafeConsole(file=out, force_terminal=terminal or None).print("broken", style=STYLES["broken"])
    assert ("31m" in out.getvalue()) == coloured


def test_force_color_in_a_pipe_gives_colours_but_no_bars_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = SafeConsole(file=io.StringIO())
    console.print("broken", style=STYLES["broken"])
    assert "31m" in console.file.getvalue()  # type: ignore[attr-defined]
    assert not console.is_terminal


def test_a_notebook_shows_plain_text_and_a_file_gets_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich would show HTML with long lines cut, and also show what is printed into a file."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *_: pytest.fail("rich displays HTML"))
    out = io.StringIO()
    SafeConsole(file=out).print("into a file")
    SafeConsole().print("long " * 59 + "long", soft_wrap=True)
    assert out.getvalue() == "into a file\n"
    assert capsys.readouterr().out == "long " * 59 + "long\n"


def test_the_page_lists_every_command_and_every_exit_code() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"\w+", row)]
    assert listed == [each.name for each in cli.COMMANDS]
    codes = set(re.findall(r"^  (\d+)", EXIT_CODES, flags=re.MULTILINE)) - {"128"}
    assert codes <= set(re.findall(r"^\| (\d+)", PAGE, flags=re.MULTILINE))


def test_the_page_names_every_line_of_the_doctor() -> None:
    from multiview.doctor.groups import CHECKS

    lines = PAGE.partition("| line | examines |")[2].partition("`multiview doctor --json`")[0]
    named = {
        name.strip() for row in re.findall(r"^\| ([^|]*) \|", lines, flags=re.MULTILINE) for name in row.split(",")
    }
    assert named >= {check.__name__.replace("_", " ") for checks in CHECKS.values() for check in checks}
