"""Every public name of `multiview` has an example in its docstring, and the example runs."""

from __future__ import annotations

import doctest
from pathlib import Path
from types import ModuleType

import pytest

import multiview as mv
from multiview.launch import exit_code
from multiview.recipes.cmc_lab import CmcLab

NAMES = [name for name in mv.__all__ if not isinstance(getattr(mv, name), ModuleType)]
ONE_STEP = ("--steps", "1", "--batch", "8", "--size", "16", "--width", "0.25", "--knn_every", "0", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: it holds 40 scenes and the run `runs/lab`."""
    path = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert exit_code(CmcLab, ["--data", "scenes:40", "--out", "runs/lab", "--evaluate", "false", *ONE_STEP]) == 0
    return path


def examples(name: str) -> list[doctest.DocTest]:
    """The examples in the docstring of a public name and of its methods."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = finder.find(getattr(mv, name), name, module=False, globs={"mv": mv})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_an_example(name: str) -> None:
    assert examples(name), "write an example that begins with >>> in its docstring"


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_public_name_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    for test in examples(name):
        runner.run(test, out=report.append, clear_globs=False)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def test_a_wrong_example_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mv.Edge, "__doc__", ">>> 1 + 1\n3")
    (test,) = [test for test in examples("Edge") if test.name == "Edge"]
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 1
