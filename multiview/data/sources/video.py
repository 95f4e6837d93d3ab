"""A class tree of clips: `ROOT/cats/run.mp4`, or with splits `ROOT/train/cats/run.mp4`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.columns.headers import read_headers
from multiview.data.columns.sound_columns import sound_modality
from multiview.data.columns.video_columns import VideoOptions
from multiview.data.files import videofiles
from multiview.data.files.audiofiles import SoundReader
from multiview.data.listing.classtree import ClassTreeOptions, FileReader
from multiview.data.source import Plan


@dataclass(frozen=True, kw_only=True)
class Video(ClassTreeOptions, VideoOptions):
    """MP4, MKV, MOV, AVI or WebM clips in class folders, as in the source `folder`.

    The frames of a clip are stored as `video`, its sound track as `audio`; a clip without sound
    lacks `audio`. Truncated or damaged clips are rejected. Needs PyAV: pip install
    'multiview-cmc[video]'.

    Args:
        sound: store the sound tracks, too.
    """

    sound: bool = True

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ClassTreeOptions.__post_init__(self)
        VideoOptions.__post_init__(self)

    def plan(self, root: Path | None) -> Plan:
        """Plans every clip below `root`, in the order of the paths (with a CSV file: of the ids).

        Raises MultiviewError when there is none.
        """
        assert root is not None
        found = self.list_samples(root, "clip", videofiles.ENDINGS)
        forms = read_headers(root, [file for file in found.files if file], videofiles.header, "clip")
        clips, notes = self.clip_reader(forms)
        tracks = [form.sound for form in forms if form.sound and self.sound]
        sounds, more = self.sound_reader_for(tracks) if tracks else (None, ())
        modalities = (clips.modality("video"), *((sound_modality("audio", sounds),) if sounds else ()))
        read = FileReader("video", root, found.files, tuple(row.id for row in found.rows), clips)
        return Plan(found.rows, modalities, _WithSound(read, sounds), notes=(*found.notes, *notes, *more))


@dataclass(frozen=True)
class _WithSound:
    pictures: FileReader
    sounds: SoundReader | None

    def input_files(self) -> list[Path]:
        """The files of all clips."""
        return self.pictures.input_files()

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        sample = self.pictures(number)
        path, name = self.pictures.locate(number)
        track = videofiles.sound_track(path, name, self.sounds) if self.sounds else None
        return sample if track is None else sample | {"audio": track}
