"""A graph in words: frozen values that name views, encoders and objectives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError, unknown_name
from multiview.graph import VIEW_NAME, Schedule
from multiview.objectives.base import Objective
from multiview.plurals import counted
from multiview.recipe import Setup
from multiview.tuning import Tuning
from multiview.view import Augmentation, Crop

GEOMETRY = ("size", "scale", "ratio", "flip", "seconds")
"""The fields of a `Crop` that a view may have of its own."""


@dataclass(frozen=True, kw_only=True)
class GraphView:
    """One view of a graph by names: what is seen, by which encoder, and how the encoder learns.

    Args:
        view: registered name (None = the name that the view has in the graph).
        modality: name in the store (None = the usual one of this view).
        options: of the view.
        encoder: registered name (None = the usual one of such views).
        encoder_options: of the encoder.
        share: another view, whose encoder and heads this view uses.
        crop: name of the random draw; views with the same draw are aligned (None = the graph's).
        size: of the crop, where it differs from the graph's crop; so are the next four.
        scale: share of the area.
        ratio: width by height.
        flip: probability of mirroring.
        seconds: of sound, series and video.
        augment: augmentation of the modality's tensor.
        tuning: how the encoder learns.
        dim: width of the embeddings on the edges of this view (None = that of the objective).

    Example:
        >>> mv.GraphView(view="rgb", modality="image", encoder="timm:resnet18", size=64).size
        64
    """

    view: str | None = None
    modality: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: str | None = None
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    share: str | None = None
    crop: str | None = None
    size: int | None = None
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    flip: float | None = None
    seconds: float | None = None
    augment: Augmentation | None = None
    tuning: Tuning = Tuning()
    dim: int | None = None

    def __post_init__(self) -> None:
        for name in ("options", "encoder_options"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        if self.share is not None and (self.encoder or self.encoder_options or self.tuning != Tuning()):
            raise MultiviewError(
                f"a view that shares the encoder of '{self.share}' has an encoder, options or tuning of its own; "
                "leave out share, or give these to the other view."
            )
        if self.dim is not None and self.dim < 1:
            raise MultiviewError(f"dim is {self.dim}; give the width of the embeddings, 1 or more.")

    @classmethod
    def named(cls, words: Iterable[str], **fields: Any) -> dict[str, GraphView]:
        """Views by name from words such as `L`, `depth:modality=distance` or `photo=rgb:image`.

        fields: of all of these views.
        """
        from multiview.graphs.shorthand import view_of_words
        from multiview.graphs.words import view_pairs

        return {name: view_of_words(name, text, **fields) for name, text in view_pairs(",".join(words))}


@dataclass(frozen=True)
class GraphEdge:
    """Views of a graph contrasted by an objective; a view that occurs twice gets a second crop.

    Args:
        views: two names, or three and more for an objective of many views.
        objective: how they are contrasted (None = the objective of the graph).
        weight: factor on the loss, above 0.
        crop: `shared` (every view as the graph says), `own` (independent draws), or the name of a
            draw that all views of this edge take.
        schedule: changes the weight over the run (None = constant).

    Example:
        >>> mv.GraphEdge(("photo", "depth"), mv.CMC(temperature=0.1), weight=2.0).label
        'photo-depth'
    """

    views: tuple[str, ...]
    objective: Objective | None = None
    weight: float = 1.0
    crop: str = "shared"
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        if len(self.views) < 2:
            raise MultiviewError(
                f"edge '{self.label}' joins {counted(len(self.views), 'view')}; name two or more, such as "
                "`photo - depth`, or one view twice, such as `depth - depth`."
            )
        if isinstance(self.weight, bool) or not isinstance(self.weight, (int, float)) or not self.weight > 0:
            raise MultiviewError(f"edge {self.label}: weight is {self.weight!r}; give a finite number above 0.")
        if self.weight == float("inf"):
            raise MultiviewError(f"edge {self.label}: weight is {self.weight!r}; give a finite number above 0.")

    @property
    def label(self) -> str:
        """`photo-depth`."""
        return "-".join(self.views)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Any views, any encoders, any edges: the words from which a `Setup` is built.

    Args:
        views: by name.
        edges: between views; empty = every pair of views (one view: two crops of the view).
        crop: the geometry of views that say nothing else.
        objective: of edges that name none (None = SimCLR, and Symile for three views or more).

    Raises:
        MultiviewError: an edge or `share` names no view of the graph.

    Example:
        >>> photo, depth = mv.GraphView(view="rgb"), mv.GraphView(encoder_options={"width": 0.25})
        >>> edge = mv.GraphEdge(("photo", "depth"), mv.CMC(temperature=0.1), weight=2.0)
        >>> graph = mv.Graph(views={"photo": photo, "depth": depth}, edges=(edge,))
        >>> graph == mv.Graph.from_yaml(graph.to_yaml())
        True
        >>> list(graph.setup().graph.named_edges())
        ['photo-depth']
    """

    views: Mapping[str, GraphView]
    edges: Sequence[GraphEdge] = ()
    crop: Crop = Crop()
    objective: Objective | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", dict(self.views))
        object.__setattr__(self, "edges", tuple(self.edges))
        if not self.views:
            raise MultiviewError("the graph has no views; name one or more, such as `views: {photo: {view: rgb}}`.")
        for name, view in self.views.items():
            if not isinstance(name, str) or not VIEW_NAME.fullmatch(name):
                raise MultiviewError(
                    f"'{name}' is not a name for a view; use letters, digits and underscores, for example 'depth_left'."
                )
            if not isinstance(view, GraphView):
                raise MultiviewError(
                    f"view '{name}' is a {type(view).__name__}; give mv.GraphView(view='rgb'), or make all views from "
                    f"words: mv.GraphView.named(['{name}=rgb'])."
                )
            self.owner(name, f"view '{name}' shares an encoder: " if view.share else "")
        for edge in self.edges:
            for view_name in edge.views:
                if view_name not in self.views:
                    raise unknown_name("view of this graph", view_name, self.views)

    def owner(self, name: str, where: str = "") -> str:
        """The view whose encoder the view `name` uses, found along `share`."""
        way = [name]
        while (nearest := self.views[way[-1]].share) is not None:
            if nearest not in self.views:
                raise MultiviewError(f"{where}{unknown_name('view of this graph', nearest, self.views)}")
            if nearest in way:
                circle = " -> ".join([*way, nearest])
                raise MultiviewError(f"views share their encoders in a circle: {circle}; give one an encoder.")
            way.append(nearest)
        return way[-1]

    @classmethod
    def of(
        cls, views: Mapping[str, GraphView], topology: str, objective: Objective | None = None, crop: Crop | None = None
    ) -> Graph:
        """The graph whose edges are `full`, `core` (`core:photo`), `chain` or `joint`."""
        from multiview.graphs.topology import edges_of

        edges = edges_of(topology, tuple(views))
        return cls(views=views, edges=edges, crop=crop or Crop(), objective=objective)

    @classmethod
    def from_yaml(cls, source: str | Path) -> Graph:
        """The graph in a YAML file, or in a text of YAML. Raises MultiviewError for a mistake."""
        from multiview.graphs.reading import graph_from_yaml

        return graph_from_yaml(source)

    def to_yaml(self) -> str:
        """YAML text from which `from_yaml` reads an equal graph."""
        from multiview.graphs.writing import graph_to_yaml

        return graph_to_yaml(self)

    def setup(self) -> Setup:
        """Views, encoders, contrast graph and tuning; draws the weights of new encoders."""
        from multiview.graphs.building import setup_of

        return setup_of(self)
