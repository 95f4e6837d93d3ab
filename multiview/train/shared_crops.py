"""A note on edges whose pairs can be told apart by the place of a crop that both views share."""

from __future__ import annotations

from typing import TypeGuard

from multiview.graph import AnyEdge, ContrastGraph, Edge
from multiview.objectives.in_batch import InBatchContrast
from multiview.recipe import Setup
from multiview.view import View


def shared_crop_notes(setup: Setup) -> list[str]:
    """A sentence for every edge between pictures with one random crop and negatives of the batch.

    The negatives of a memory bank or queue come from other crops, so that these edges are left out.
    """
    edges = _two_views(setup.graph)
    return [
        f"edge {name}: {edge.objective.name} takes its negatives from the batch, and both views have one random crop: "
        f"the place of the crop tells the pairs apart, so that less is learned, and R@1 means little. Write `crop: "
        f"own` for this edge in a graph file."
        for name, edge in edges.items()
        if _one_place(setup.views[edge.views[0]], setup.views[edge.views[1]])
    ]


def _two_views(graph: ContrastGraph) -> dict[str, Edge]:
    return {name: edge for name, edge in graph.named_edges().items() if _in_batch(edge)}


def _in_batch(edge: AnyEdge) -> TypeGuard[Edge]:
    return isinstance(edge, Edge) and isinstance(edge.objective, InBatchContrast)


def _one_place(a: View, b: View) -> bool:
    """Whether two views show the same place of a picture, which is drawn at random."""
    pictures = all({"height", "width"} <= set(view.axes) for view in (a, b))
    return pictures and a.crop.scale != (1.0, 1.0) and (a.crop.draw or a.crop.name) == (b.crop.draw or b.crop.name)
