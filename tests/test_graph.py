"""The contrast graph: topologies, and every way to get one wrong."""

from __future__ import annotations

import pytest

from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, Edge, HyperEdge, needs_of_edge
from multiview.objectives import CMC, EdgeInput, EdgeOutput, Head, Needs, Objective, SimCLR, Situation


class Together(Objective):
    """Contrasts any number of views, for the checks of the graph."""

    pairwise = False

    def needs(self) -> Needs:
        return Needs(projector=Head())

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        raise NotImplementedError


VIEWS = ("L", "ab", "depth", "normal")


def pairs(graph: ContrastGraph) -> list[str]:
    return [edge.label for edge in graph.edges]


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


def test_a_hyperedge_joins_three_views_or_more() -> None:
    graph = ContrastGraph.joint(VIEWS, Together())
    assert graph == ContrastGraph(VIEWS, (HyperEdge(list(VIEWS), Together()),))
    assert graph.names() == ("L-ab-depth-normal",)
    assert graph.draw() == "L -- ab -- depth -- normal  Together()  weight 1"
    assert needs_of_edge(graph.edges[0]) == (Needs(projector=Head()),) * 4
    mixed = ContrastGraph(VIEWS, (HyperEdge(VIEWS[1:], Together()), Edge("L", "ab", CMC())))
    assert mixed.names() == ("ab-depth-normal", "L-ab")
    assert [line.index(word) for line, word in zip(mixed.draw().splitlines(), ("Tog", "CMC"), strict=True)] == [23, 23]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Edge("L", "ab", Together()), r"give HyperEdge\(\('L', 'ab', ...\), Together"),
        (lambda: HyperEdge(("L", "ab", "depth"), CMC()), "CMC contrasts two views; give an Edge for each pair"),
        (lambda: HyperEdge(("L", "ab"), Together()), "hyperedge L-ab needs three different views"),
        (lambda: HyperEdge(("L", "ab", "L"), Together()), "hyperedge L-ab-L needs three different views"),
        (lambda: HyperEdge(VIEWS, Together(), weight=-1), "weight is -1"),
        (
            lambda: ContrastGraph(VIEWS, (HyperEdge(VIEWS, Together()), HyperEdge(VIEWS[::-1], Together()))),
            "edge L-ab-depth-normal occurs twice with Together",
        ),
        (lambda: Edge("L", "L", CMC()), "contrasts a view with itself"),
        (lambda: Edge("L", "ab", "cmc"), "give an objective such as CMC"),
        (lambda: Edge("L", "ab", CMC(), weight=0), "weight is 0"),
        (lambda: Edge("L", "ab", CMC(), weight=float("nan")), "weight is nan"),
        (lambda: ContrastGraph(("L", "ab"), (Edge("L", "abb", CMC()),)), "Did you mean 'ab'"),
        (lambda: ContrastGraph(("L", "ab", "depth"), (Edge("L", "ab", CMC()),)), "view 'depth' is in no edge"),
        (
            lambda: ContrastGraph(("L", "ab"), (Edge("L", "ab", CMC()), Edge("ab", "L", CMC(temperature=1)))),
            "occurs twice",
        ),
        (lambda: ContrastGraph(("L",), ()), "needs two views"),
        (lambda: ContrastGraph(("L", "L"), (Edge("L", "L", CMC()),)), "with itself"),
        (lambda: ContrastGraph.full(("L", "a.b"), CMC()), "is not a name for a view"),
        (lambda: ContrastGraph.of("ful", VIEWS, CMC()), "Did you mean 'full'"),
        (lambda: ContrastGraph.core(VIEWS, CMC(), centre="dept"), "Did you mean 'depth'"),
        (
            lambda: ContrastGraph.full(("L", "ab"), CMC(negatives=4096)).resolved(Situation(samples=100, per_rank=8)),
            "edge L-ab: CMC: 4096 negatives asked for",
        ),
    ],
)
def test_a_bad_graph_is_an_error_that_says_what_to_do(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()
