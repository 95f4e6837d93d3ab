"""The contracts between data and encoders: what a crop is, what a view is, and what its channels mean.

A `Crop` is one random draw of geometry, made in the data worker. A `View` says how one encoder sees a crop: which
modality it reads, how that is augmented, converted and normalised. Both are plain values; `multiview.views` holds the
ready ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from multiview import plugins
from multiview.errors import MultiviewError
from multiview.photometric import Augment as Augment
from multiview.record import Made, from_plain, plain_fields, remember, to_plain

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.counter_rng import Draws
    from multiview.data.modality import Modality
    from multiview.data.store.statistics import Statistics

    Convert = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Channels:
    """What the numbers of a view are: `count` planes in `unit`, each from `low` to `high`."""

    name: str
    count: int
    unit: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """Centre of the range, in the unit."""
        return (self.low + self.high) / 2

    @property
    def half_range(self) -> float:
        """Half the width of the range, in the unit."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One random draw of geometry: a random resized crop, a horizontal flip and a window in time, joint over all
    modalities of a sample.

    size: side of the square that comes out, pixels. scale: share of the area that is kept, (low, high). ratio: aspect
    ratio of the kept window, (low, high). flip: probability of a mirror image. seconds: length of the window that is
    cut from sound, video and time series, None = all of it. Views of the crop with the same `name` are aligned pixel
    by pixel and in time; crops with different names are drawn independently.
    """

    size: int = 64
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    name: str = "crop"
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise MultiviewError(f"crop '{self.name}': size is {self.size}; give a number of pixels, 1 or more.")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise MultiviewError(
                f"crop '{self.name}': scale is {self.scale}; give (low, high) with 0 < low <= high <= 1."
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise MultiviewError(f"crop '{self.name}': ratio is {self.ratio}; give (low, high) with 0 < low <= high.")
        if not 0 <= self.flip <= 1:
            raise MultiviewError(f"crop '{self.name}': flip is {self.flip}; give a probability from 0 to 1.")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise MultiviewError(f"crop '{self.name}': seconds is {self.seconds}; give a length above 0, or None.")

    def named(self, name: str) -> Crop:
        """The same geometry under another name: an independent draw."""
        return replace(self, name=name)


class Augmentation(Protocol):
    """A frozen, hashable value that changes a modality's tensor at random, each sample by its own draws."""

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The tensor (n, channels, ...) of `x`'s shape after the change; `x` is left alone."""
        ...


@dataclass(frozen=True, kw_only=True)
class View:
    """How one encoder sees a crop: `modality -> augment -> convert -> take -> normalise`, batched, on the device.

    modality: the stored name it reads. crop: whose geometry it shares. convert: a function from the modality's tensor
    (n, channels, ...) to the tensor that `take` picks channels from; views with the same crop, modality, augment and
    convert share one conversion per batch. reads_bytes: convert takes 8 bit pixels too, as stored, and saves the work of
    turning them into [0, 1] first. pointwise: convert makes every pixel from that pixel alone, so that `torch.compile`, where
    a run asks for it, makes one pass of it. take: the channels that are kept, in this order, None = all. channels: name, count,
    unit and range after `take`. mean, std: the
    normalisation, in that unit, one number or one per channel; None takes the training split's from the store.
    missing: the value that means "not measured" (before normalisation); it becomes 0, the mean, whatever mean and std
    are. augment: an augmentation of the modality's tensor, such as `Augment`, drawn once per crop. mask: one of what
    convert gives, such as `SpecAugment`. rate: samples a second that convert was made for, None = any.
    """

    modality: str
    channels: Channels
    crop: Crop
    convert: Convert | None = None
    reads_bytes: bool = False
    pointwise: bool = False
    take: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    missing: float | None = None
    augment: Augmentation | None = None
    mask: Augmentation | None = None
    rate: float | None = None
    made: Made | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.take is not None and len(self.take) != self.channels.count:
            raise MultiviewError(
                f"view '{self.channels.name}' declares {self.channels.count} channels but takes {len(self.take)}: "
                f"{self.take}; list every channel that is kept, as in take=(1, 2)."
            )
        for label, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, self.channels.count):
                raise MultiviewError(
                    f"view '{self.channels.name}' has {self.channels.count} channels but {len(values)} of {label}; "
                    f"give 1 or {self.channels.count}."
                )
        if self.std is not None and min(self.std) <= 0:
            raise MultiviewError(f"view '{self.channels.name}': std is {self.std}; every value must be above 0.")

    def on(self, crop: Crop) -> View:
        """The same view of another crop."""
        return replace(self, crop=crop)

    def of(self, modality: str) -> View:
        """The same view of a modality that the store has under another name."""
        return replace(self, modality=modality)

    def with_statistics(
        self, statistics: Mapping[str, Statistics], stored: Mapping[str, Modality] | None = None
    ) -> View:
        """The view with mean and std filled in from a store's statistics of the modality, where they were left open.

        stored: the store's modalities. Raises MultiviewError when the view was made for another rate or takes channels
        that are not stored, and for a converted view, whose unit is not the stored one. A view of an image needs its own:
        images are stored in 0 to 255 and seen in 0 to 1.
        """
        rate = stored[self.modality].rate if stored and self.modality in stored else None
        if self.rate is not None and rate is not None and rate != self.rate:
            raise MultiviewError(
                f"view '{self.channels.name}' is made for {self.rate:g} samples a second, but '{self.modality}' of this "
                f"store has {rate:g}; give the view rate={rate:g}."
            )
        if self.mean is not None and self.std is not None:
            return self
        if self.convert is not None or self.modality not in statistics:
            raise MultiviewError(
                f"view '{self.channels.name}' has no mean and std, and the store has none in {self.channels.unit}; "
                "give the view mean=(...,) and std=(...,)."
            )
        found = statistics[self.modality]
        taken = range(self.channels.count) if self.take is None else self.take
        if (self.take is None and len(found.mean) != self.channels.count) or max(taken) >= len(found.mean):
            raise self._unlike(len(found.mean), stored)
        spread = tuple(found.std[channel] or 1.0 for channel in taken)
        return replace(self, mean=self.mean or tuple(found.mean[channel] for channel in taken), std=self.std or spread)

    settled = with_statistics
    """The older name."""

    def record(self) -> dict[str, Any]:
        """What `view_from` builds the view from, in JSON's types: a registered name, its options and every field.

        A view that cannot be built again, such as one that converts by a lambda, has a `reason` instead of a name.
        """
        about = {name: to_plain(getattr(self, name)) for name in _PLAIN}
        about |= {"channels": plain_fields(self.channels), "crop": plain_fields(self.crop)}
        try:
            return {**self._origin(), **about, **{name: to_plain(getattr(self, name)) for name in _AUGMENTATIONS}}
        except Exception as cause:  # whatever the factory of a plugin raises
            return {"reason": str(cause), **about}

    def _origin(self) -> dict[str, Any]:
        """Name and options of the registered view that has this one's `convert`; checked by making that view."""
        name = self.made.name("views") if self.made else self.channels.name
        options = {key: to_plain(value) for key, value in (self.made.options if self.made else {}).items()}
        known = self.made is not None or name in {plugin.name for plugin in plugins.installed("views")}
        if known and self.convert == _made_again(name, options, self.crop, self.augment).convert:
            return {"name": name, "options": options}
        if self.convert is None:
            return {"name": None, "options": {}}
        raise MultiviewError(f"no registered view converts by {self.convert!r}")

    def _unlike(self, count: int, stored: Mapping[str, Modality] | None) -> MultiviewError:
        names = stored[self.modality].names if stored and self.modality in stored else ()
        called = f": {', '.join(names)}" if names else ""
        wanted = f"{self.channels.count} channels" if self.take is None else f"the channels {self.take}"
        return MultiviewError(
            f"view '{self.channels.name}' reads {wanted} of '{self.modality}', which has {count}, counted from 0{called}; "
            f"give the view the number {count}, or a tuple of those that it shall read."
        )


