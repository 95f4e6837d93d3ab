"""The options of the photometric augmentation. `multiview.augment` applies them."""

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

    >>> import multiview as mv
    >>> augment = mv.Augment(brightness=0.4, hue=0.1, grey=0.2)
    >>> view = mv.make_view("rgb", mv.Crop(size=32), augment)

    Args:
        brightness: strength in the jitter, as in ColorJitter: factors from 1 - this to 1 + this.
        contrast: strength in the jitter, likewise.
        saturation: strength in the jitter, likewise.
        hue: largest turn in the jitter, as a share of the colour circle; 0.5 = any hue.
        jitter: probability of the jitter.
        grey: probability that the image becomes grey.
        blur: probability of a Gaussian blur.
        sigma: width of the blur, pixels, (low, high).
        solarise: probability that values of 0.5 and more are inverted.
        grey_first: whether grey comes before the jitter.
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
        """The augmented images: RGB (n, 3, h, w) in [0, 1]."""
        from multiview.augment import augmented

        return augmented(self, x, draws)


NAMED: dict[str, Augment] = {
    "mild": Augment(brightness=0.2, contrast=0.2, saturation=0.2, jitter=0.8),
    "small": Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.5, jitter=0.8, grey=0.3),
    "simclr": Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, jitter=0.8, grey=0.2, blur=0.5),
    "moco_v1": Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grey=0.2, grey_first=True),
    "moco_v2": Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter=0.8, grey=0.2, blur=0.5),
    "simsiam": Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter=0.8, grey=0.2, blur=0.5),
}
"""The ready augmentations that `augment` of a graph takes by name; `multiview.views` says of which
papers they are."""
