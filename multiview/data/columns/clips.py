"""Options of the sources that read video files, and what such files become."""

from collections.abc import Sequence
from dataclasses import dataclass

from multiview.data.columns.probe import commonest
from multiview.data.columns.sizes import Sizes
from multiview.data.columns.sounds import Sounds
from multiview.data.files.resize import fit_of_sizes
from multiview.data.files.videofiles import ClipReader, Form
from multiview.data.modality import ANY
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class Clips(Sounds, Sizes):
    """Options of video files.

    Args:
        fps: frames a second that are kept (null = the commonest rate of the clips).
    """

    fps: float | None = None

    def __post_init__(self) -> None:
        Sounds.__post_init__(self)
        Sizes.__post_init__(self)
        if self.fps is not None and not self.fps > 0:
            raise MultiviewError(f"fps is {self.fps}; give frames a second, more than 0.")

    def clip_reader(self, forms: Sequence[Form]) -> tuple[ClipReader, tuple[str, ...]]:
        """How clips of these forms are read, and notes on it."""
        fps = self.fps or commonest([each.fps for each in forms])
        fit, notes = fit_of_sizes([(each.height, each.width) for each in forms], self.size, self.resize)
        return ClipReader(fps, fit, ANY if self.seconds is None else max(1, round(self.seconds * fps))), notes
