"""The kinds of solid in scenes, and the points where rays meet them.

A solid has its own coordinates: y is the axis, the centre is the origin, the extent is about 1. A
convex solid is the intersection of half spaces and one round body, so a ray is
inside in the intersection of its intervals inside these parts (Kay and Kajiya 1986). The torus is
found by sphere tracing (Hart 1996). Points and directions are columns, (3, n), or (3, 1) when all
rays share them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
NEAREST = 1e-3
"""Nearer hits, in units of the direction, are ignored: there the ray leaves its own surface."""
PARALLEL = np.float32(1e-9)
STEPS = 64
"""Most steps of sphere tracing."""
TOUCH = 1e-3
"""Points nearer than this to the surface of a torus count as points of the surface."""


@dataclass(frozen=True)
class Round:
    """The body x^2 + z^2 + a y^2 + b y + c <= 0: a ball, a cylinder or a cone (the lower nappe)."""

    a: float
    b: float
    c: float

    def inside(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """Where each ray enters (n,) and leaves (n,); a ray that misses enters after it leaves."""
        (ox, oy, oz), (dx, dy, dz) = origin, direction
        square = dx * dx + dz * dz + self.a * dy * dy
        square = np.where(np.abs(square) < PARALLEL, PARALLEL, square)
        half = ox * dx + oz * dz + (self.a * oy + self.b / 2) * dy
        rest = ox * ox + oz * oz + (self.a * oy + self.b) * oy + self.c
        under = half * half - square * rest
        root = np.sqrt(np.maximum(under, 0)) / np.abs(square)
        middle = -half / square
        first, last = middle - root, middle + root
        if self.a < 0:
            steep, (enters, leaves) = square < 0, _inside_cone(first, last, dy < 0)
            first, last = np.where(steep, enters, first), np.where(steep, leaves, last)
            under = np.where(steep, np.float32(0), under)
        return np.where(under < 0, np.float32(np.inf), first), last

    def normals(self, points: Floats) -> Floats:
        """Outward normals (3, n), not of unit length."""
        x, y, z = points
        return np.stack([x, self.a * y + np.float32(self.b / 2), z])


def _inside_cone(first: Floats, last: Floats, falls: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Where a ray that is steeper than the side enters and leaves; only below the tip is solid."""
    infinite = np.float32(np.inf)
    return np.where(falls, last, -infinite), np.where(falls, infinite, first)


@dataclass(frozen=True)
class Solid:
    """A kind of solid.

    planes: unit normals and offsets (k, 4) of the half spaces n . x <= c. body: the round part.
    tube: (R, r) of a torus about y, or None. ball, rims, corners: the solid is the hull of circles
    (radius, y) about the axis and of points, thickened by `ball`; `support` uses them.
    """

    planes: tuple[tuple[float, float, float, float], ...] = ()
    body: Round | None = None
    tube: tuple[float, float] | None = None
    ball: float = 0.0
    rims: tuple[tuple[float, float], ...] = ()
    corners: tuple[tuple[float, float, float], ...] = ()

    def hit(self, origin: Floats, direction: Floats) -> tuple[Places, Floats, Floats]:
        """The k of n rays that meet the solid (k,), and where they first do.

        Returns also the distances (k,), in units of the direction, and the outward normals (3, k),
        not of unit length.
        """
        near = np.flatnonzero(self._near(origin, direction))
        origin, direction = _select(origin, near), _select(direction, near)
        when = self._torus_entry(origin, direction) if self.tube else self._convex_entry(origin, direction)
        met = np.flatnonzero(np.isfinite(when))
        when = when[met]
        return near[met], when, self.normals(_select(origin, met) + when * _select(direction, met))

    def normals(self, points: Floats) -> Floats:
        """Outward normals (3, n) at points of the surface, not of unit length."""
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
        """How far the solid extends along `direction` (3,), times the length of the direction."""
        x, y, z = (float(each) for each in direction)
        across = math.hypot(x, z)
        reach = [radius * across + level * y for radius, level in self.rims]
        reach += [a * x + b * y + c * z for a, b, c in self.corners]
        return max(reach) + self.ball * math.hypot(across, y)

    @property
    def radius(self) -> float:
        """The radius of the ball about the origin that contains the solid."""
        reach = [math.hypot(*rim) for rim in self.rims] + [math.hypot(*corner) for corner in self.corners]
        return max(reach) + self.ball

    def _near(self, origin: Floats, direction: Floats) -> NDArray[np.bool_]:
        """Which rays meet the ball that contains the solid."""
        along, square, away = _dot(origin, direction), _dot(direction, direction), _dot(origin, origin)
        away = away - np.float32(self.radius**2 * 1.01)
        return (along * along >= square * away) & ((along < 0) | (away < 0))

    def _convex_entry(self, origin: Floats, direction: Floats) -> Floats:
        """Where rays enter a convex solid from outside; infinite for rays that do not."""
        infinite = np.float32(np.inf)
        enter, leave = self.body.inside(origin, direction) if self.body else (-infinite, infinite)
        if self.planes:
            table = np.array(self.planes, np.float32)
            speed = table[:, :3] @ direction
            speed = np.where(np.abs(speed) < PARALLEL, PARALLEL, speed)
            when = (table[:, 3:] - table[:, :3] @ origin) / speed
            enter = np.maximum(enter, np.where(speed < 0, when, -infinite).max(0))
            leave = np.minimum(leave, np.where(speed > 0, when, infinite).min(0))
        return np.where((enter < leave) & (enter > NEAREST), enter, infinite)

    def _march(self, origin: Floats, unit: Floats, t: Floats, end: Floats) -> None:
        """Moves the places `t` along the rays until they touch the torus or reach `end`."""
        active = np.arange(len(t))
        for _ in range(STEPS):
            gap = self._gap(_select(origin, active) + t[active] * _select(unit, active))
            t[active] += gap
            active = active[(gap > TOUCH / 10) & (t[active] < end[active])]
            if not len(active):
                return

    def _torus_entry(self, origin: Floats, direction: Floats) -> Floats:
        """Where rays meet a torus; infinite for rays that do not."""
        assert self.tube
        length: Floats = np.sqrt(_dot(direction, direction))
        unit = direction / length
        along = _dot(origin, unit)
        half: Floats = np.sqrt(np.maximum(along**2 - _dot(origin, origin) + np.float32(self.radius**2 * 1.01), 0))
        # A ray that starts on the surface must first leave it, or the distance is 0.
        start: Floats = np.maximum(-along - half, np.float32(0.02))
        t, end = np.broadcast_to(start, half.shape).copy(), np.broadcast_to(half - along, half.shape)
        self._march(origin, unit, t, end)
        touched = np.abs(self._gap(origin + t * unit)) < TOUCH
        return np.where(touched, t / length, np.float32(np.inf))

    def _gap(self, points: Floats) -> Floats:
        """Distance to the surface of the torus."""
        assert self.tube
        x, y, z = points
        across = np.sqrt(x * x + z * z) - np.float32(self.tube[0])
        return np.sqrt(across * across + y * y) - np.float32(self.tube[1])


def _select(columns: Floats, places: Places) -> Floats:
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


def _prism(inradius: float, half: float) -> Solid:
    """A tent along z: an equilateral triangle of radius `inradius`, one side down."""
    across, outside = inradius * math.sqrt(3), 2 * inradius
    root = math.sqrt(0.75)
    sides = [(0, -1, 0, inradius), (root, 0.5, 0, inradius), (-root, 0.5, 0, inradius)]
    triangle = [(0.0, outside), (across, -inradius), (-across, -inradius)]
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
"""Every kind by name, in the order of the class numbers."""
