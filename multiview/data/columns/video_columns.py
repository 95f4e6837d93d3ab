"""Options of the sources that read video files, and what such files become."""

from collections.abc import Sequence
from dataclasses import dataclass

from multiview.data.columns.headers import most_common_of
from multiview.data.columns.picture_sizes import SizeOptions
from multiview.data.columns.sound_columns import SoundOptions
from multiview.data.files.resize import choose_resizer
from multiview.data.files.videofiles import ClipReader, VideoHeader
from multiview.data.modality import ANY
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class VideoOptions(SoundOptions, SizeOptions):
    """Options of video files.

    Args:
        fps: frames a second that are kept (null = the commonest rate of the clips).
    """

    fps: float | None = None

    def __post_init__(self) -> None:
        SoundOptions.__post_init__(self)
        SizeOptions.__post_init__(self)
        if self.fps is not None and not self.fps > 0:
            raise MultiviewError(f"fps is {self.fps}; give frames a second, more than 0.")

    def clip_reader(self, forms: Sequence[VideoHeader]) -> tuple[ClipReader, tuple[str, ...]]:
        """How clips of these forms are read, and notes on it."""
        fps = self.fps or most_common_of([each.fps for each in forms])
        fit, notes = choose_resizer([(each.height, each.width) for each in forms], self.size, self.resize)
        return ClipReader(fps, fit, ANY if self.seconds is None else max(1, round(self.seconds * fps))), notes
