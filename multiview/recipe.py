"""Recipes: the fields are the options of a run, `build` makes the views, encoders and graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from multiview.config import Scale, Train
from multiview.errors import MultiviewError, unknown_name
from multiview.graph import ContrastGraph
from multiview.tuning import Tuning
from multiview.view import Crop, View

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.encoder import Encoder
    from multiview.graphs import Graph


@dataclass(frozen=True)
class Setup:
    """The parts of a run: views, encoders, and the graph of which views are contrasted.

    views: by name. encoders: by the name of their view; the name of another view instead of an
    encoder shares that view's encoder. tuning: how the encoders of some views learn, by view; an
    encoder without an entry learns in full. source: the graph in words that built the setup.
    Raises MultiviewError when graph and views differ.

    Example:
        >>> crop = mv.Crop(size=16)
        >>> views = {"L": mv.views.Lab.lightness(crop), "ab": mv.views.Lab.chroma(crop)}
        >>> encoders = {"L": mv.make_encoder("convnet", 1), "ab": mv.make_encoder("convnet", 2)}
        >>> setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.CMC()))
        >>> list(setup.graph.named_edges())
        ['L-ab']
    """

    views: Mapping[str, View]
    encoders: "Mapping[str, Encoder | str]"
    graph: ContrastGraph
    tuning: Mapping[str, Tuning] = field(default_factory=dict)
    source: "Graph | None" = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for view in self.tuning:
            if view not in self.views:
                raise unknown_name("view of this run", view, self.views)
        for view in self.graph.views:
            if view not in self.views:
                raise unknown_name("view of this run", view, self.views)
        unused = [name for name in self.views if name not in self.graph.views]
        if unused:
            raise MultiviewError(
                f"view '{unused[0]}' is not in the graph; remove the view, or add it to the graph's views and edges."
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options that every recipe has. A recipe of your own adds fields and `build`.

    Args:
        data: a store, the address of a store (`s3://bucket/photos`), a folder of files (prepared
            when it is first used), or `scenes` (images with depth and sound that the toolkit draws
            itself). Several, joined by a plus (`a+b`), are trained on together.
        out: the run folder (null = the next free folder under runs/).
        seed: seed of all random numbers: weights, order of samples, crops, negatives.
        resume: continue the run in `out` from its newest checkpoint, with that run's options unless
            others are given.
        overwrite: replace the run in `out`.
        group: column that says which samples belong together, such as the patient, the place or
            the recording. Samples of one group are never each other's negatives. A column that the
            store keeps (`preprocess --group`), `label`, a factor, `folder` (the folder of the id),
            or 'id:REGEX' (what the first parentheses match in the id); for data that is prepared
            here also a column of its table. A sample without a value is a group of its own.
        target: columns that probes predict after training, beside the label: COLUMN, or
            COLUMN:classes, COLUMN:labels (several a sample, `a;b` in a cell), COLUMN:number, or
            TABLE.csv:COLUMN by id (null = the label, or without one the first column).
        plan: print what would run, then stop.
        evaluate: after training, evaluate the encoders and compare them with random weights and raw
            pixels.
        cache: folder for data that is prepared automatically.
        cache_size: most bytes that stores fetched from an address may take on this machine's disk,
            such as 50GB (null = $MULTIVIEW_CACHE_SIZE, else 20GB). They are in
            $MULTIVIEW_CACHE_DIR, else in ~/.cache/multiview/stores.
        mix: the parts of the stores of `a+b` in every batch, such as 3:1 (null = one shuffled order
            of all samples).
        weights: first weights of the encoders: a published file, a run or a model folder for every
            encoder, or VIEW=FILE,VIEW=FILE. docs/weights.md lists the formats.
        train: the options of training.
        scale: with --plan, also the bytes and times for other numbers of processes and samples.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Digits(mv.Recipe):
        ...     temperature: float = 0.1
        >>> Digits(data="scenes", temperature=0.2).seed
        0
    """

    data: str = "scenes"
    out: str | None = None
    seed: int = 0
    resume: bool = False
    overwrite: bool = False
    plan: bool = False
    evaluate: bool = True
    cache: str = "data"
    cache_size: str | None = None
    mix: str | None = None
    group: str | None = None
    weights: str | None = None
    target: tuple[str, ...] | None = None
    train: Train = Train()
    scale: Scale = Scale()

    older: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """The values of options that runs of older versions of the recipe did not have."""

    def __post_init__(self) -> None:
        for name in ("data", "out", "cache"):
            value = getattr(self, name)
            if isinstance(value, PurePath):
                object.__setattr__(self, name, str(value))
            elif not isinstance(value, str) and not (value is None and name == "out"):
                raise MultiviewError(_no_path(name, value))
        if not isinstance(self.train, Train):
            raise MultiviewError(f"train is a {type(self.train).__name__}; give mv.Train(epochs=..., ...).")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise MultiviewError(f"seed is {self.seed!r}; give a whole number from 0 to {2**31 - 1}.")
        if self.scale.asked and not self.plan:
            raise MultiviewError("processes, samples and bandwidth are options of --plan; give --plan too.")
        if self.resume and self.overwrite:
            raise MultiviewError(
                "--resume continues a run and --overwrite replaces it; give only one of the two options."
            )

    @classmethod
    def as_options(cls, words: Sequence[str]) -> list[str]:
        """The words of the command line as options; a recipe with its own grammar overrides it.

        Raises MultiviewError for a mistake in the words.
        """
        return list(words)

    def for_data(self, store: "Store") -> "tuple[Recipe, Sequence[str]]":
        """The recipe to run on a store, and lines that say why; a recipe may choose by its data.

        A run is that of the recipe returned here: it builds the setup, and is written into the run
        folder. So a resumed or loaded run does not choose again. Must give the same in every
        process.
        """
        del store
        return self, ()

    @classmethod
    def explained(cls, words: Sequence[str], message: str) -> str:  # noqa: ARG003
        """The message of a mistake of the run; a recipe with its own grammar adds where it is."""
        return message

    def build(self) -> Setup:
        """The views, encoders and graph of the run; every recipe overrides it."""
        raise MultiviewError(
            f"the recipe {type(self).__name__} does not say what it trains; give it `def build(self) -> mv.Setup` that "
            "returns mv.Setup(views, encoders, graph)."
        )


def _no_path(name: str, value: object) -> str:
    """The message about an object in place of a path."""
    if name != "data":
        return f"{name} is a {type(value).__name__}; give the path of a folder, as text."
    return (
        f"data is a {type(value).__name__}; give the path of a store or of a folder of files, as text. Data in memory "
        "(arrays, data frames, datasets) goes to mv.fit(setup, data=...)."
    )


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(Recipe):
    """The options that every recipe on images has.

    Args:
        encoder: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels.
        size: side of the crops in pixels.
        min_scale: smallest share of the image area that a crop covers.

    Example:
        >>> recipe = mv.ImageRecipe(encoder="convnet", size=64)
        >>> recipe.encoder_of(mv.views.Lab.lightness(recipe.crop)).features
        256
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    min_scale: float = 0.7

    @property
    def crop(self) -> Crop:
        """A random crop of at least `min_scale` of the image area, mirrored half of the time."""
        return Crop(size=self.size, scale=(self.min_scale, 1.0))

    def encoder_of(self, view: View) -> "Encoder":
        """A new encoder with as many input channels as the view has."""
        from multiview.encoder import make_encoder

        return make_encoder(self.encoder, view.channels.count, width=self.width, img_size=self.size)
