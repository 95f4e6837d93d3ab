"""The photometric augmentation of a view of an image: plain numbers here, `multiview.augment` applies them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview import require
from multiview.errors import MultiviewError

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.counter_rng import Draws


@dataclass(frozen=True, kw_only=True)
class Augment:
    """A photometric augmentation of an RGB image, in this order: jitter, grey, blur, solarise.

    Args:
        brightness: of the jitter (torchvision's ColorJitter): factors from 1 - brightness to 1 + brightness.
        contrast: likewise.
        saturation: likewise.
        hue: of the jitter: turns of up to this share of the colour circle either way, 0.5 = any hue.
        jitter: probability of the jitter.
        grey: probability of grey.
        blur: probability of a Gaussian blur.
        sigma: of the blur, pixels, (low, high).
        solarise: probability that values of 0.5 and more are inverted.
        grey_first: grey before the jitter.
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
    grey_first: bool = False

    def __post_init__(self) -> None:
        chances = ("jitter", "grey", "blur", "solarise")
        require.options(self, chances, lambda chance: 0 <= chance <= 1, "a probability from 0 to 1", "augment")
        require.options(
            self, ("brightness", "contrast", "saturation"), lambda by: by >= 0, "a strength of 0 or more", "augment"
        )
        if not 0 <= self.hue <= 0.5:
            raise MultiviewError(f"augment: hue is {self.hue}; give a share of the colour circle from 0 to 0.5.")
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise MultiviewError(f"augment: sigma is {self.sigma}; give (low, high) in pixels with 0 < low <= high.")

    def __call__(self, x: "Tensor", draws: "Draws") -> "Tensor":
        """RGB (n, 3, h, w) in [0, 1], augmented."""
        from multiview.augment import augmented

        return augmented(self, x, draws)
