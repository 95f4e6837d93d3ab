"""The contrast graph: topologies, and every way to get one wrong."""

from __future__ import annotations

import pytest

from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, Edge
from multiview.objectives import CMC, SimCLR, Situation

VIEWS = ("L", "ab", "depth", "normal")


def pairs(graph: ContrastGraph) -> list[str]:
    return [edge.pair for edge in graph.edges]


def test_topologies_join_what_their_names_say() -> None:
    assert pairs(ContrastGraph.full(VIEWS, CMC())) == [
        "L-ab",
        "L-depth",
        "L-normal",
        "ab-depth",
        "ab-normal",
        "depth-normal",
    ]
    assert pairs(ContrastGraph.core(VIEWS, CMC())) == ["L-ab", "L-depth", "L-normal"]
    assert pairs(ContrastGraph.core(VIEWS, CMC(), centre="depth")) == ["depth-L", "depth-ab", "depth-normal"]
    assert pairs(ContrastGraph.chain(VIEWS, CMC())) == ["L-ab", "ab-depth", "depth-normal"]
    assert ContrastGraph.of("core", VIEWS, CMC()) == ContrastGraph.core(VIEWS, CMC())


def test_edges_of_one_pair_are_told_apart_by_their_objectives() -> None:
    graph = ContrastGraph(("L", "ab"), (Edge("L", "ab", CMC()), Edge("ab", "L", SimCLR())))
    assert graph.names() == ("L-ab:CMC", "ab-L:SimCLR")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Edge("L", "L", CMC()), "contrasts a view with itself"),
        (lambda: Edge("L", "ab", "cmc"), "give one such as CMC"),
        (lambda: Edge("L", "ab", CMC(), weight=0), "weight is 0"),
        (lambda: Edge("L", "ab", CMC(), weight=float("nan")), "weight is nan"),
        (lambda: ContrastGraph(("L", "ab"), (Edge("L", "abb", CMC()),)), "Did you mean 'ab'"),
        (lambda: ContrastGraph(("L", "ab", "depth"), (Edge("L", "ab", CMC()),)), "view 'depth' is in no edge"),
        (
            lambda: ContrastGraph(("L", "ab"), (Edge("L", "ab", CMC()), Edge("ab", "L", CMC(temperature=1)))),
            "stands twice",
        ),
        (lambda: ContrastGraph(("L",), ()), "needs two views"),
        (lambda: ContrastGraph(("L", "L"), (Edge("L", "L", CMC()),)), "with itself"),
        (lambda: ContrastGraph.full(("L", "a.b"), CMC()), "no name for a view"),
        (lambda: ContrastGraph.of("ful", VIEWS, CMC()), "Did you mean 'full'"),
        (lambda: ContrastGraph.core(VIEWS, CMC(), centre="dept"), "Did you mean 'depth'"),
        (
            lambda: ContrastGraph.full(("L", "ab"), CMC(negatives=4096)).fitted(Situation(samples=100, per_rank=8)),
            "edge L-ab: CMC: 4096 negatives asked for",
        ),
    ],
)
def test_a_bad_graph_is_an_error_that_says_what_to_do(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()
