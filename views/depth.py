"""Distance to the camera as a view."""

from __future__ import annotations

from multiview.view import Augment, Channels, Crop, View


def depth(crop: Crop, augment: Augment | None = None, *, mean: float = 2.5, std: float = 2.5) -> View:
    """The view `depth`: metres, one channel; 0 = not measured, which is 0 after normalisation too.

    mean, std: metres. The default maps 0 to 5 m (a room) to [-1, 1]; for another range give the mean and the standard
    deviation of the measured pixels of your store.
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
