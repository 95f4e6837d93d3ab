"""The kinds of solid that scenes are made of, and where a ray meets them.

Each solid stands in its own coordinates: y is its axis, its centre is the origin, its extent about 1. A convex one is
the common part of half spaces and of one round body; a ray's stay in it is the common part of its stays in each (Kay
and Kajiya 1986). The torus is found by sphere tracing (Hart 1996). Points and directions are columns, (3, n), or (3, 1)
where all rays share one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
NEAREST = 1e-3
"""Hits nearer than this, in units of the ray's direction, are the surface that the ray starts from."""
PARALLEL = np.float32(1e-9)
STEPS = 64
"""Of sphere tracing, at most."""
TOUCH = 1e-3
"""How near to the surface of a torus is on it."""


@dataclass(frozen=True)
class Round:
    """The body x^2 + z^2 + a y^2 + b y + c <= 0: a ball, a cylinder, or a cone (its lower nappe)."""

    a: float
    b: float
    c: float

    def stay(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """When each ray enters and leaves, two of (n,); enters > leaves when it never does."""
        (ox, oy, oz), (dx, dy, dz) = origin, direction
        square = dx * dx + dz * dz + self.a * dy * dy
        square = np.where(np.abs(square) < PARALLEL, PARALLEL, square)
        half = ox * dx + oz * dz + (self.a * oy + self.b / 2) * dy
        rest = ox * ox + oz * oz + (self.a * oy + self.b) * oy + self.c
        under = half * half - square * rest
        root = np.sqrt(np.maximum(under, 0)) / np.abs(square)
        middle = -half / square
        first, last = middle - root, middle + root
        # Steeper than the side of a cone: outside between the roots, and only the end below the tip is the solid.
        infinite = np.float32(np.inf)
        if self.a < 0:
            steep, falls = square < 0, dy < 0
            enters = np.where(falls, last, -infinite)
            leaves = np.where(falls, infinite, first)
            first, last = np.where(steep, enters, first), np.where(steep, leaves, last)
            under = np.where(steep, np.float32(0), under)
        return np.where(under < 0, infinite, first), last

    def normals(self, points: Floats) -> Floats:
        """Outward (3, n), not of unit length."""
        x, y, z = points
        return np.stack([x, self.a * y + np.float32(self.b / 2), z])


@dataclass(frozen=True)
class Solid:
    """A kind of solid.

    planes: unit normals and offsets (k, 4) of the half spaces n . x <= c. body: its round part. tube: None, or (R, r)
    of a torus about y. ball, rims, corners: it is the hull of circles (radius, y) about the axis and of points,
    thickened by `ball`, which gives its support function.
    """

    planes: tuple[tuple[float, float, float, float], ...] = ()
    body: Round | None = None
    tube: tuple[float, float] | None = None
    ball: float = 0.0
    rims: tuple[tuple[float, float], ...] = ()
    corners: tuple[tuple[float, float, float], ...] = ()

    def hit(self, origin: Floats, direction: Floats) -> tuple[Places, Floats, Floats]:
        """Which of n rays meet it (k,), when they first do (k,), in units of the direction, and the outward normals
        there (3, k), not of unit length.
        """
        near = np.flatnonzero(self._near(origin, direction))
        origin, direction = _some(origin, near), _some(direction, near)
        when = self._touch(origin, direction) if self.tube else self._entry(origin, direction)
        met = np.flatnonzero(np.isfinite(when))
        when = when[met]
        return near[met], when, self.normals(_some(origin, met) + when * _some(direction, met))

    def normals(self, points: Floats) -> Floats:
        """Outward (3, n) at points of its surface, not of unit length."""
        if self.tube:
            x, y, z = points
            across = np.maximum(np.hypot(x, z), PARALLEL)
            inward = 1 - np.float32(self.tube[0]) / across
            return np.stack([x * inward, y, z * inward])
        if not self.planes:
            assert self.body
            return self.body.normals(points)
        table = np.array(self.planes, np.float32)
        beyond = table[:, :3] @ points - table[:, 3:]
        nearest = beyond.argmax(0)
        flat = table[nearest, :3].T
        if not self.body:
            return flat
        rounded = self.body.normals(points)
        x, y, z = points
        outside = x * rounded[0] + y * rounded[1] + z * rounded[2] + self.body.b / 2 * y + self.body.c
        curved = outside / (2 * np.sqrt((rounded**2).sum(0)) + PARALLEL) > beyond.max(0)
        return np.where(curved, rounded, flat)

    def support(self, direction: NDArray[np.float64]) -> float:
        """How far it reaches along `direction` (3,), times the direction's length."""
        x, y, z = (float(each) for each in direction)
        across = math.hypot(x, z)
        reach = [radius * across + level * y for radius, level in self.rims]
        reach += [a * x + b * y + c * z for a, b, c in self.corners]
        return max(reach) + self.ball * math.hypot(across, y)

    @property
    def radius(self) -> float:
        """Of the ball about the origin that holds it."""
        reach = [math.hypot(*rim) for rim in self.rims] + [math.hypot(*corner) for corner in self.corners]
        return max(reach) + self.ball

    def _near(self, origin: Floats, direction: Floats) -> NDArray[np.bool_]:
        """Which rays meet the ball that holds it."""
        along, square, away = _dot(origin, direction), _dot(direction, direction), _dot(origin, origin)
        away = away - np.float32(self.radius**2 * 1.01)
        return (along * along >= square * away) & ((along < 0) | (away < 0))

    def _entry(self, origin: Floats, direction: Floats) -> Floats:
        """When rays enter a convex solid from outside, infinite when they do not."""
        infinite = np.float32(np.inf)
        enter, leave = self.body.stay(origin, direction) if self.body else (-infinite, infinite)
        if self.planes:
            table = np.array(self.planes, np.float32)
            speed = table[:, :3] @ direction
            speed = np.where(np.abs(speed) < PARALLEL, PARALLEL, speed)
            when = (table[:, 3:] - table[:, :3] @ origin) / speed
            enter = np.maximum(enter, np.where(speed < 0, when, -infinite).max(0))
            leave = np.minimum(leave, np.where(speed > 0, when, infinite).min(0))
        return np.where((enter < leave) & (enter > NEAREST), enter, infinite)

    def _touch(self, origin: Floats, direction: Floats) -> Floats:
        """When rays meet a torus, infinite when they do not."""
        assert self.tube
        length: Floats = np.sqrt(_dot(direction, direction))
        unit = direction / length
        along = _dot(origin, unit)
        half: Floats = np.sqrt(np.maximum(along**2 - _dot(origin, origin) + np.float32(self.radius**2 * 1.01), 0))
        # A ray that starts on the surface must step off it before distances are trusted.
        start: Floats = np.maximum(-along - half, np.float32(0.02))
        t, end = np.broadcast_to(start, half.shape).copy(), np.broadcast_to(half - along, half.shape)
        active = np.arange(len(t))
        for _ in range(STEPS):
            gap = self._gap(_some(origin, active) + t[active] * _some(unit, active))
            t[active] += gap
            active = active[(gap > TOUCH / 10) & (t[active] < end[active])]
            if not len(active):
                break
        touched = np.abs(self._gap(origin + t * unit)) < TOUCH
        return np.where(touched, t / length, np.float32(np.inf))

    def _gap(self, points: Floats) -> Floats:
        """Distance to the surface of the torus."""
        assert self.tube
        x, y, z = points
        across = np.sqrt(x * x + z * z) - np.float32(self.tube[0])
        return np.sqrt(across * across + y * y) - np.float32(self.tube[1])


def _some(columns: Floats, places: Places) -> Floats:
    return columns if columns.shape[1] == 1 else columns[:, places]


def _dot(one: Floats, other: Floats) -> Floats:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def _box(x: float, y: float, z: float) -> Solid:
    planes = [(1, 0, 0, x), (-1, 0, 0, x), (0, 1, 0, y), (0, -1, 0, y), (0, 0, 1, z), (0, 0, -1, z)]
    corners = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    return Solid(planes=tuple(planes), corners=tuple(corners))


def _cylinder(radius: float, height: float) -> Solid:
    return Solid(
        planes=((0, 1, 0, height), (0, -1, 0, height)),
        body=Round(0, 0, -(radius**2)),
        rims=((radius, height), (radius, -height)),
    )


def _cone(radius: float, tip: float, base: float) -> Solid:
    slope = (radius / (tip - base)) ** 2
    return Solid(
        planes=((0, -1, 0, -base), (0, 1, 0, tip)),
        body=Round(-slope, 2 * slope * tip, -slope * tip**2),
        rims=((radius, base), (0, tip)),
    )


def _pyramid(side: float, tip: float, base: float) -> Solid:
    norm = math.hypot(tip - base, side)
    out, up, offset = (tip - base) / norm, side / norm, side * tip / norm
    sides = [(out, up, 0, offset), (-out, up, 0, offset), (0, up, out, offset), (0, up, -out, offset)]
    corners = [(i * side, base, k * side) for i in (-1, 1) for k in (-1, 1)]
    return Solid(planes=((0, -1, 0, -base), *sides), corners=((0, tip, 0), *corners))


def _prism(inside: float, half: float) -> Solid:
    """A tent: an equilateral triangle of inner radius `inside` along z, one side on the ground."""
    across, outside = inside * math.sqrt(3), 2 * inside
    root = math.sqrt(0.75)
    sides = [(0, -1, 0, inside), (root, 0.5, 0, inside), (-root, 0.5, 0, inside)]
    triangle = [(0.0, outside), (across, -inside), (-across, -inside)]
    return Solid(
        planes=(*sides, (0, 0, 1, half), (0, 0, -1, half)),
        corners=tuple((x, y, k * half) for x, y in triangle for k in (-1, 1)),
    )


def _octahedron(reach: float) -> Solid:
    root = 1 / math.sqrt(3)
    signs = [(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    axes = [(reach, 0, 0), (0, reach, 0), (0, 0, reach)]
    return Solid(
        planes=tuple((i * root, j * root, k * root, reach * root) for i, j, k in signs),
        corners=tuple((s * x, s * y, s * z) for x, y, z in axes for s in (-1, 1)),
    )


SOLIDS = {
    "box": _box(0.66, 0.66, 0.66),
    "cone": _cone(0.85, 1.0, -0.7),
    "cylinder": _cylinder(0.62, 0.78),
    "ellipsoid": Solid(body=Round(1, 0, -0.7225), ball=0.85, rims=((0.0, 0.0),)),
    "octahedron": _octahedron(1.05),
    "prism": _prism(0.46, 0.75),
    "pyramid": _pyramid(0.8, 1.0, -0.7),
    "torus": Solid(tube=(0.72, 0.3), ball=0.3, rims=((0.72, 0.0),)),
}
"""Every kind by name; the order is that of the class numbers."""
