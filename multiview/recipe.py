"""A recipe is a short program whose frozen fields are its configuration and whose `build` says what is contrasted with what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.config import Train
from multiview.errors import MultiviewError, unknown_name
from multiview.graph import ContrastGraph
from multiview.view import Crop, View

if TYPE_CHECKING:
    from multiview.encoder import Encoder


@dataclass(frozen=True)
class Setup:
    """What a run is made of: views by name, an encoder for each (or the name of the view whose encoder it shares), and the graph."""

    views: Mapping[str, View]
    encoders: "Mapping[str, Encoder | str]"
    graph: ContrastGraph

    def __post_init__(self) -> None:
        for view in self.graph.views:
            if view not in self.views:
                raise unknown_name("view of this run", view, self.views)
        idle = [name for name in self.views if name not in self.graph.views]
        if idle:
            raise MultiviewError(
                f"view '{idle[0]}' is not in the graph; leave it out, or add it to the graph's views and edges."
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The fields that every recipe has.

    Args:
        data: a store, a folder (prepared once, by itself), or `scenes`, the embedded data.
        out: the run folder (null = the next free one under runs/).
        seed: of the weights, the order of samples, the crops, the negatives: of everything.
        resume: continue the run in `out` from its newest checkpoint, with its options where none are given.
        overwrite: replace the run in `out`.
        plan: print what would run, and stop.
        evaluate: measure the trained encoders at the end, beside random weights and raw pixels.
        cache: where data that is made or prepared by itself is kept.
        train: how it is trained.
    """

    data: str = "scenes"
    out: str | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    plan: bool = False
    evaluate: bool = True
    cache: str = "data"
    train: Train = Train()

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            raise MultiviewError("--resume continues a run and --overwrite replaces it; give one of them.")
        if not 0 <= self.seed < 2**31:
            raise MultiviewError(f"seed is {self.seed}; give a whole number from 0 to {2**31 - 1}.")

    def build(self) -> Setup:
        """Views, encoders and graph of the run. Weights drawn here come from the run's seed. Raises MultiviewError where a recipe has none."""
        raise MultiviewError(
            f"the recipe {type(self).__name__} does not say what it trains; give it `def build(self) -> mv.Setup` that returns "
            "mv.Setup(views, encoders, graph)."
        )


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(Recipe):
    """The fields of every recipe whose views are crops of pictures, and what follows from them.

    Args:
        encoder: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels.
        size: side of the crops, pixels.
        min_scale: smallest share of the picture that a crop keeps.
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    min_scale: float = 0.7

    @property
    def crop(self) -> Crop:
        """A random crop of at least `min_scale` of the picture, mirrored half of the time."""
        return Crop(size=self.size, scale=(self.min_scale, 1.0))

    def encoder_of(self, view: View) -> "Encoder":
        """A new encoder for what the view shows."""
        from multiview.encoder import make_encoder

        return make_encoder(self.encoder, view.channels.count, width=self.width, img_size=self.size)
