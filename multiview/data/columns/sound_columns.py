"""Options of sources that read sound files, and the modality and reader that follow from them."""

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
        rate: samples per second; sounds with another rate are resampled (null = the commonest rate
            of the files).
        channels: channels of every sound; 1 mixes all channels down to one (null = the commonest
            number of the files).
        seconds: length of every sound or clip, which is cut or padded at its end (null = each
            keeps its own length).
    """

    rate: int | None = None
    channels: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("channels", self.channels), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise MultiviewError(f"{name} is {value}; give more than 0.")

    def sound_reader(self, root: Path, files: Sequence[str]) -> tuple[SoundReader, tuple[str, ...]]:
        """The reader for these files, and notes. Raises MultiviewError when none can be read."""
        return self.sound_reader_for(read_headers(root, files, audiofiles.header, "sound"))

    def sound_reader_for(self, headers: Sequence[SoundHeader]) -> tuple[SoundReader, tuple[str, ...]]:
        """The reader for sounds with these headers, and notes about it."""
        rate = self.rate or most_common_of([header.rate for header in headers])
        channels = self.channels or most_common_of([header.channels for header in headers])
        others = ", ".join(map(str, sorted({header.rate for header in headers} - {rate})))
        notes = (f"sounds at {others} Hz are resampled to {rate} Hz; choose with --rate.",) if others else ()
        return SoundReader(rate, channels, ANY if self.seconds is None else max(1, round(self.seconds * rate))), notes


def sound_modality(name: str, reader: SoundReader) -> Modality:
    """The modality of sounds that this reader reads."""
    shape = (reader.samples,) if reader.channels == 1 else (reader.samples, reader.channels)
    return Modality(name=name, kind="audio", dtype="int16", shape=shape, unit=UNITS["audio"], rate=reader.rate)
