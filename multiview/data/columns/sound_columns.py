"""Options of the sources that read sound files, and what such files become."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.columns.headers import most_common_of, read_headers
from multiview.data.files import audiofiles
from multiview.data.files.audiofiles import SoundHeader, SoundReader
from multiview.data.modality import ANY, Modality
from multiview.data.values import UNITS
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class SoundOptions:
    """Options of sound files.

    Args:
        rate: samples a second; sounds of another rate are resampled (null = the commonest rate of the files).
        channels: channels of every sound; 1 mixes all down (null = the commonest number of the files).
        seconds: length that every sound or clip gets, cut or padded at its end (null = each keeps its own).
    """

    rate: int | None = None
    channels: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("channels", self.channels), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise MultiviewError(f"{name} is {value}; give more than 0.")

    def sound_reader(self, root: Path, files: Sequence[str]) -> tuple[SoundReader, tuple[str, ...]]:
        """How these files below `root` are read, and notes on it. Raises MultiviewError when not one can be read."""
        return self.sound_reader_for(read_headers(root, files, audiofiles.header, "sound"))

    def sound_reader_for(self, forms: Sequence[SoundHeader]) -> tuple[SoundReader, tuple[str, ...]]:
        """How sounds of these forms are read, and notes on it."""
        rate = self.rate or most_common_of([each.rate for each in forms])
        channels = self.channels or most_common_of([each.channels for each in forms])
        others = ", ".join(map(str, sorted({each.rate for each in forms} - {rate})))
        notes = (f"sounds at {others} Hz are resampled to {rate} Hz; choose with --rate.",) if others else ()
        return SoundReader(rate, channels, ANY if self.seconds is None else max(1, round(self.seconds * rate))), notes


def sound_modality(name: str, reader: SoundReader) -> Modality:
    """What sounds read like this are in a store."""
    shape = (reader.samples,) if reader.channels == 1 else (reader.samples, reader.channels)
    return Modality(name=name, kind="audio", dtype="int16", shape=shape, unit=UNITS["audio"], rate=reader.rate)
