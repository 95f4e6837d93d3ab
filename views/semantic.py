"""Pixel labels as a view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.stored_views import Selection, require_numbers

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class OneHot:
    """One channel per class in `classes`: 1 where the pixel has this label, else 0."""

    classes: tuple[int, ...]

    def __call__(self, mask: Tensor) -> Tensor:
        """int64 (n, 1, h, w) -> float32 (n, classes, h, w)."""
        import torch

        wanted = torch.tensor(self.classes, device=mask.device).view(1, -1, 1, 1)
        return (mask == wanted).float()


@recorded
def semantic(crop: Crop, augment: Augmentation | None = None, *, classes: Selection | None = None) -> View:
    """The view `semantic`: pixel labels as one channel per class, 1 or 0.

    classes: their number, background (0) included, or a tuple of labels, one per channel; pixels
    of other classes are 0 everywhere. `store.modality("mask").numbers("bed", "sofa")` finds labels
    by name. Raises MultiviewError without classes.
    """
    if not classes:
        raise MultiviewError(
            "the view 'semantic' does not know how many classes there are; give classes=NUMBER, or a tuple of labels "
            "(`multiview inspect STORE` shows the range and the names of its masks)."
        )
    require_numbers("semantic", "classes", classes)
    wanted = tuple(range(classes)) if isinstance(classes, int) else tuple(classes)
    return View(
        modality="mask",
        channels=Channels("semantic", len(wanted), "one-hot", 0.0, 1.0),
        crop=crop,
        convert=OneHot(wanted),
        mean=(0.0,),
        std=(1.0,),
        augment=augment,
    )
