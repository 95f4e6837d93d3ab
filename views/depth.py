"""Distance to the camera as a view."""

from __future__ import annotations

from multiview.view import Augmentation, Channels, Crop, View


def depth(
    crop: Crop, augment: Augmentation | None = None, *, mean: float | None = None, std: float | None = None
) -> View:
    """The view `depth`: metres, one channel; 0 = not measured, which is 0 after normalisation too.

    mean, std: metres; None takes those of the measured pixels of the training split, from the store.
    """
    return View(
        modality="depth",
        channels=Channels("depth", 1, "m", 0.0, 10.0),
        crop=crop,
        mean=None if mean is None else (mean,),
        std=None if std is None else (std,),
        missing=0.0,
        augment=augment,
    )
