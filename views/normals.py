"""Surface normals as a view."""

from __future__ import annotations

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View


@recorded
def normal(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `normal`: unit vectors (x right, y up, z towards the viewer), not rescaled.

    (0, 0, 0) = no normal. A mirrored crop negates x: vectors stay normal to the mirrored surface.
    """
    return View(
        modality="normal",
        channels=Channels("normal", 3, "unit vector", -1.0, 1.0),
        crop=crop,
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )
