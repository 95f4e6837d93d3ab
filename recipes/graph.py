"""Any views, any graph: trains what a graph file or the options name.

multiview train graph.yaml --data scenes
accelerate launch -m multiview.recipes.graph graph.yaml --data scenes
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import multiview as mv
from multiview.config import OF_GRAPHS
from multiview.graphs.reading import graph_of_plain
from multiview.graphs.words import options_of, place_of_mistake
from multiview.graphs.writing import plain_parts


@dataclass(frozen=True, kw_only=True)
class GraphRecipe(mv.Recipe):
    """Any views, any graph: trains what a graph file or the options name.

    The first word may be a graph file (`docs/graph.md` has the grammar). Options change what the
    file says, as in --views.photo.size 64, --edges.photo-depth.temperature 0.2 or
    --encoders photo=timm:resnet18,depth=convnet.

    Args:
        crop: geometry of the views that say nothing else.
        views: NAME=VIEW:MODALITY, as in photo=rgb:image,depth; replaces the views of the file.
        edges: VIEW-VIEW: OBJECTIVE, as in "photo-depth: cmc, left-right: moco"; replaces the edges
            of the file.
        topology: full (every pair of views), core:VIEW (one view against all others), chain or
            joint, in place of edges.
        objective: of edges that name none; with three views and more Symile in place of SimCLR.
        train: AdamW with a warm-up of one epoch, which small and unlike encoders need. A learning
            rate of 0.01 or more without the name of an optimiser is one of SGD.
    """

    crop: mv.Crop = mv.Crop()
    views: dict[str, Any] = field(default_factory=dict)
    edges: list[Any] = field(default_factory=list)
    topology: str | None = None
    objective: mv.Objective = mv.SimCLR()
    train: mv.Train = mv.Train(optimizer=OF_GRAPHS)

    @classmethod
    def as_options(cls, words: Sequence[str]) -> list[str]:
        """Files and options of a graph as the options of this recipe."""
        return options_of(cls, words)

    @classmethod
    def explained(cls, words: Sequence[str], message: str) -> str:
        """The message behind the line of the view or edge that it is about."""
        return place_of_mistake(cls, words, message)

    def __post_init__(self) -> None:
        super().__post_init__()
        views, edges = plain_parts(self.views, self.edges)
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "edges", edges)

    @property
    def graph(self) -> mv.Graph:
        """The graph as a value."""
        return graph_of_plain(
            crop=self.crop,
            views=self.views,
            edges=self.edges,
            topology=self.topology,
            objective=None if self.objective == mv.SimCLR() else self.objective,
        )

    def build(self) -> mv.Setup:
        """The views, encoders and edges that the graph names."""
        return self.graph.setup()


if __name__ == "__main__":
    mv.main(GraphRecipe)
