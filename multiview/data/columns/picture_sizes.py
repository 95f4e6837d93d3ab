"""Options of the sources whose pictures all become one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.columns.headers import read_headers
from multiview.data.files import images
from multiview.data.files.resize import Policy, Resizer, check_size_options, choose_resizer


@dataclass(frozen=True, kw_only=True)
class SizeOptions:
    """Options of pictures.

    Args:
        size: side of the square that every picture becomes (null = their common size, else at most 256).
        resize: how it becomes one: `crop` its centre, `pad`, `squash`, or `keep` those that have the size already and
            reject the others.
    """

    size: int | None = None
    resize: Policy = "crop"

    def __post_init__(self) -> None:
        check_size_options(self.size, self.resize)

    def resizer_for(self, root: Path, files: Sequence[str]) -> tuple[Resizer, tuple[str, ...]]:
        """The fit for these image files below `root`, and notes on it. Raises MultiviewError when not one can be read."""
        sizes = [(height, width) for height, width, _ in read_headers(root, files, images.header, "image")]
        return choose_resizer(sizes, self.size, self.resize)
