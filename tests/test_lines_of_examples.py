"""The examples in docs/graphs run, and have as many lines as docs/graph.md says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from goldens import command

import multiview as mv

DOCS = Path(__file__).parents[1] / "docs"
ROW = re.compile(r"\| \[[^\]]+\]\(graphs/(\w+\.\w+)\) \| (\d+) \|")
SAID = {name: int(count) for name, count in ROW.findall((DOCS / "graph.md").read_text())}


def lines(text: str) -> int:
    """Lines that are neither empty nor a comment."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def test_the_page_counts_the_lines_of_every_example() -> None:
    assert {file.name: lines(file.read_text()) for file in (DOCS / "graphs").glob("*.*")} == SAID


@pytest.mark.parametrize("file", sorted((DOCS / "graphs/auto").iterdir()), ids=lambda file: file.stem)
def test_what_auto_chose_is_a_graph(file: Path) -> None:
    setup = mv.Graph.from_yaml(file).setup()
    assert set(setup.views) == {view for edge in setup.graph.edges for view in edge.views}


@pytest.mark.parametrize("name", [name for name in SAID if name.endswith(".yaml")])
def test_an_example_is_planned(name: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("train", str(DOCS / "graphs" / name), "--data", str(scenes), "--plan") == 0


def test_the_loop_learns_without_an_error() -> None:
    found = runpy.run_path(str(DOCS / "graphs/memory_bank.py"))
    assert found["loss"].isfinite()
    assert found["pair"].calls == 8
