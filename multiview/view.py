"""The contracts between data and encoders: what a crop is, what a view is, and what its channels mean.

A `Crop` is one random draw of geometry, made in the data worker. A `View` says how one encoder sees a crop: which modality
it reads, how that is augmented, converted and normalised. Both are plain values; `multiview.views` holds the ready ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError

if TYPE_CHECKING:
    from torch import Tensor

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
    """One random draw of geometry: a random resized crop and a horizontal flip, joint over all modalities of a sample.

    size: side of the square that comes out, pixels. scale: share of the area that is kept, (low, high). ratio: aspect ratio
    of the kept window, (low, high). flip: probability of a mirror image. Views of the crop with the same `name` are aligned
    pixel by pixel; crops with different names are drawn independently.
    """

    size: int = 64
    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    name: str = "crop"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise MultiviewError(f"crop '{self.name}': size is {self.size}; give a number of pixels, 1 or more.")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise MultiviewError(f"crop '{self.name}': scale is {self.scale}; give (low, high) with 0 < low <= high <= 1.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise MultiviewError(f"crop '{self.name}': ratio is {self.ratio}; give (low, high) with 0 < low <= high.")
        if not 0 <= self.flip <= 1:
            raise MultiviewError(f"crop '{self.name}': flip is {self.flip}; give a probability from 0 to 1.")

    def named(self, name: str) -> Crop:
        """The same geometry under another name: an independent draw."""
        return replace(self, name=name)


@dataclass(frozen=True, kw_only=True)
class View:
    """How one encoder sees a crop: `modality -> augment -> convert -> take -> normalise`, batched, on the device.

    modality: the stored name it reads. crop: whose geometry it shares. convert: a function from the modality's tensor (n, c, h, w)
    to the tensor that `take` picks channels from; views with the same crop, modality, augment and convert share one conversion per
    batch. channels: name, count, unit and range after `take`. mean, std: the normalisation, in that unit, one number or one per
    channel. augment: a photometric augmentation of the modality's tensor (see `multiview.views.augment`), drawn once per crop.
    """

    modality: str
    channels: Channels
    crop: Crop
    convert: Convert | None = None
    take: tuple[int, int] | None = None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for label, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels.count):
                raise MultiviewError(
                    f"view '{self.channels.name}' has {self.channels.count} channels but {len(values)} values of {label}; "
                    f"give 1 or {self.channels.count}."
                )
        if min(self.std) <= 0:
            raise MultiviewError(f"view '{self.channels.name}': std is {self.std}; every value must be above 0.")

    def on(self, crop: Crop) -> View:
        """The same view of another crop."""
        return replace(self, crop=crop)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """A photometric augmentation: plain numbers here, applied on the device in one batch by `multiview.views.augment`.

    Jitters are the `brightness`, `contrast`, `saturation`, `hue` strengths of torchvision's ColorJitter, applied with probability
    `jitter`; `grey` and `solarise` are probabilities; `blur` the probability of a Gaussian blur with sigma drawn from `sigma`.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 1.0
    grey: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    solarise: float = 0.0
