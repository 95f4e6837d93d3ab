"""Sound files to arrays, safely: whatever is wrong with a file becomes a `BadSample` that names it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from multiview.data.files.failures import name_failures
from multiview.data.modality import ANY
from multiview.data.source import BadSample
from multiview.data.values import pcm16

ENDINGS = frozenset(["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "au"])
STREAMED = (0, 0xFFFFFFFF)
"""Lengths that a writer leaves in a WAV header when it could not know them."""
OGG_LAST_PAGE = 0x04
OGG_HEADER = 27
OGG_LARGEST_PAGE = 65307


@dataclass(frozen=True)
class SoundHeader:
    """What the header of a sound file says."""

    rate: int
    channels: int
    frames: int


def header(path: Path, name: str) -> SoundHeader:
    """The header. Raises BadSample."""
    import soundfile

    with name_failures(name):
        _require_file(path)
        found = soundfile.info(str(path))
        return SoundHeader(found.samplerate, found.channels, found.frames)


def read_wave(path: Path, name: str) -> tuple[np.ndarray, int]:
    """The whole sound, float64 (samples, channels) in [-1, 1), and its rate. Raises BadSample: truncated, damaged, empty,
    or not finite.
    """
    import soundfile

    with name_failures(name):
        _require_file(path)
        _require_whole(path)
        with soundfile.SoundFile(str(path)) as file:
            promised, rate = file.frames, file.samplerate
            found = file.read(dtype="float64", always_2d=True)
        if not len(found):
            raise BadSample("holds no sound: its length is 0")
        if len(found) < promised:
            raise BadSample(f"truncated: {len(found)} of {promised} samples")
        if not np.isfinite(found).all():
            raise BadSample("holds values that are not finite")
        return found, rate


@dataclass(frozen=True)
class SoundReader:
    """Sound files as int16 (samples,) or (samples, channels): resample_sound to `rate`, mixed down or doubled to `channels`,
    and cut or padded with silence behind its end to `samples` (`ANY` = as long as it is).
    """

    rate: int
    channels: int
    samples: int

    def __call__(self, path: Path, name: str) -> np.ndarray:
        """One file. Raises BadSample."""
        found, rate = read_wave(path, name)
        with name_failures(name):
            return self.convert(found, rate)

    def convert(self, found: np.ndarray, rate: int) -> np.ndarray:
        """A sound (samples, channels) in [-1, 1) of any rate. Raises BadSample when its channels do not fit."""
        sound = pcm16(resample_sound(self._mixed(found), rate, self.rate))
        if self.samples != ANY:
            sound = sound[: self.samples]
            sound = np.pad(sound, ((0, self.samples - len(sound)), (0, 0)))
        return sound[:, 0].copy() if self.channels == 1 else sound

    def _mixed(self, found: np.ndarray) -> np.ndarray:
        there = found.shape[1]
        if self.channels == 1 < there:
            return found.mean(axis=1, keepdims=True)
        if there not in (1, self.channels):
            raise BadSample(f"has {there} channels, the others {self.channels}; mix all down with --channels 1")
        return np.repeat(found, self.channels, axis=1) if there < self.channels else found


def resample_sound(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A sound (samples, channels) at another rate, by torchaudio's windowed sinc."""
    if rate == wanted:
        return sound
    import torch
    from torchaudio.functional import resample

    # In float64, so that the number of threads never reaches the rounding to 16 bits.
    planes = torch.from_numpy(np.ascontiguousarray(sound.T))
    return resample(planes, rate, wanted).numpy().T


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(path)
    if not path.stat().st_size:
        raise BadSample("is an empty file")


def _require_whole(path: Path) -> None:
    """Raises BadSample for the files that libsndfile reads in part without a word."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"OggS":
            file.seek(max(0, size - OGG_LARGEST_PAGE))
            if not _ends_ogg(file.read()):
                raise BadSample("truncated: its end is missing")
        promised = _promised(start, file)
        if size < promised:
            raise BadSample(f"truncated: {size} of the {promised} bytes that its header promises")


def _promised(start: bytes, file: BinaryIO) -> int:
    """How long the header of a WAV, AIFF or AU file says that it is; 0 where it does not say."""
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        return _end_of_sound(file)
    if start[:4] == b"FORM":
        return 8 + int.from_bytes(start[4:8], "big")
    if start[:4] == b".snd":
        offset, length = struct.unpack(">II", start[4:12])
        return 0 if length in STREAMED else offset + length
    return 0


def _end_of_sound(wav: BinaryIO) -> int:
    """Where the data chunk of a WAV file ends; 0 where its length is not known."""
    wav.seek(12)
    while len(head := wav.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return 0 if length in STREAMED else wav.tell() + length
        wav.seek(length + length % 2, 1)
    return 0


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page is whole and says that it is the last (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < OGG_HEADER or not page[5] & OGG_LAST_PAGE:
        return False
    lengths = page[OGG_HEADER : OGG_HEADER + page[OGG_HEADER - 1]]
    return len(page) >= OGG_HEADER + len(lengths) + sum(lengths)
