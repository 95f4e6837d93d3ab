"""A note on edges whose pairs can be told apart by the place of a crop that both views share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TypeGuard

from multiview.graph import AnyEdge, ContrastGraph, Edge
from multiview.objectives.in_batch import InBatchContrast
from multiview.recipe import Recipe, Setup
from multiview.view import View


def shared_crop_notes(setup: Setup, recipe: Recipe) -> list[str]:
    """A note per objective on edges of pictures with one random crop and negatives of the batch.

    The negatives of a memory bank or queue come from other crops, so that these edges are left out.
    The last sentence says what to type where the graph was made: in Python, by options or in a
    recipe.
    """
    found: dict[str, dict[str, Edge]] = {}
    for name, edge in _two_views(setup.graph).items():
        if _one_place(setup.views[edge.views[0]], setup.views[edge.views[1]]):
            found.setdefault(edge.objective.name, {})[name] = edge
    return [f"{_note(objective, list(edges))} {_remedy(setup, recipe, edges)}" for objective, edges in found.items()]


def views_of_one_place(setup: Setup) -> set[str]:
    """The views of pictures that some edge contrasts at one random place, by any objective."""
    pairs = [pair for edge in setup.graph.edges for pair in combinations(edge.views, 2)]
    return {view for a, b in pairs if _one_place(setup.views[a], setup.views[b]) for view in (a, b)}


def _note(objective: str, edges: list[str]) -> str:
    return (
        f"{'edge' if len(edges) == 1 else 'edges'} {', '.join(edges)}: {objective} takes its negatives from the batch, "
        f"and both views have one random crop: the place of the crop tells the pairs apart, so that less is learned, "
        "and R@1 means little."
    )


def _remedy(setup: Setup, recipe: Recipe, edges: Mapping[str, Edge]) -> str:
    """What to type so that each view of these edges has a crop of its own."""
    every = "this edge" if len(edges) == 1 else "each of these edges"
    name, edge = next(iter(edges.items()))
    a, b = edge.views
    if type(recipe) is Recipe and setup.source is not None:
        named = ", ".join(
            f'mv.GraphEdge(({a!r}, {b!r}), crop="own")' for a, b in (each.views for each in edges.values())
        )
        return f"Type mv.Graph(..., edges=[{named}])."
    if hasattr(recipe, "edges"):
        options = " ".join(f"--edges.{each}.crop own" for each in edges)
        return f"Give {options}, or write `crop: own` for {every} in a graph file."
    crops = f"the views of {every} crops of different names: mv.Crop(name={a!r}), mv.Crop(name={b!r})"
    if type(recipe) is Recipe:
        return f"Give {crops}."
    return f"`multiview train graph` has the option --edges.{name}.crop own; in `build` of a recipe, give {crops}."


def _two_views(graph: ContrastGraph) -> dict[str, Edge]:
    return {name: edge for name, edge in graph.named_edges().items() if _in_batch(edge)}


def _in_batch(edge: AnyEdge) -> TypeGuard[Edge]:
    return isinstance(edge, Edge) and isinstance(edge.objective, InBatchContrast)


def _one_place(a: View, b: View) -> bool:
    """Whether two views show the same place of a picture, which is drawn at random."""
    pictures = all({"height", "width"} <= set(view.axes) for view in (a, b))
    return pictures and a.crop.scale != (1.0, 1.0) and (a.crop.draw or a.crop.name) == (b.crop.draw or b.crop.name)
