"""Options of sources that bring all images to one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.columns.headers import read_headers
from multiview.data.files import images
from multiview.data.files.resize import Policy, Resizer, check_size_options, choose_resizer
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """Options of image files.

    Args:
        size: side of the square that every image becomes, in pixels (null = the size of the images
            if all are equal, else a square of their median shorter side, at most 256).
        resize: how an image gets that size: `crop` its centre, `pad` it with a blank border,
            `squash` it to the new proportions, or `keep` it and reject images of another size.
        max_megapixels: largest picture that is decoded, in million pixels (null = 89; a larger one
            counts as a decompression bomb).
    """

    size: int | None = None
    resize: Policy = "crop"
    max_megapixels: float | None = None

    def __post_init__(self) -> None:
        check_size_options(self.size, self.resize)
        if self.max_megapixels is not None and not self.max_megapixels > 0:
            raise MultiviewError(f"max_megapixels is {self.max_megapixels}; give millions of pixels, more than 0.")

    def resizer_for(self, root: Path, files: Sequence[str]) -> tuple[Resizer, tuple[str, ...]]:
        """The resizer for these files, and notes. Raises MultiviewError when none can be read."""
        with images.allow_pixels(self.max_megapixels):
            sizes = [(height, width) for height, width, _ in read_headers(root, files, images.header, "image")]
        return choose_resizer(sizes, self.size, self.resize)
