"""Sounds of samples as MP3 data URIs, so that the page of a run can play them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from multiview.data.modality import Modality

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

SECONDS = 4.0
"""Longer sounds are cut."""
MOST_BYTES = 700_000
"""Bytes of all sounds of a page."""
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""The sample rates of MP3."""


def sounds(store: Store, modality: str, rows: Iterable[tuple[int, int]], most: int = MOST_BYTES) -> dict[str, str]:
    """Number of a sample -> its sound, the first ones until `most` bytes are reached.

    rows: (number of the sample, its row in the store), the most important one first.
    """
    made: dict[str, str] = {}
    kind, there, left = store.modality(modality), store.present(modality), most
    for number, row in rows:
        text = sound(np.asarray(store.read([row], modality)[0]), kind) if there[row] else ""
        left -= len(text)
        if left < 0:
            break
        if text:
            made[str(number)] = text
    return made


def sound(sample: np.ndarray, kind: Modality) -> str:
    """The beginning of int16 sound (n,) or (n, channels) as a data URI; "" for no sound."""
    import soundfile

    rate = int(kind.rate or 0)
    mono = sample[: round(SECONDS * rate)].reshape(-1, *sample.shape[1:]).astype("float32")
    mono = (mono.mean(axis=1) if mono.ndim == 2 else mono) / 32768
    if not rate or not len(mono):
        return ""
    mono, rate = _at_known_rate(mono, rate)
    file = io.BytesIO()
    soundfile.write(file, np.clip(mono, -1, 1), rate, format="MP3")
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _at_known_rate(mono: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """The sound at the nearest rate that MP3 knows and that loses nothing; at most 48 kHz."""
    known = next((each for each in RATES if each >= rate), RATES[-1])
    if known == rate:
        return mono, rate
    length = max(1, round(len(mono) * known / rate))
    places = np.linspace(0, len(mono) - 1, length)
    return np.interp(places, np.arange(len(mono)), mono).astype("float32"), known
