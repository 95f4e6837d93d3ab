"""Every graph and every program on the page docs/graph.md works."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import multiview as mv
from multiview.graphs.reading import EDGE, GRAPH, OWN

PAGE = (Path(__file__).parents[1] / "docs/graph.md").read_text("utf8")
GRAPHS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", GRAPHS)
def test_a_graph_of_the_page_becomes_a_setup(text: str) -> None:
    graph = mv.Graph.from_yaml(text)
    assert mv.Graph.from_yaml(graph.to_yaml()) == graph
    assert graph.setup().graph.edges


def test_the_programs_of_the_page_run() -> None:
    assert (len(GRAPHS), len(PROGRAMS)) == (3, 1)
    names: dict[str, object] = {}
    exec(PROGRAMS[0], names)
    assert isinstance(names["setup"], mv.Setup)


@pytest.mark.parametrize("key", [*GRAPH, *OWN, *EDGE, *(field.name for field in fields(mv.Tuning))])
def test_every_key_is_on_the_page(key: str) -> None:
    assert f"`{key}`" in PAGE
