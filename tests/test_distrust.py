"""Foreign code and texts: runs that name a Python file, plugins that exit, names with escapes."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import multiview as mv
from multiview import launch, plugins
from multiview.catalogue import lines
from multiview.errors import MultiviewError, printable
from multiview.exits import MISTAKE, exit_code_of
from multiview.ops.multilinear import mixed_orders
from multiview.ops.spread import spread
from multiview.recipe_origin import recipe_of, remember
from multiview.terminal import SafeConsole, say
from multiview.train.health import of_view
from multiview.train.processes import SHARDED, start

RECIPE = """
from pathlib import Path
import multiview as mv
Path(__file__).with_name("ran").write_text("")
class Mine(mv.Recipe):
    '''A recipe.'''
"""


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose recipe is `recipe.py` beside it; this user has trained nothing before."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "recipe.py").write_text(RECIPE)
    folder = tmp_path / "run"
    folder.mkdir()
    name_recipe(folder, {"file": str(tmp_path / "recipe.py"), "class": "Mine"})
    (folder / "config.yaml").write_text("seed: 0\n")
    return folder


def name_recipe(folder: Path, origin: dict[str, str]) -> None:
    (folder / "environment.json").write_text(json.dumps({"recipe": origin, "data": {"path": "x", "spec": "x"}}))


def test_a_strangers_run_executes_nothing(run_folder: Path) -> None:
    with pytest.raises(MultiviewError, match=r"recipe\.py\. Nothing was run.*--trust_code"):
        recipe_of(run_folder)
    with pytest.raises(MultiviewError, match="Nothing was run"):
        mv.load(run_folder)
    assert not (run_folder.parent / "ran").exists()


def test_code_runs_when_it_is_allowed_or_was_trained_with_before(run_folder: Path) -> None:
    assert type(recipe_of(run_folder, trust_code=True)).__name__ == "Mine"
    remember({"file": str(run_folder.parent / "recipe.py"), "class": "Mine"})
    assert type(recipe_of(run_folder)).__name__ == "Mine"


@pytest.mark.parametrize(("answer", "runs"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_the_user_is_asked_on_a_terminal(answer: str, runs: bool, run_folder: Path, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", shown)
    if runs:
        recipe_of(run_folder)
    else:
        with pytest.raises(MultiviewError, match="Nothing was run"):
            recipe_of(run_folder)
    assert str(run_folder.parent / "recipe.py") in shown.getvalue()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "AttributeError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("1 / 0", "ZeroDivisionError"),
        ("Mine = 3", "no Recipe"),
    ],
)
def test_a_recipe_file_that_does_not_fit_is_a_message(text: str, reason: str, run_folder: Path) -> None:
    (run_folder.parent / "recipe.py").write_text(text)
    with pytest.raises(MultiviewError, match=reason):
        recipe_of(run_folder, trust_code=True)


def test_a_state_folder_that_cannot_be_written_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remember({"file": "/x.py", "class": "X"})
    assert (tmp_path / "file").read_text() == ""


HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202egnp.exe", "\x08\x08\r", "\udcff"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_escape_reaches_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"photo{text}[red]x[/red]:smile:"
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, width=200, color_system=None)
    table = Table(name)
    table.add_row(name)
    for thing in (name, table):
        console.print(thing, highlight=False)
    say(name)
    assert exit_code_of(lambda: (_ for _ in ()).throw(MultiviewError(name))) == MISTAKE
    printed = capsys.readouterr()
    for shown in (out.getvalue(), printed.out, printed.err):
        assert not set(text) & set(shown) & set("\x1b\x9b\u202e\x08\r\x07\udcff")
        assert "[red]x[/red]:smile:" in shown


@pytest.mark.parametrize("text", ["größe ✓", "写真", "😀\u200d👩", "a\tb\nc"])
def test_usual_names_are_printed_as_they_are(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("statement", ["raise SystemExit", "import sys; sys.exit(0)", "quit()", "1 / 0"])
def test_a_plugin_that_ends_the_program_is_broken(statement: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "rude.py").write_text(statement)
    monkeypatch.syspath_prepend(str(tmp_path))
    rude = plugins.Plugin("rude", "views", "rude:View", "rude-package")
    monkeypatch.setattr(plugins, "_registered", lambda _: (rude,))
    with pytest.raises(MultiviewError, match="'rude' of rude-package cannot be imported"):
        plugins.load("views", "rude")
    assert any("BROKEN" in line for line in lines(["views"]))


@pytest.mark.parametrize("variable", SHARDED)
def test_training_that_splits_the_model_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(MultiviewError, match="whole model on each process"):
        start(mv.Train(), "x.py")


class NoFloat64(TorchDispatchMode):
    """Like MPS: refuses every operation that makes a float64 tensor."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            made = func is not torch.ops.aten.lift_fresh.default  # else an array of numpy, on the CPU
            if made and isinstance(x, torch.Tensor) and x.dtype == torch.float64:
                raise TypeError(f"{func} makes float64, which this device does not have")
        return out


@pytest.mark.parametrize("rows", [2, 16, 300])
def test_measures_of_a_step_need_no_float64(rows: int) -> None:
    z = torch.nn.functional.normalize(torch.randn(rows, 32), dim=1)
    with NoFloat64():
        gauge = spread(z, torch.arange(rows) != 1)
        of_view(z)
        orders = mixed_orders(torch.rand(rows, 3), torch.ones(rows, dtype=torch.bool))
    assert gauge.dtype == torch.float32
    assert orders.shape == (3, rows)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cmc_lab", "simclr", "moco", "simsiam", "mixed"])
def test_a_logged_step_needs_no_float64(recipe: str, scenes: Path, tmp_path: Path, monkeypatch) -> None:
    from small_runs import run

    from multiview.train import loop

    step = loop.contrast_step

    def refusing(parts, *args, **options):
        def views(*inputs):  # their draws, and tables for a CPU, are made on the CPU on every machine
            with _disable_current_modes():
                return parts.layer(*inputs)

        views.views = parts.layer.views
        with NoFloat64():
            return step(replace(parts, layer=views), *args, **options)

    monkeypatch.setattr(loop, "contrast_step", refusing)
    assert run(recipe, scenes, tmp_path / "run", "--steps", "2") == 0


def test_fit_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with launch.protected_children():
        pass
    import os

    assert "PYTHONSAFEPATH" not in os.environ
