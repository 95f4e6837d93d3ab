"""Options of sources that read sound files, and the modality and reader that follow from them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiview.data.columns.headers import most_common_of, read_headers
from multiview.data.files import audiofiles
from multiview.data.files.audiofiles import SoundHeader, SoundReader
from multiview.data.listing.filetree import as_unicode
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import FULL_SCALE, UNITS, loud_sound_note
from multiview.errors import MultiviewError

SMALLEST_OFFSET = 0.02
"""Seconds between sound and pictures that are worth a note."""
MOST_SOUNDS = 16
"""Number of sounds that are read for their level."""


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
        headers = read_headers(root, files, audiofiles.header, "sound")
        reader, notes = self.sound_reader_for(headers)
        loud = _loud_note(root, files) if any(header.floating for header in headers) else ()
        return reader, (*notes, *loud)

    def sound_reader_for(self, headers: Sequence[SoundHeader]) -> tuple[SoundReader, tuple[str, ...]]:
        """The reader for sounds with these headers, and notes about it."""
        rate = self.rate or most_common_of([header.rate for header in headers])
        channels = self.channels or most_common_of([header.channels for header in headers])
        others = ", ".join(map(str, sorted({header.rate for header in headers} - {rate})))
        notes: tuple[str, ...] = (
            (f"sounds at {others} Hz are resampled to {rate} Hz; choose with --rate.",) if others else ()
        )
        notes += _offset_note(headers)
        return SoundReader(rate, channels, ANY if self.seconds is None else max(1, round(self.seconds * rate))), notes


def _offset_note(headers: Sequence[SoundHeader]) -> tuple[str, ...]:
    """A note about sound tracks that begin before or after the pictures of their clip."""
    apart = [header.start for header in headers if abs(header.start) >= SMALLEST_OFFSET]
    if not apart:
        return ()
    largest = max(apart, key=abs)
    side = f"{largest:.2f} s after" if largest > 0 else f"{-largest:.2f} s before"
    return (
        f"{len(apart)} of {len(headers)} sound tracks do not begin with the pictures, the farthest {side} the first "
        "picture: silence is added, or the lead is cut, so that time 0 is the first picture.",
    )


def _loud_note(root: Path, files: Sequence[str]) -> tuple[str, ...]:
    """A note if some of a few sounds are louder than full scale."""
    loudest, where = 0.0, ""
    for file in files[:: -(-len(files) // MOST_SOUNDS) or 1]:
        with suppress(BadSample):
            level = float(np.abs(audiofiles.read_wave(root / file, as_unicode(file))[0]).max())
            loudest, where = max((loudest, where), (level, as_unicode(file)))
    return (loud_sound_note(where, loudest),) if loudest > FULL_SCALE else ()


def sound_modality(name: str, reader: SoundReader) -> Modality:
    """The modality of sounds that this reader reads."""
    shape = (reader.samples,) if reader.channels == 1 else (reader.samples, reader.channels)
    return Modality(name=name, kind="audio", dtype="int16", shape=shape, unit=UNITS["audio"], rate=reader.rate)
