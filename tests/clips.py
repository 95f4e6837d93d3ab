"""Small clips on disk for the tests of video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np


def write_clip(
    path: Path,
    frames: int = 20,
    fps: int = 10,
    sound: int | None = 8000,
    side: int = 32,
    fast: bool = False,
    corner: bool = False,
    late_pictures: float = 0.0,
    late_sound: float = 0.0,
) -> Path:
    """Writes a clip that brightens by 10 per frame, with a tone and maybe a white corner.

    Pictures and sound may start some seconds late.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if fast else {}) as file:
        video = file.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt, video.bit_rate = side, side, "yuv420p", 2_000_000
        audio = file.add_stream("aac", rate=sound, layout="mono") if sound else None
        for number in range(frames):
            picture = np.full((side, side, 3), (10 * number + 20) % 240, "uint8")
            if corner:
                picture[:8, :8] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number + round(late_pictures * fps), Fraction(1, fps)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if audio is not None and sound:
            wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames * sound // fps) / sound)
            part = av.AudioFrame.from_ndarray(wave[None].astype("float32"), format="fltp", layout="mono")
            part.sample_rate, part.pts = sound, round(late_sound * sound)
            file.mux(audio.encode(part))
            file.mux(audio.encode(None))
    return path
