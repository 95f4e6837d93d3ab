"""Views of numbers as they are stored: spectral bands, columns of a table, time series, point clouds, text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View

if TYPE_CHECKING:
    from torch import Tensor

Some = int | tuple[int, ...]


def _some(kind: str, option: str, wanted: Some | None, crop: Crop, augment: Augmentation | None, unit: str) -> View:
    """Some channels of what is stored as `kind`, normalised with the store's mean and deviation of each."""
    if not wanted:
        raise MultiviewError(
            f"the view '{kind}' does not know how many {option} there are; give {option}=NUMBER for all of them, or a "
            f"tuple of the ones that are wanted, counted from 0 (`multiview inspect STORE` shows what the store has)."
        )
    demand_numbers(kind, option, wanted)
    count, take = (wanted, None) if isinstance(wanted, int) else (len(wanted), tuple(wanted))
    return View(
        modality=kind,
        channels=Channels(kind, count, unit, -math.inf, math.inf),
        crop=crop,
        take=take,
        augment=augment,
    )


def demand_numbers(view: str, option: str, wanted: Some) -> None:
    """Raises MultiviewError unless it is a number or a tuple of numbers, 0 or more."""
    for number in (wanted,) if isinstance(wanted, int) else wanted:
        if not isinstance(number, int) or number < 0:
            raise MultiviewError(
                f"the view '{view}': {option} is {wanted!r}; give a number, or a tuple of numbers from 0."
            )


@recorded
def bands(crop: Crop, augment: Augmentation | None = None, *, bands: Some | None = None) -> View:
    """The view `bands`: spectral bands (n, bands, h, w) in the stored unit, each normalised by its statistics.

    bands: how many the store has, or which of them, in this order.
    """
    return _some("bands", "bands", bands, crop, augment, "as stored")


@recorded
def table(crop: Crop, augment: Augmentation | None = None, *, columns: Some | None = None) -> View:
    """The view `table`: columns of a table (n, columns), each normalised by its statistics.

    columns: how many the store has, or which of them, in this order; `store.modality("table").numbers("age", "mass")`
    finds them by name.
    """
    return _some("table", "columns", columns, crop, augment, "as stored")


@recorded
def series(crop: Crop, augment: Augmentation | None = None, *, channels: Some | None = None) -> View:
    """The view `series`: time series (n, channels, times), each channel normalised by its statistics.

    channels: how many the store has, or which of them. The crop's `seconds` is the length of the window that is cut.
    """
    return _some("series", "channels", channels, crop, augment, "as stored")


def unit_ball(cloud: Tensor) -> Tensor:
    """Clouds (n, 3, points) moved to their centre and scaled so that the farthest point is at 1."""
    centred = cloud - cloud.mean(2, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).amax(2, keepdim=True).clamp(min=1e-12)


@recorded
def points(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `points`: the three coordinates of a point cloud (n, 3, points), centred and scaled into the unit ball."""
    return View(
        modality="points",
        channels=Channels("points", 3, "share of the radius", -1.0, 1.0),
        crop=crop,
        convert=unit_ball,
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )


@recorded
def text(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `text`: UTF-8 bytes (n, bytes) as whole numbers from 0 to 255; 0 = padding, nothing is normalised."""
    return View(
        modality="text",
        channels=Channels("text", 1, "UTF-8 byte", 0.0, 255.0),
        crop=crop,
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )
