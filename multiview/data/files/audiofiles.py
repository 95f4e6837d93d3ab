"""Sound files to arrays: every fault of a file becomes a `BadSample` that names the file."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from multiview.data.files.bombs import require_rate, require_size
from multiview.data.files.failures import name_failures
from multiview.data.modality import ANY
from multiview.data.source import BadSample
from multiview.data.values import pcm16

ENDINGS = frozenset(["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "au"])
STREAMED = (0, 0xFFFFFFFF)
"""Lengths in an AU header of a writer that did not know the length."""
LENGTHS_OF_PIPES = (range(1), range(0x7F000000, 0x80000001), range(0xFFFF0000, 0x100000000))
"""Lengths in the headers of writers that did not know the length, as those of a pipe."""
OGG_LAST_PAGE = 0x04
OGG_HEADER = 27
OGG_LARGEST_PAGE = 65307


@dataclass(frozen=True)
class SoundHeader:
    """The header of a sound file: samples per second, channels, samples per channel.

    `start`: seconds from the first picture of a clip to the sound. `floating`: floats are stored.
    """

    rate: int
    channels: int
    frames: int
    start: float = 0.0
    floating: bool = False


def header(path: Path, name: str) -> SoundHeader:
    """Reads the header. Raises BadSample."""
    with name_failures(name):
        _require_file(path)
        with _opened(path) as found:
            require_rate(found.samplerate)
            floating = found.subtype in ("FLOAT", "DOUBLE")
            return SoundHeader(found.samplerate, found.channels, found.frames, floating=floating)


def read_wave(path: Path, name: str) -> tuple[np.ndarray, int]:
    """Reads a sound as float64 (samples, channels) in [-1, 1), and its rate.

    Raises BadSample when the file is truncated, damaged, empty or not finite.
    """
    with name_failures(name):
        _require_file(path)
        _require_whole(path)
        with _opened(path) as file:
            promised, rate = file.frames, file.samplerate
            require_rate(rate)
            require_size(path.stat().st_size, 2 * promised * file.channels)
            found = file.read(dtype="float64", always_2d=True)
        _require_sound(found, promised)
        return found, rate


def _require_sound(found: np.ndarray, promised: int) -> None:
    """Raises BadSample unless there are finite samples, as many as the header promised."""
    if not len(found):
        raise BadSample("holds no sound: its length is 0")
    if len(found) < promised:
        raise BadSample(f"truncated: {len(found)} of {promised} samples")
    if not np.isfinite(found).all():
        raise BadSample("holds values that are not finite")


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


def _opened(path: Path) -> Any:
    """The open sound file. A WAV of unknown length gets the length that the file has."""
    import soundfile

    with path.open("rb") as file:
        start = file.read(12)
        wav = _find_data(file) if start[:4] == b"RIFF" and start[8:] == b"WAVE" else None
        if wav is None or not _is_unknown(wav.length, path.stat().st_size - wav.start):
            return soundfile.SoundFile(str(path))
        file.seek(0)
        return soundfile.SoundFile(_with_lengths(bytearray(file.read()), wav))


def _with_lengths(data: bytearray, wav: _WavData) -> io.BytesIO:
    """A WAV file with the lengths that it has written into its headers."""
    left = len(data) - wav.start
    if wav.align and left % wav.align:
        raise BadSample(f"truncated: it ends within a sample, {left % wav.align} of {wav.align} bytes")
    data[4:8] = struct.pack("<I", min(len(data) - 8, 0xFFFFFFFF))
    data[wav.start - 4 : wav.start] = struct.pack("<I", min(left, 0xFFFFFFFF))
    return io.BytesIO(data)


def _is_unknown(length: int, left: int) -> bool:
    """Whether a stated length stands for an unknown one. `left`: the bytes that there are."""
    return (
        left > 0 and length != left and any(length in lengths for lengths in LENGTHS_OF_PIPES) and not 0 < length < left
    )


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
    left = file.seek(0, 2) - 8
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        found = _find_data(file)
        return 0 if found is None or _is_unknown(found.length, left) else found.start + found.length
    if start[:4] == b"FORM":
        length = int.from_bytes(start[4:8], "big")
        return 0 if _is_unknown(length, left) else 8 + length
    if start[:4] == b".snd":
        offset, length = struct.unpack(">II", start[4:12])
        return 0 if length in STREAMED else offset + length
    return 0


class _WavData(NamedTuple):
    """Where the data of a WAV file start, their stated length, and the bytes of a sample."""

    start: int
    length: int
    align: int


def _find_data(wav: BinaryIO) -> _WavData | None:
    """Finds the data of a WAV file; None if there are none."""
    wav.seek(12)
    align = 0
    while len(head := wav.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            return _WavData(wav.tell(), length, align)
        body = wav.read(16) if name == b"fmt " else b""
        align = int.from_bytes(body[12:14], "little") if len(body) == 16 else align
        wav.seek(length + length % 2 - len(body), 1)
    return None


def _ends_ogg(tail: bytes) -> bool:
    """Whether the last page is whole and marked as the last page (RFC 3533, section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < OGG_HEADER or not page[5] & OGG_LAST_PAGE:
        return False
    lengths = page[OGG_HEADER : OGG_HEADER + page[OGG_HEADER - 1]]
    return len(page) >= OGG_HEADER + len(lengths) + sum(lengths)
