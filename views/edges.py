"""Where a picture changes: the strength of its edges, or thin lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.colour import rgb_to_grey

if TYPE_CHECKING:
    from torch import Tensor


def sobel(rgb: Tensor) -> Tensor:
    """Length of the Sobel gradient of grey, (n, 3, h, w) -> (n, 1, h, w) per pixel; a full step gives 0.5."""
    from kornia.filters import sobel

    return sobel(rgb_to_grey(rgb))


@recorded
def edges(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `edges`: strength of the edges of grey (Sobel), one channel, per pixel."""
    return View(
        modality="image",
        channels=Channels("edges", 1, "grey / pixel", 0.0, 0.75),
        crop=crop,
        convert=sobel,
        mean=(0.05,),
        std=(0.1,),
        augment=augment,
    )


@dataclass(frozen=True)
class Canny:
    """Thin lines along the strongest edges; `low` and `high` are the thresholds of the hysteresis."""

    low: float
    high: float

    def __call__(self, rgb: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 1, h, w): 1 on a line, else 0. Without a gradient."""
        from kornia.filters import canny

        return canny(rgb_to_grey(rgb), self.low, self.high)[1]


@recorded
def canny(crop: Crop, augment: Augmentation | None = None, *, low: float = 0.1, high: float = 0.2) -> View:
    """The view `canny`: 1 on the lines that Canny's detector finds in grey, else 0; normalised to [-1, 1].

    low, high: thresholds of the gradient; a line starts above `high` and goes on above `low`.
    """
    if not 0 < low < high < 1:
        raise MultiviewError(f"canny: low is {low} and high {high}; give thresholds with 0 < low < high < 1.")
    return View(
        modality="image",
        channels=Channels("canny", 1, "line", 0.0, 1.0),
        crop=crop,
        convert=Canny(low, high),
        mean=(0.5,),
        std=(0.5,),
        augment=augment,
    )
