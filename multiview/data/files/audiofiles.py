"""Sound files to arrays: every fault of a file becomes a `BadSample` that names the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from multiview.data.files.bombs import require_rate, require_size
from multiview.data.files.failures import name_failures
from multiview.data.modality import ANY
from multiview.data.source import BadSample
from multiview.data.values import pcm16

ENDINGS = frozenset(["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "au"])
STREAMED = (0, 0xFFFFFFFF)
"""Lengths in a WAV header of a writer that did not know the length."""
OGG_LAST_PAGE = 0x04
OGG_HEADER = 27
OGG_LARGEST_PAGE = 65307


@dataclass(frozen=True)
class SoundHeader:
    """The header of a sound file: samples per second, channels, samples per channel."""

    rate: int
    channels: int
    frames: int


def header(path: Path, name: str) -> SoundHeader:
    """Reads the header. Raises BadSample."""
    import soundfile

    with name_failures(name):
        _require_file(path)
        found = soundfile.info(str(path))
        require_rate(found.samplerate)
        return SoundHeader(found.samplerate, found.channels, found.frames)


def read_wave(path: Path, name: str) -> tuple[np.ndarray, int]:
    """Reads a sound as float64 (samples, channels) in [-1, 1), and its rate.

    Raises BadSample when the file is truncated, damaged, empty or not finite.
    """
    import soundfile

    with name_failures(name):
        _require_file(path)
        _require_whole(path)
        with soundfile.SoundFile(str(path)) as file:
            promised, rate = file.frames, file.samplerate
            require_rate(rate)
            require_size(path.stat().st_size, 2 * promised * file.channels)
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
    """Reads sound files as int16 (samples,) or (samples, channels).

    Every sound is resampled to `rate`, mixed down or repeated to `channels`, and cut at its end or
    padded with silence to `samples` (`ANY` keeps its length).
    """

    rate: int
    channels: int
    samples: int

    def __call__(self, path: Path, name: str) -> np.ndarray:
        """Reads one file. Raises BadSample."""
        found, rate = read_wave(path, name)
        with name_failures(name):
            return self.convert(found, rate)

    def convert(self, found: np.ndarray, rate: int) -> np.ndarray:
        """Converts float64 (samples, channels). Raises BadSample for a wrong channel count."""
        sound = pcm16(resample_sound(self._mixed(found), rate, self.rate))
        if self.samples != ANY:
            sound = sound[: self.samples]
            sound = np.pad(sound, ((0, self.samples - len(sound)), (0, 0)))
        return sound[:, 0].copy() if self.channels == 1 else sound

    def _mixed(self, found: np.ndarray) -> np.ndarray:
        count = found.shape[1]
        if self.channels == 1 < count:
            return found.mean(axis=1, keepdims=True)
        if count not in (1, self.channels):
            raise BadSample(f"has {count} channels, the others {self.channels}; mix all down with --channels 1")
        return np.repeat(found, self.channels, axis=1) if count < self.channels else found


def resample_sound(sound: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resamples a sound (samples, channels) with the windowed sinc of torchaudio."""
    if rate == new_rate:
        return sound
    import torch
    from torchaudio.functional import resample

    # In float64, so that the number of threads cannot change the result after rounding to 16 bits.
    planes = torch.from_numpy(np.ascontiguousarray(sound.T))
    return resample(planes, rate, new_rate).numpy().T


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(path)
    if not path.stat().st_size:
        raise BadSample("is an empty file")


def _require_whole(path: Path) -> None:
    """Raises BadSample for truncated files that libsndfile reads in part without an error."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"OggS":
            file.seek(max(0, size - OGG_LARGEST_PAGE))
            if not _ends_ogg(file.read()):
                raise BadSample("truncated: its end is missing")
        promised = _stated_length(start, file)
        if size < promised:
            raise BadSample(f"truncated: {size} of the {promised} bytes that its header promises")


def _stated_length(start: bytes, file: BinaryIO) -> int:
    """Length in bytes that the header of a WAV, AIFF or AU file states; 0 if it states none."""
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        return _end_of_sound(file)
    if start[:4] == b"FORM":
        return 8 + int.from_bytes(start[4:8], "big")
    if start[:4] == b".snd":
        offset, length = struct.unpack(">II", start[4:12])
        return 0 if length in STREAMED else offset + length
    return 0


def _end_of_sound(wav: BinaryIO) -> int:
    """Position where the data chunk of a WAV file ends; 0 if its length is not known."""
    wav.seek(12)
    while len(head := wav.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return 0 if length in STREAMED else wav.tell() + length
        wav.seek(length + length % 2, 1)
    return 0


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page is whole and marked as the last page (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < OGG_HEADER or not page[5] & OGG_LAST_PAGE:
        return False
    lengths = page[OGG_HEADER : OGG_HEADER + page[OGG_HEADER - 1]]
    return len(page) >= OGG_HEADER + len(lengths) + sum(lengths)