_AUGMENTATIONS = ("augment", "mask")
_PLAIN = ("modality", "reads_bytes", "pointwise", "take", "mean", "std", "missing", "rate")


def view_from(record: Mapping[str, Any]) -> View:
    """The view that `View.record` described: the same modality, conversion and normalisation.

    Raises MultiviewError when the record says why there is none, and when it is no record of a view.
    """
    if "reason" in record:
        raise MultiviewError(
            f"the view '{record['channels']['name']}' cannot be built from its record: {record['reason']}."
        )
    try:
        values = {name: from_plain(record[name]) for name in (*_PLAIN, *_AUGMENTATIONS)}
        values["channels"] = Channels(**{name: from_plain(value) for name, value in record["channels"].items()})
        values["crop"] = Crop(**{name: from_plain(value) for name, value in record["crop"].items()})
        name, options = record["name"], record["options"]
    except (KeyError, TypeError, AttributeError) as cause:
        raise MultiviewError(f"this is no record of a view ({type(cause).__name__}: {cause}).") from cause
    view = None if name is None else _made_again(name, options, values["crop"], values["augment"])
    return View(**values) if view is None else replace(view, **values)


def _made_again(name: str, options: Mapping[str, Any], crop: Crop, augment: Augmentation | None) -> View:
    return make_view(name, crop, augment, **{key: from_plain(value) for key, value in options.items()})


def check_crops(views: Iterable[View]) -> dict[str, Crop]:
    """The crops of the views by name; raises MultiviewError when one name stands for two geometries."""
    crops: dict[str, Crop] = {}
    for view in views:
        first = crops.setdefault(view.crop.name, view.crop)
        if first != view.crop:
            raise MultiviewError(
                f"crop '{first.name}' has two geometries: {first} and {view.crop}. "
                f"Views of one crop share its geometry; give the second another name, as in crop.named('other')."
            )
    return crops


def modalities_of(views: Iterable[View]) -> dict[Crop, tuple[str, ...]]:
    """Which modalities are cropped by each crop: what the data workers must deliver for these views."""
    seen = list(views)
    check_crops(seen)
    read: dict[Crop, dict[str, None]] = {}
    for view in seen:
        read.setdefault(view.crop, {})[view.modality] = None
    return {crop: tuple(names) for crop, names in read.items()}


def make_view(
    name: str, crop: Crop, augment: Augmentation | None = None, *, modality: str | None = None, **options: Any
) -> View:
    """The installed view called `name` of a crop, with the view's own options: `make_view("logmel", crop, bands=64)`.

    modality: the stored name that it reads, where that is not the usual one: `make_view("rgb", crop, modality="left")`.
    Raises MultiviewError for an unknown name or option, and for a plugin that makes something else.
    """
    factory = plugins.load("views", name)
    plugins.check_options(f"view '{name}'", factory, options, also=("modality",))
    view = factory(crop, augment, **options)
    if not isinstance(view, View):
        raise MultiviewError(
            f"the view plugin '{name}' returned {type(view).__name__}, not a View; its function must return a View."
        )
    view = remember(view, name, factory, (crop, augment), options)
    return view if modality is None else view.of(modality)
