"""Pictures of one shape with a texture and a colour (Hermann and Lampinen, arXiv:2006.12433).

Two pictures of a sample have the same shape. Texture and colour of each are its own, except that
the colour of the second picture may depend on the texture of the first (arXiv:2410.07838).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview.counter_rng import uniform

SHAPES = ("circle", "square", "triangle", "plus", "ring", "star")
TEXTURES = ("plain", "stripes", "dots", "checks", "rings", "grid")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
KINDS = 6
SPLITS = ("train", "train", "train", "test")
"""Splits of samples 0, 1, 2, 3, and so on."""
TEST_RELATION = 0.5
"""Share of the test samples that follow the relation: guessing is right half of the time."""
DRAWS = 24
"""Random numbers per sample, at most."""
FINE = 2
"""A picture is drawn at this many times its side and averaged, so that edges are smooth."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """What one picture shows: numbers of shape, texture and colour, and where and how."""

    shape: int
    texture: int
    colour: int
    random: tuple[float, ...]
    """Six numbers in [0, 1): place, place, size, angle, phase, lightness of the ground."""


@dataclass(frozen=True)
class Pair:
    """Both pictures of a sample, and whether they follow the relation."""

    first: Features
    second: Features

    @property
    def related(self) -> bool:
        """Whether the colour of the second has the number of the texture of the first."""
        return self.second.colour == self.first.texture


def draw_pairs(seed: int, count: int, relation: float | None) -> list[Pair]:
    """Samples 0 to count - 1, each a function of seed, number and relation alone.

    relation: share of the training samples whose second colour follows from the first texture
    (None = the colour is independent of it).
    """
    numbers = uniform(seed, 0, "trifeature", np.arange(count), DRAWS)
    return [_pair(row, relation if split_of(i) == "train" else TEST_RELATION) for i, row in enumerate(numbers)]


def split_of(number: int) -> str:
    """The split of a sample."""
    return SPLITS[number % len(SPLITS)]


def _pair(u: Floats, relation: float | None) -> Pair:
    shape, first, texture, colour = (int(x * KINDS) for x in u[:4])
    if relation is None:
        second = int(u[4] * KINDS)
    else:
        other = int(u[4] * (KINDS - 1))
        second = first if u[5] < relation else other + (other >= first)
    return Pair(Features(shape, first, colour, tuple(u[6:12])), Features(shape, texture, second, tuple(u[12:18])))


def picture(features: Features, noise: Floats, size: int) -> NDArray[np.uint8]:
    """sRGB (size, size, 3). noise: (size, size) in [0, 1)."""
    side = size * FINE
    x, y, scale, angle, phase, ground = features.random
    steps = (np.arange(side) + 0.5) / side * 2 - 1
    right, down = np.meshgrid(steps - 0.5 * (x - 0.5), steps - 0.5 * (y - 0.5))
    turn = 2 * math.pi * angle
    u = (right * math.cos(turn) + down * math.sin(turn)) / (0.55 + 0.2 * scale)
    v = (down * math.cos(turn) - right * math.sin(turn)) / (0.55 + 0.2 * scale)
    inside = _inside(SHAPES[features.shape], u, v)[..., None]
    light = 0.35 + 0.65 * _texture(TEXTURES[features.texture], u, v, phase)[..., None]
    drawn = np.where(inside, light * _colour(features.colour), 0.35 + 0.3 * ground)
    small = drawn.reshape(size, FINE, size, FINE, 3).mean((1, 3)) + 0.1 * (noise[..., None] - 0.5)
    return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)


def _colour(number: int) -> Floats:
    """Red, yellow, green, cyan, blue, magenta."""
    hue = number / KINDS * 6
    return np.clip([abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4)], 0.1, 0.95)


def _inside(shape: str, u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Which points of the plane a shape covers; it fits into a circle of radius 1."""
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    match shape:
        case "circle":
            return radius < 0.85
        case "square":
            return np.maximum(abs(u), abs(v)) < 0.72
        case "triangle":
            return (v > -0.5) & (v + math.sqrt(3) * abs(u) < 1.0)
        case "plus":
            return (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95)
        case "ring":
            return (radius < 0.95) & (radius > 0.5)
        case _:
            return radius < 0.68 + 0.3 * np.cos(5 * angle)


def _texture(texture: str, u: Floats, v: Floats, phase: float) -> Floats:
    """Lightness in [0, 1]; a wave is a third of the shape, some six pixels of 32."""
    turns, start = 2 * math.pi * 1.6, 2 * math.pi * phase
    a, b = np.sin(turns * u + start), np.sin(turns * v + start)
    match texture:
        case "plain":
            return np.full_like(u, 0.75)
        case "stripes":
            return (a > 0).astype(float)
        case "dots":
            return (a + b > 0.9).astype(float)
        case "checks":
            return (a * b > 0).astype(float)
        case "rings":
            return (np.sin(1.2 * turns * np.hypot(u, v) + start) > 0).astype(float)
        case _:
            return (np.maximum(a, b) > 0.75).astype(float)
