"""The kinds of solid that scenes are made of, and where a ray meets them.

Each solid stands in its own coordinates: y is its axis, its centre is the origin, its extent about 1. A convex one is
the common part of half spaces and of one round body; a ray's stay in it is the common part of its stays in each (Kay and
Kajiya 1986). The torus is found by sphere tracing (Hart 1996).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
NEAREST = 1e-3
"""Hits nearer than this, in units of the ray's direction, are the surface that the ray starts from."""
PARALLEL = 1e-9


@dataclass(frozen=True)
class Round:
    """The body x^2 + z^2 + a y^2 + b y + c <= 0: a ball, a cylinder, or a cone (its lower nappe)."""

    a: float
    b: float
    c: float

    def stay(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """When each of n rays enters and leaves; enters > leaves when it never does."""
        ox, oy, oz = origin.T
        dx, dy, dz = direction.T
        square = dx * dx + dz * dz + self.a * dy * dy
        square = np.where(np.abs(square) < PARALLEL, np.float32(PARALLEL), square)
        half = ox * dx + oz * dz + self.a * oy * dy + self.b / 2 * dy
        rest = ox * ox + oz * oz + self.a * oy * oy + self.b * oy + self.c
        under = half * half - square * rest
        root = np.sqrt(np.maximum(under, 0)) / np.abs(square)
        middle = -half / square
        first, last = middle - root, middle + root
        # Steeper than the side of a cone: outside between the roots, and only the end below the tip is the solid.
        steep = square < 0
        infinite = np.float32(np.inf)
        enter = np.where(steep, np.where(dy < 0, last, -infinite), first)
        leave = np.where(steep, np.where(dy < 0, infinite, first), last)
        missed = ~steep & (under < 0)
        return np.where(missed, infinite, enter), np.where(missed, -infinite, leave)

    def normals(self, points: Floats) -> Floats:
        """Outward, not of unit length."""
        out = points.copy()
        out[:, 1] = self.a * points[:, 1] + self.b / 2
        return out


@dataclass(frozen=True)
class Solid:
    """A kind of solid.

    planes: unit normals and offsets (k, 4) of the half spaces n . x <= c. body: its round part. tube: None, or (R, r) of a
    torus about y. ball, rims, corners: it is the hull of circles (radius, y) about the axis and of points, thickened by
    `ball`, which gives its support function.
    """

    planes: tuple[tuple[float, float, float, float], ...] = ()
    body: Round | None = None
    tube: tuple[float, float] | None = None
    ball: float = 0.0
    rims: tuple[tuple[float, float], ...] = ()
    corners: tuple[tuple[float, float, float], ...] = ()

    def hit(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """Where n rays first meet it: t (n,), infinite for a miss, in units of the direction; outward normals (n, 3), not of
        unit length, 0 for a miss. origin, direction: (n, 3).
        """
        t, normals = np.full(len(origin), np.inf, np.float32), np.zeros_like(direction)
        near = np.flatnonzero(self._near(origin, direction))
        if len(near):
            found = self._torus if self.tube else self._convex
            t[near], normals[near] = found(origin[near], direction[near])
        return t, normals

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
        along = np.einsum("ij,ij->i", origin, direction)
        length = np.einsum("ij,ij->i", direction, direction)
        away = np.einsum("ij,ij->i", origin, origin) - self.radius**2 * 1.01
        return (along * along >= length * away) & ((along < 0) | (away < 0))

    def _convex(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        enter, leave, normals = self._flat_stay(origin, direction)
        if self.body:
            into, out = self.body.stay(origin, direction)
            rounded = into > enter
            enter, leave = np.maximum(enter, into), np.minimum(leave, out)
            points = origin[rounded] + enter[rounded, None] * direction[rounded]
            normals[rounded] = self.body.normals(np.where(np.isfinite(points), points, 0))
        missed = (enter >= leave) | (enter < NEAREST)
        return np.where(missed, np.float32(np.inf), enter), np.where(missed[:, None], np.float32(0), normals)

    def _flat_stay(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats, Floats]:
        n = len(origin)
        if not self.planes:
            infinite = np.full(n, np.inf, np.float32)
            return -infinite, infinite, np.zeros((n, 3), np.float32)
        table = np.array(self.planes, np.float32)
        speed = direction @ table[:, :3].T
        speed = np.where(np.abs(speed) < PARALLEL, np.float32(PARALLEL), speed)
        when = (table[:, 3] - origin @ table[:, :3].T) / speed
        enters = np.where(speed < 0, when, -np.inf)
        last = enters.argmax(1)
        leave = np.where(speed > 0, when, np.inf).min(1)
        return enters[np.arange(n), last], leave, table[last, :3]

    def _torus(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        assert self.tube
        length = np.sqrt(np.einsum("ij,ij->i", direction, direction))
        unit = direction / length[:, None]
        # A shadow's ray starts on the surface: step off it before distances are trusted.
        t = np.full(len(origin), 2e-2, np.float32)
        along, away = np.einsum("ij,ij->i", origin, unit), np.einsum("ij,ij->i", origin, origin)
        entry = -along - np.sqrt(np.maximum(along**2 - away + self.radius**2 * 1.01, 0))
        t = np.maximum(t, entry)
        exit_ = 2 * np.abs(along) + self.radius
        active = np.arange(len(t))
        for _ in range(64):
            gap = self._gap(origin[active] + t[active, None] * unit[active])
            t[active] += gap
            active = active[(np.abs(gap) > 1e-4) & (t[active] < exit_[active])]
            if not len(active):
                break
        points = origin + t[:, None] * unit
        missed = np.abs(self._gap(points)) > 2e-3
        return np.where(missed, np.float32(np.inf), t / length), np.where(
            missed[:, None], np.float32(0), self._outward(points)
        )

    def _gap(self, points: Floats) -> Floats:
        """Distance to the surface of the torus."""
        assert self.tube
        across = np.sqrt(points[:, 0] ** 2 + points[:, 2] ** 2) - self.tube[0]
        return np.sqrt(across**2 + points[:, 1] ** 2) - np.float32(self.tube[1])

    def _outward(self, points: Floats) -> Floats:
        assert self.tube
        across = np.maximum(np.sqrt(points[:, 0] ** 2 + points[:, 2] ** 2), PARALLEL)
        ring = points * np.float32(self.tube[0]) / across[:, None]
        ring[:, 1] = 0
        return points - ring


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
