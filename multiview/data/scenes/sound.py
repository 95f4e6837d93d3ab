"""The sound of a scene: the solid is struck once.

Modal synthesis: a sum of decaying partials (van den Doel and Pai 1998). Each kind of solid has the
partials of a textbook vibrator, so that their ratios tell the shape. The size sets the pitch, the
damping sets the decay, and the place of the blow sets the strength of each partial. The loudness
does not depend on the kind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from multiview.data.scenes.scene import KINDS, Body, Scene

RATE = 8000
SAMPLES = 2000
PITCH = 330.0
"""Lowest partial of a solid of half a metre, Hz."""
CEILING = 0.9 * RATE / 2


def _bar() -> list[float]:
    """A free bar: the roots of cosh x cos x = 1, squared."""
    roots = (4.730041, 7.853205, 10.995608, 14.137165, 17.278760, 20.420352)
    return [(root / roots[0]) ** 2 for root in roots]


def _ring() -> list[float]:
    """A thin ring bending in its plane."""
    modes = [n * (n * n - 1) / math.sqrt(n * n + 1) for n in range(2, 8)]
    return [mode / modes[0] for mode in modes]


def _membrane(squares: list[int]) -> list[float]:
    return [math.sqrt(square / squares[0]) for square in squares]


PARTIALS = {
    "box": [math.sqrt(square / 3) for square in (3, 6, 9, 11, 12, 14, 17, 18)],  # a cubic room
    "cone": [1.0, 2.295417, 3.598480, 4.903280, 6.208924],  # a hanging chain: roots of J0
    "cylinder": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],  # an open pipe
    "ellipsoid": [1.0, 1.593341, 2.135549, 2.295417, 2.653066, 2.917295, 3.155465],  # a drum: roots of Jn
    "octahedron": _bar(),
    "prism": _membrane([3, 7, 12, 13, 19, 21, 27]),  # a triangular drum
    "pyramid": _membrane([2, 5, 8, 10, 13, 17, 18]),  # a square drum
    "torus": _ring(),
}
"""Frequencies of the partials of each kind, divided by the lowest frequency."""


def _ringing(body: Body, strike: float) -> NDArray[np.float64]:
    """The partials of the solid that `CEILING` allows, (`SAMPLES`,)."""
    time = np.arange(SAMPLES) / RATE
    wave = np.zeros(SAMPLES)
    for number, ratio in enumerate(PARTIALS[KINDS[int(body.kind)]], start=1):
        frequency = PITCH * 0.5 / body.size * ratio
        if frequency < CEILING:
            decay = 6 + 40 * body.damping + 0.006 * (0.3 + body.damping) * frequency
            strength = abs(math.sin(math.pi * number * strike)) / number + 0.05
            wave += strength * np.exp(-decay * time) * np.sin(2 * math.pi * frequency * time)
    return wave


def impact(scene: Scene, noise: NDArray[np.float64]) -> NDArray[np.int16]:
    """The sound, int16 (`SAMPLES`,) at `RATE` Hz. noise: (`SAMPLES`,), uniform in [0, 1)."""
    sound = scene.sound
    wave = _ringing(scene.body, sound.strike)
    wave /= math.sqrt(float(np.mean(wave**2)))
    wave += (noise - 0.5) * math.sqrt(12) * sound.noise / sound.loudness
    wave *= sound.loudness / math.sqrt(float(np.mean(wave**2)))
    return np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16)
