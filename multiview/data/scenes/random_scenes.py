"""Draws scenes at random: every number of a scene depends on (seed, index) alone.

The colours of solid, ground and sky do not depend on the kind of the solid, which may be darker or
lighter than the ground: neither colour nor the value of any single pixel tells the label. The solid
differs from the ground in lightness and in chroma, so either shows its shape.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from multiview.counter_rng import permutation, uniform
from multiview.data.scenes.scene import KINDS, TEXTURES, Body, Camera, Colour, Light, Paint, Scene, Sound

SPLITS = ("train",) * 7 + ("val",) + ("test",) * 2
BLOCK = len(KINDS) * len(SPLITS)
"""So many scenes have every kind in every split, in the shares of the splits."""
PLAIN_SHARE = 0.7
"""Share of the paints that are plain."""
COMPANION_SHARE = 0.05
"""Share of the scenes that have a second solid."""
DRAWS = 512
"""Random numbers per scene, at most."""
COLOUR_TRIES = 12
"""How many colours are tried until one stands out."""


class Draws:
    """Turns uniform numbers, one after another, into the values of a scene."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self._numbers = iter(numbers.tolist())

    def between(self, low: float, high: float) -> float:
        """A number, uniform from low to high."""
        return low + (high - low) * next(self._numbers)

    def log(self, low: float, high: float) -> float:
        """A number, log-uniform from low to high."""
        return math.exp(self.between(math.log(low), math.log(high)))

    def number(self, count: int) -> int:
        """An integer from 0 to count - 1."""
        return int(next(self._numbers) * count)

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return next(self._numbers) < share


def arrangement(seed: int, count: int) -> tuple[list[int], list[str]]:
    """Kinds and splits of scenes 0 to count - 1, balanced and shuffled in each block of `BLOCK`."""
    kinds, splits = [], []
    for block in range(math.ceil(count / BLOCK)):
        order = permutation(seed, block, "scenes/arrangement", BLOCK)
        kinds += [int(place) % len(KINDS) for place in order]
        splits += [SPLITS[int(place) // len(KINDS)] for place in order]
    return kinds[:count], splits[:count]


def draw_scenes(seed: int, kinds: list[int]) -> list[Scene]:
    """Scene i of kind kinds[i], a function of (seed, i, kinds[i]) alone."""
    numbers = uniform(seed, 0, "scenes", np.arange(len(kinds)), DRAWS)
    return [_scene(Draws(row), kind) for row, kind in zip(numbers, kinds, strict=True)]


def _scene(draws: Draws, kind: int) -> Scene:
    ground, sky, horizon = (_colour(draws) for _ in range(3))
    body = _body(draws, kind, [ground, sky])
    return Scene(
        body=body,
        other=_companion(draws, body, ground) if draws.chance(COMPANION_SHARE) else None,
        ground=ground,
        sky=sky,
        horizon=horizon,
        light=_light(draws),
        camera=Camera(
            distance=draws.between(3.8, 4.4), pitch=draws.between(0.3, 0.5), aim=draws.between(0.5, 0.6), view=0.7
        ),
        sound=Sound(strike=draws.between(0.05, 0.45), loudness=draws.log(0.02, 0.06), noise=draws.log(0.002, 0.02)),
    )


def _light(draws: Draws) -> Light:
    return Light(
        azimuth=draws.between(-2.2, 2.2),
        elevation=draws.between(0.5, 1.25),
        power=draws.between(0.6, 1.0),
        ambient=draws.between(0.25, 0.5),
        warmth=draws.between(-0.15, 0.15),
    )


def _body(draws: Draws, kind: int, around: list[Colour]) -> Body:
    return Body(
        kind=float(kind),
        size=draws.log(0.75, 0.95),
        wide=draws.log(0.92, 1.08),
        tall=draws.log(0.92, 1.08),
        deep=draws.log(0.92, 1.08),
        yaw=draws.between(-math.pi, math.pi),
        tilt=draws.between(0.0, 0.25),
        lean=draws.between(-math.pi, math.pi),
        x=draws.between(-0.2, 0.2),
        z=draws.between(-0.2, 0.2),
        lift=max(0.0, draws.between(-0.6, 0.05)),
        gloss=draws.between(0.0, 0.5),
        damping=draws.between(0.0, 1.0),
        paint=_paint(draws, around),
    )


def _companion(draws: Draws, body: Body, ground: Colour) -> Body:
    """A second solid beside the first, of another kind and a third of the size."""
    kind = (int(body.kind) + 1 + draws.number(len(KINDS) - 1)) % len(KINDS)
    small = _body(draws, kind, [ground])
    size = small.size / 3
    side = 1 if draws.chance(0.5) else -1
    apart = 1.15 * (body.size + size) + draws.between(0, 0.2)
    return replace(small, size=size, x=body.x + side * apart, z=body.z + draws.between(0, 0.6), lift=0.0)


def _paint(draws: Draws, around: list[Colour]) -> Paint:
    first = _colour(draws, around, contrast=40)
    return Paint(
        first=first,
        second=_colour(draws, [first], contrast=20),
        texture=0.0 if draws.chance(PLAIN_SHARE) else 1.0 + draws.number(len(TEXTURES) - 1),
        cycles=draws.log(1.0, 2.0),
        phase=draws.between(0, 2 * math.pi),
        angle=draws.between(0, math.pi),
    )


def _colour(draws: Draws, around: list[Colour] | None = None, contrast: float = 0) -> Colour:
    """The first random colour with this contrast to those around, else the best of all tries."""
    best, most = None, -1.0
    for _ in range(COLOUR_TRIES):
        tried = Colour(
            lightness=draws.between(25, 85), chroma=draws.between(15, 60), hue=draws.between(-math.pi, math.pi)
        )
        apart = min((_contrast(tried, other) for other in around or ()), default=math.inf)
        if apart > most:
            best, most = tried, apart
        if most >= contrast:
            break
    assert best
    return best


def _contrast(one: Colour, other: Colour) -> float:
    """The smaller of the differences of two colours in lightness and in chroma."""
    (la, aa, ba), (lb, ab, bb) = one.lab(), other.lab()
    return min(abs(la - lb), math.hypot(aa - ab, ba - bb))
