"""A class tree of sounds: `ROOT/cats/meow.wav`, or with splits `ROOT/train/cats/meow.wav`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from multiview.data.columns.sound_columns import SoundOptions, sound_modality
from multiview.data.files.audiofiles import ENDINGS
from multiview.data.listing.classtree import ClassTreeOptions, FileReader
from multiview.data.source import Plan


@dataclass(frozen=True, kw_only=True)
class Audio(ClassTreeOptions, SoundOptions):
    """WAV, FLAC, OGG, MP3 or AIFF files in class folders, as in the source `folder`.

    Sounds are stored with 16 bits and one or more channels. Files that are truncated, empty or not
    finite are rejected.
    """

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        ClassTreeOptions.__post_init__(self)
        SoundOptions.__post_init__(self)

    def plan(self, root: Path | None) -> Plan:
        """Plans every sound below `root`, in the order of the paths (with a CSV file: of the ids).

        Raises MultiviewError when there is none.
        """
        assert root is not None
        found = self.list_samples(root, "sound", ENDINGS)
        reader, notes = self.sound_reader(root, [file for file in found.files if file])
        read = FileReader("audio", root, found.files, tuple(row.id for row in found.rows), reader)
        return Plan(found.rows, (sound_modality("audio", reader),), read, notes=(*found.notes, *notes))
