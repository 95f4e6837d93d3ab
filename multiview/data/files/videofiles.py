"""Video files to frames and sound: every fault becomes a `BadSample` that names the file."""

from __future__ import annotations

import re
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
        sound = audiofiles.SoundHeader(sounds[0].rate, sounds[0].channels, 0) if sounds else None
        rate = video.average_rate or video.guessed_rate
        if not rate:
            raise BadSample("does not say how many frames it has a second")
        first = next(file.decode(video), None)
        if first is None:
            raise BadSample("holds no frame")
        height, width = _upright(first).shape[:2]
        return VideoHeader(height, width, float(rate), sound)


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
        if decoded < SLACK * video.frames:
            raise BadSample(f"truncated: {decoded} of {video.frames} frames")
        if until < SLACK * _stated_seconds(file, video):
            raise BadSample(f"truncated: {until:.1f} of {_stated_seconds(file, video):.1f} s")
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


def sound_track(path: Path, name: str, reader: audiofiles.SoundReader) -> np.ndarray | None:
    """Reads the sound track with the options of `reader`; None without one. Raises BadSample."""
    av = import_av()
    with name_failures(name), _open(av, path) as file:
        if not file.streams.audio:
            return None
        stream = file.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout)
        require_rate(stream.rate)
        parts, size = [], 0
        for frame in file.decode(stream):
            parts += [part.to_ndarray() for part in resampler.resample(frame)]
            size += 2 * frame.samples * stream.channels
            require_size(path.stat().st_size, size)
        if not parts:
            raise BadSample("has a sound track of length 0")
        wave = np.concatenate(parts, axis=1).T.astype("float64")
        return reader.convert(wave, stream.rate)


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
