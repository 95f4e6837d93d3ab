"""Options of sources that read video files, and the reader that follows from them."""

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
        fps: frames per second that are stored (null = the commonest rate of the clips).
    """

    fps: float | None = None

    def __post_init__(self) -> None:
        SoundOptions.__post_init__(self)
        SizeOptions.__post_init__(self)
        if self.fps is not None and not self.fps > 0:
            raise MultiviewError(f"fps is {self.fps}; give frames per second, more than 0.")

    def clip_reader(self, headers: Sequence[VideoHeader]) -> tuple[ClipReader, tuple[str, ...]]:
        """The reader for clips with these headers, and notes about it."""
        fps = self.fps or most_common_of([header.fps for header in headers])
        resizer, notes = choose_resizer([(header.height, header.width) for header in headers], self.size, self.resize)
        return ClipReader(fps, resizer, ANY if self.seconds is None else max(1, round(self.seconds * fps))), notes
