"""The contracts between data and encoders: `Crop`, `View` and `Channels`.

A `Crop` is one random draw of geometry, made in the data worker. A `View` says how one encoder sees
a crop: which modality it reads, and how that modality is augmented, converted and normalised. Both
are plain values. `multiview.views` has ready views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from multiview import plugins
from multiview.crop import Crop as Crop
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
    """The meaning of a view's numbers: `count` channels in `unit`, each from `low` to `high`.

    >>> import multiview as mv
    >>> channels = mv.Channels("depth", count=1, unit="m", low=0.0, high=10.0)
    >>> channels.middle, channels.half_range
    (5.0, 5.0)
    """

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


class Augmentation(Protocol):
    """A frozen, hashable value that changes a tensor at random, each sample by draws of its own."""

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The changed tensor, of the shape of `x` (n, channels, ...); `x` itself stays as is."""
        ...


@dataclass(frozen=True, kw_only=True)
class View:
    """How one encoder sees a crop: modality -> augment -> convert -> mask -> take -> normalise.

    The whole batch is converted at once, on the device. Views with the same crop, modality, augment
    and convert share one conversion per batch.

    Args:
        modality: name in the store.
        channels: name, count, unit and range after `take`.
        crop: the geometry that the view shares.
        convert: function of the modality's tensor (n, channels, ...); None keeps the tensor.
        reads_bytes: `convert` also takes 8 bit pixels, and need not wait for them in [0, 1].
        pointwise: `convert` makes each pixel from that pixel alone, so a run with
            `torch.compile` makes one pass of it.
        take: channels of the converted tensor that are kept, in this order; None = all.
        mean: of the normalisation, in the unit, one number or one per channel; None takes the
            mean of the training split from the store.
        std: of the normalisation, likewise.
        missing: value that means "not measured"; it becomes 0 after normalisation.
        augment: augmentation of the modality's tensor, such as `Augment`, drawn once per crop.
        mask: augmentation of the converted tensor, such as `SpecAugment`.
        distort: augmentation of the normalised tensor, such as `Distort`.
        rate: sampling rate that `convert` was made for, Hz; None = any.
        axes: names of the axes of a sample, as `Encoder.axes` has them; they choose the encoder of
            a view that names none.
        made: the factory and the options that made the view, entered by the factory.

    Raises:
        MultiviewError: when take, mean or std do not fit the channels.

    >>> import multiview as mv
    >>> heat = mv.View(
    ...     modality="thermal",
    ...     channels=mv.Channels("heat", count=1, unit="K", low=250.0, high=400.0),
    ...     crop=mv.Crop(size=32),
    ...     mean=(300.0,),
    ...     std=(10.0,),
    ... )
    >>> heat.of("infrared").modality
    'infrared'
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
    distort: Augmentation | None = None
    rate: float | None = None
    axes: tuple[str, ...] = ("channels", "height", "width")
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
        """The same view with another crop."""
        return replace(self, crop=crop)

    def of(self, modality: str) -> View:
        """The same view, reading the modality that the store calls `modality`."""
        return replace(self, modality=modality)

    @property
    def undrawn(self) -> View:
        """The view without all that training draws at random; the central crop has a size only."""
        crop = Crop(size=self.crop.size, seconds=self.crop.seconds)
        return replace(self, crop=crop, augment=None, mask=None, distort=None)

    def with_statistics(
        self, statistics: Mapping[str, Statistics], stored: Mapping[str, Modality] | None = None
    ) -> View:
        """The view with mean and std, taken from the store's statistics where they are None.

        Args:
            statistics: of the stored modalities, by name.
            stored: the store's modalities, by name.

        Raises:
            MultiviewError: when the view was made for another sampling rate, when it takes channels
                that are not stored, and when a converted view has no mean and std: the statistics
                are in the stored unit.
        """
        rate = stored[self.modality].rate if stored and self.modality in stored else None
        if self.rate is not None and rate is not None and rate != self.rate:
            raise MultiviewError(
                f"view '{self.channels.name}' is made for {self.rate:g} samples per second, but '{self.modality}' of "
                f"this store has {rate:g}; give the view rate={rate:g}."
            )
        if self.mean is not None and self.std is not None:
            return self
        if self.convert is not None or self.modality not in statistics:
            raise MultiviewError(
                f"view '{self.channels.name}' has no mean and std, and the store has none in {self.channels.unit}; "
                "give the view mean=(...,) and std=(...,)."
            )
        per_channel = statistics[self.modality]
        count = len(per_channel.mean)
        taken = range(self.channels.count) if self.take is None else self.take
        if (self.take is None and count != self.channels.count) or max(taken) >= count:
            raise self._wrong_channels(count, stored)
        mean = tuple(per_channel.mean[channel] for channel in taken)
        std = tuple(per_channel.std[channel] or 1.0 for channel in taken)
        return replace(self, mean=self.mean or mean, std=self.std or std)

    settled = with_statistics
    """The older name."""

    def record(self) -> dict[str, Any]:
        """A registered name, its options and all fields, in JSON's types: the input of `view_from`.

        A view that cannot be built again, such as one with a lambda as `convert`, has a `reason`
        instead of a name.
        """
        about = {name: to_plain(getattr(self, name)) for name in _PLAIN}
        about |= {"channels": plain_fields(self.channels), "crop": plain_fields(self.crop)}
        try:
            return {**self._origin(), **about, **{name: to_plain(getattr(self, name)) for name in _AUGMENTATIONS}}
        except Exception as cause:  # whatever the factory of a plugin raises
            return {"reason": str(cause), **about}

    def _origin(self) -> dict[str, Any]:
        """Name and options of the registered view with the same `convert`; makes it to be sure."""
        name = self.made.name("views") if self.made else self.channels.name
        options = {key: to_plain(value) for key, value in (self.made.options if self.made else {}).items()}
        known = self.made is not None or name in {plugin.name for plugin in plugins.installed("views")}
        if known and self.convert == _made_again(name, options, self.crop, self.augment).convert:
            return {"name": name, "options": options}
        if self.convert is None:
            return {"name": None, "options": {}}
        raise MultiviewError(f"no registered view converts by {self.convert!r}")

    def _wrong_channels(self, count: int, stored: Mapping[str, Modality] | None) -> MultiviewError:
        names = stored[self.modality].names if stored and self.modality in stored else ()
        called = f": {', '.join(names)}" if names else ""
        wanted = f"{self.channels.count} channels" if self.take is None else f"the channels {self.take}"
        return MultiviewError(
            f"view '{self.channels.name}' reads {wanted} of '{self.modality}', which has {count}, counted from 0"
            f"{called}; give the view the number {count}, or a tuple of the channels to read.{self._sideways(stored)}"
        )

    def _sideways(self, stored: Mapping[str, Modality] | None) -> str:
        """What to do when the stored channels are probably the times of a series."""
        kind = stored.get(self.modality) if stored else None
        if kind is None or kind.kind != "series" or self.channels.count != kind.shape[0]:
            return ""
        return (
            f" But each sample of '{self.modality}' is stored as {kind.shape[0]} times of {kind.shape[1]} channels, "
            "which looks transposed: a store holds (times, channels). If so, prepare the data again with "
            "--channel_axis first."
        )


_AUGMENTATIONS = ("augment", "mask", "distort")
_NEWER = ("axes", "distort")
"""Fields that records of older versions do not have."""
_PLAIN = ("modality", "reads_bytes", "pointwise", "take", "mean", "std", "missing", "rate", "axes")


def view_from(record: Mapping[str, Any]) -> View:
    """The view that `View.record` described, equal to the original.

    Raises MultiviewError when the record has a reason why not, and when it is no record of a view.
    """
    if "reason" in record:
        raise MultiviewError(
            f"the view '{record['channels']['name']}' cannot be built from its record: {record['reason']}."
        )
    try:
        known = (*_PLAIN, *_AUGMENTATIONS)
        values = {name: from_plain(record[name]) for name in known if name in record or name not in _NEWER}
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
    """The crops of the views by name. Raises MultiviewError when two geometries have one name."""
    crops: dict[str, Crop] = {}
    for view in views:
        first = crops.setdefault(view.crop.name, view.crop)
        if first != view.crop:
            raise MultiviewError(
                f"crop '{first.name}' has two geometries: {first} and {view.crop}. "
                f"Views with the same crop share one geometry; give the second crop another name: crop.named('other')."
            )
    return crops


def modalities_of(views: Iterable[View]) -> dict[Crop, tuple[str, ...]]:
    """The modalities that the data workers must deliver for these views, by crop."""
    seen = list(views)
    check_crops(seen)
    read: dict[Crop, dict[str, None]] = {}
    for view in seen:
        read.setdefault(view.crop, {})[view.modality] = None
    return {crop: tuple(names) for crop, names in read.items()}


def make_view(
    name: str, crop: Crop, augment: Augmentation | None = None, *, modality: str | None = None, **options: Any
) -> View:
    """The installed view called `name`.

    Args:
        name: as `multiview list` shows it; options may follow, as in `bands:bands=8`.
        crop: the geometry that the view shares.
        augment: augmentation of the modality's tensor.
        modality: name in the store, when it is not the usual one of this view.
        options: the view's own.

    Raises:
        MultiviewError: for an unknown name or option, and when a plugin returns no view.

    >>> import multiview as mv
    >>> view = mv.make_view("logmel", mv.Crop(seconds=1.0), modality="speech", bands=64)
    >>> view.modality, view.channels.unit
    ('speech', 'ln power')
    """
    name, *written = name.split(":")
    factory = plugins.load("views", name)
    options = _written_options(name, written) | options
    modality = options.pop("modality", None) if modality is None else modality
    plugins.check_options(f"view '{name}'", factory, options, also=("modality",))
    try:
        view = factory(crop, augment, **options)
    except (TypeError, ValueError) as error:
        if not written:
            raise
        raise MultiviewError(f"'{':'.join((name, *written))}' has an option of the wrong kind: {error}.") from error
    if not isinstance(view, View):
        raise MultiviewError(
            f"the view plugin '{name}' returned {type(view).__name__}, not a View; its function must return a View."
        )
    view = remember(view, name, factory, (crop, augment), options)
    return view if modality is None else view.of(modality)


def _written_options(name: str, words: list[str]) -> dict[str, Any]:
    """The options of `NAME:OPTION=VALUE`; YAML reads the values, a list gives a tuple."""
    options = {}
    for word in words:
        option, equals, text = word.partition("=")
        if not equals:
            given = ":".join((name, *words))
            raise MultiviewError(
                f"'{given}' is not a view with options; write NAME:OPTION=VALUE, such as bands:bands=8."
            )
        options[option] = _read_value(text)
    return options


def _read_value(text: str) -> Any:
    """What YAML reads, else the text."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return tuple(value) if isinstance(value, list) else value
