"""Video files to frames and sound: every fault becomes a `BadSample` that names the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files import audiofiles
from multiview.data.files.bombs import require_rate, require_size
from multiview.data.files.failures import name_failures
from multiview.data.files.resize import Resizer
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample
from multiview.data.values import UNITS
from multiview.errors import MultiviewError

ENDINGS = frozenset(["mp4", "mkv", "mov", "avi", "webm", "m4v", "mpg", "mpeg"])
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,asf,flv,ogg"
"""Formats of FFmpeg that are read. A playlist would read other files, or the network."""
LARGEST = 1 << 26
"""Largest number of pixels of a frame: 8192 x 8192."""
MOST = 4 << 30
"""Largest number of bytes of the frames of one clip, since a sample is held in memory."""
JITTER = 0.1
"""Seconds by which the time stamps of a sound may differ from its length so far."""
MOST_SILENCE = 3600
"""Seconds of the longest silence that is added to a sound track."""
SLACK = 0.9
"""A whole file has at least this share of the frames that its header counts."""


@dataclass(frozen=True)
class VideoHeader:
    """What the header and the first frame of a video say; `sound` is None without a sound track."""

    height: int
    width: int
    fps: float
    sound: audiofiles.SoundHeader | None


def import_av() -> Any:
    """Imports PyAV. Raises MultiviewError that says how to install it."""
    try:
        import av
    except ImportError as cause:
        raise MultiviewError("video needs PyAV; install it with `pip install 'multiview-cmc[video]'`.") from cause
    return av


def header(path: Path, name: str) -> VideoHeader:
    """Reads the header and the first frame. Raises BadSample."""
    av = import_av()
    with name_failures(name), _open(av, path) as file:
        video = _video_stream(file)
        sounds = file.streams.audio
        rate = video.average_rate or video.guessed_rate
        if not rate:
            raise BadSample("does not say how many frames per second it has")
        first = next(file.decode(video), None)
        if first is None:
            raise BadSample("holds no frame")
        height, width = _upright(first).shape[:2]
        sound = _sound_header(sounds[0], first) if sounds else None
        return VideoHeader(height, width, float(rate), sound)


def _sound_header(stream: Any, first: Any) -> audiofiles.SoundHeader:
    if stream.start_time is None or first.time is None:
        return audiofiles.SoundHeader(stream.rate, stream.channels, 0, 0.0)
    start = float(stream.start_time * stream.time_base)
    if start < 0 and stream.rate:  # before PyAV 18, the empty first samples of a coder count
        start = min(0.0, start + stream.codec_context.delay / stream.rate)
    return audiofiles.SoundHeader(stream.rate, stream.channels, 0, start - first.time)


@dataclass(frozen=True)
class ClipReader:
    """Reads video files as uint8 (frames, height, width, 3).

    Takes the frame that is on the screen at every 1 / fps seconds and resizes it. The clip is cut,
    or padded with its last frame, to `frames` (`ANY` keeps its length).
    """

    fps: float
    resizer: Resizer
    frames: int

    def modality(self, name: str) -> Modality:
        """The modality of clips that this reader reads."""
        shape = (self.frames, self.resizer.height, self.resizer.width, 3)
        return Modality(name=name, kind="video", dtype="uint8", shape=shape, unit=UNITS["video"], rate=self.fps)

    def __call__(self, path: Path, name: str) -> np.ndarray:
        """Reads one file. Raises BadSample: truncated, damaged, or without a frame."""
        av = import_av()
        with name_failures(name), _open(av, path) as file:
            return self._padded(self._sampled(file))

    def _sampled(self, file: Any) -> list[np.ndarray]:
        video = _video_stream(file)
        taken: list[np.ndarray] = []
        start, last, decoded = 0.0, None, 0
        for frame in file.decode(video):
            start = frame.time if last is None else start
            decoded += 1
            self._take(taken, last, frame.time - start)
            last = frame
        if last is None:
            raise BadSample("holds no frame")
        until = last.time - start + 1 / float(video.average_rate or self.fps)
        _require_whole(file, video, decoded, until, until + start)
        self._take(taken, last, until)
        return taken

    def _take(self, taken: list[np.ndarray], frame: Any, until: float) -> None:
        """Takes the frame for every sampled moment before `until`, in seconds."""
        while frame is not None and len(taken) / self.fps < until - 1e-6 and self._needs_more(taken):
            if frame.width * frame.height > LARGEST:
                raise BadSample(f"refused as a decompression bomb: a picture of {frame.width}x{frame.height}")
            taken.append(self.resizer.resize_image(_upright(frame)))
            if len(taken) * taken[0].nbytes > MOST:
                raise BadSample(f"has more than {MOST >> 30} GB of pictures; give --seconds, --fps or --size")

    def _needs_more(self, taken: list[np.ndarray]) -> bool:
        return self.frames == ANY or len(taken) < self.frames

    def _padded(self, taken: list[np.ndarray]) -> np.ndarray:
        if self.frames != ANY:
            taken = taken + [taken[-1]] * (self.frames - len(taken))
        return np.stack(taken)


def _require_whole(file: Any, video: Any, decoded: int, seconds: float, end: float) -> None:
    """Raises BadSample for a truncated clip. `end`: the time of the end, from 0 of the file."""
    stated = float(video.duration * video.time_base) if video.duration else float("inf")
    # A whole clip may hold frames that are not shown: cut by an edit list, or empty ones in an AVI.
    if decoded < SLACK * video.frames and max(seconds, end) < SLACK * stated:
        raise BadSample(f"truncated: {decoded} of {video.frames} frames")
    # Matroska counts the time before the first picture.
    reached = max(seconds, end) if "matroska" in file.format.name else seconds
    if reached < SLACK * _stated_seconds(file, video):
        raise BadSample(f"truncated: {reached:.1f} of {_stated_seconds(file, video):.1f} s")


def sound_track(path: Path, name: str, reader: audiofiles.SoundReader) -> np.ndarray | None:
    """Reads the sound track with the options of `reader`; None without one. Raises BadSample.

    The sound starts with the first picture: an earlier start is cut, a later one gets silence.
    """
    av = import_av()
    with name_failures(name), _open(av, path) as file:
        if not file.streams.audio:
            return None
        stream = file.streams.audio[0]
        require_rate(stream.rate)
        wave = _placed_sound(_sound_parts(av, file, stream, path.stat().st_size), stream.rate, _first_picture(av, path))
        return None if wave is None else reader.convert(wave.T.astype("float64"), stream.rate)


def _first_picture(av: Any, path: Path) -> float:
    """The time of the first picture; 0 without one."""
    with _open(av, path) as file:
        first = next(file.decode(file.streams.video[0]), None) if file.streams.video else None
        return first.time if first is not None and first.time is not None else 0.0


def _sound_parts(av: Any, file: Any, stream: Any, limit: int) -> Iterator[tuple[float | None, np.ndarray]]:
    """Times, in seconds or None, and float32 (channels, samples) of the parts of a sound track.

    Raises BadSample when the sound is too large for a file of `limit` bytes.
    """
    resampler = av.AudioResampler(format="fltp", layout=stream.layout)
    size = 0
    for frame in file.decode(stream):
        size += 2 * frame.samples * stream.channels
        require_size(limit, size)
        for part in resampler.resample(frame):
            yield frame.time, part.to_ndarray()


def _placed_sound(parts: Iterator[tuple[float | None, np.ndarray]], rate: int, start: float) -> np.ndarray | None:
    """The parts as an array (channels, samples) from the time `start`; None if all end before.

    Silence fills a gap; gaps and overlaps of less than `JITTER` seconds are rounding.
    """
    placed: list[np.ndarray] = []
    length, heard = 0, False
    for time, part in parts:
        heard = True
        gap = 0 if time is None else round((time - start) * rate) - length
        if placed and abs(gap) < JITTER * rate:
            gap = 0
        if gap > 0:
            if gap > MOST_SILENCE * rate:
                raise BadSample(f"has {gap / rate:.0f} s without sound before {time:.0f} s")
            placed.append(np.zeros((len(part), gap), part.dtype))
        elif gap < 0 and not placed:
            part = part[:, -gap:]
        length += max(gap, 0) + part.shape[1]
        if part.size:
            placed.append(part)
    if not heard:
        raise BadSample("has a sound track of length 0")
    return np.concatenate(placed, axis=1) if placed else None


def _open(av: Any, path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(path)
    return av.open(str(path), options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS})


def _video_stream(file: Any) -> Any:
    if not file.streams.video:
        raise BadSample("has no pictures")
    stream = file.streams.video[0]
    if stream.width * stream.height > LARGEST:
        raise BadSample(f"refused as a decompression bomb: pictures of {stream.width}x{stream.height}")
    stream.thread_type = "NONE"
    return stream


def _upright(frame: Any) -> np.ndarray:
    """The pixels as uint8 (height, width, 3), rotated as the file's metadata says."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _stated_seconds(file: Any, video: Any) -> float:
    """Seconds of video that the header states; 0 if it states none. Matroska counts no frames."""
    tag = video.metadata.get("DURATION", "")
    if re.fullmatch(r"\d+:\d+:[\d.]+", tag):
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    alone = len(file.streams) == 1 and file.duration is not None
    return float(file.duration) / 1e6 if alone else 0.0
