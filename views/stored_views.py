"""Views of stored numbers: spectral bands, columns of a table, time series, point clouds, text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.distort import distortion

if TYPE_CHECKING:
    from torch import Tensor

_AXES = {
    "bands": ("channels", "height", "width"),
    "table": ("channels",),
    "series": ("channels", "times"),
}
Selection = int | tuple[int, ...]
"""The number of all channels, or a tuple of channels, counted from 0."""
Some = Selection
"""The older name."""


def _selected(
    kind: str,
    option: str,
    selection: Selection | None,
    crop: Crop,
    augment: Augmentation | None,
    distort: Augmentation | None = None,
) -> View:
    """Channels of the modality `kind`, each normalised by its statistics from the store."""
    if not selection:
        raise _unknown_number(kind, option)
    require_numbers(kind, option, selection)
    count, take = (selection, None) if isinstance(selection, int) else (len(selection), tuple(selection))
    return View(
        modality=kind,
        channels=Channels(kind, count, "as stored", -math.inf, math.inf),
        crop=crop,
        take=take,
        axes=_AXES[kind],
        augment=augment,
        distort=distort,
    )


def _unknown_number(kind: str, option: str) -> MultiviewError:
    return MultiviewError(
        f"the view '{kind}' does not know how many {option} there are; give {option}=NUMBER to read all, or a tuple of "
        f"{option}, counted from 0 (`multiview inspect STORE` shows what the store has)."
    )


def require_numbers(view: str, option: str, selection: Selection) -> None:
    """Raises MultiviewError unless `selection` is a number or a tuple of numbers, 0 or more."""
    for number in (selection,) if isinstance(selection, int) else selection:
        if not isinstance(number, int) or number < 0:
            raise MultiviewError(
                f"the view '{view}': {option} is {selection!r}; give a number, or a tuple of numbers from 0."
            )


demand_numbers = require_numbers
"""The older name."""


@recorded
def bands(crop: Crop, augment: Augmentation | None = None, *, bands: Selection | None = None) -> View:
    """The view `bands`: spectral bands (n, bands, h, w), each normalised by its statistics.

    bands: their number in the store, or a tuple of the bands to read, in this order.
    """
    return _selected("bands", "bands", bands, crop, augment)


@recorded
def table(
    crop: Crop,
    augment: Augmentation | None = None,
    *,
    columns: Selection | None = None,
    jitter: float = 0.0,
    masked: float = 0.0,
) -> View:
    """The view `table`: columns of a table (n, columns), each normalised by its statistics.

    columns: their number in the store, or a tuple of the columns to read, in this order;
    `store.modality("table").numbers("age", "mass")` finds columns by name. In training: jitter:
    noise, in standard deviations of the column; masked: probability that a column is replaced by
    noise with the mean and standard deviation of the column (`Distort`).
    """
    return _selected("table", "columns", columns, crop, augment, distortion(jitter, masked, "noise"))


@recorded
def series(
    crop: Crop,
    augment: Augmentation | None = None,
    *,
    channels: Selection | None = None,
    jitter: float = 0.0,
    masked: float = 0.0,
) -> View:
    """The view `series`: time series (n, channels, times), normalised per channel.

    channels: their number in the store, or a tuple of the channels to read. The crop's `seconds` is
    the length of the window. In training: jitter: noise, in standard deviations of the channel;
    masked: probability that a channel is hidden by its mean (`Distort`).
    """
    return _selected("series", "channels", channels, crop, augment, distortion(jitter, masked, "mean"))


def unit_ball(cloud: Tensor) -> Tensor:
    """Clouds (n, 3, points), each centred and scaled so that the farthest point is at 1."""
    centred = cloud - cloud.mean(2, keepdim=True)
    if not centred.numel():
        return centred
    return centred / centred.norm(dim=1, keepdim=True).amax(2, keepdim=True).clamp(min=1e-12)


@recorded
def points(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `points`: a point cloud (n, 3, points), centred and scaled into the unit ball."""
    return View(
        modality="points",
        channels=Channels("points", 3, "share of the radius", -1.0, 1.0),
        crop=crop,
        convert=unit_ball,
        axes=("channels", "points"),
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )


@recorded
def text(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `text`: UTF-8 bytes (n, bytes) as integers, 0 = padding, not normalised."""
    return View(
        modality="text",
        channels=Channels("text", 1, "UTF-8 byte", 0.0, 255.0),
        axes=("bytes",),
        crop=crop,
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )
