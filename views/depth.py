"""Distance to the camera as a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview.view import Augment, Channels, Crop, View

if TYPE_CHECKING:
    from multiview.data.statistics import Statistics


def depth(crop: Crop, augment: Augment | None = None, *, mean: float = 2.5, std: float = 2.5) -> View:
    """The view `depth`: metres, one channel; 0 = not measured, which is 0 after normalisation too.

    mean, std: metres. The default maps 0 to 5 m (a room) to [-1, 1]; `depth_scale` takes them from a store instead.
    """
    return View(
        modality="depth",
        channels=Channels("depth", 1, "m", 0.0, 10.0),
        crop=crop,
        mean=(mean,),
        std=(std,),
        missing=0.0,
        augment=augment,
    )


def depth_scale(statistics: Statistics) -> dict[str, float]:
    """`mean` and `std` of the measured pixels: `depth(crop, **depth_scale(store.manifest.statistics["depth"]))`."""
    return {"mean": statistics.mean[0], "std": statistics.std[0]}
