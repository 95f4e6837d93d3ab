"""The picture of a scene: image, depth, normals and mask, ray-cast in perspective.

The camera looks along -z of its own frame, x to the right, y up. Rays have z = -1 there, so that t along a ray is depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multiview.data.paint import linear_rgb, painted, srgb
from multiview.data.scenes import KINDS, Body, Camera, Light, Scene
from multiview.data.solids import SOLIDS, Floats, Solid

SKY, GROUND = 0, 255
FAR = 30.0
"""Where the ground ends, metres."""
EDGE = 0.04
"""Contrast to a neighbour above which a pixel is sampled again, finer."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """image: uint8 (h, w, 3). depth: float32 (h, w), metres along the optical axis, 0 = sky. normal: float16 (h, w, 3), x right,
    y up, z towards the viewer, 0 = sky. mask: uint8 (h, w), 1 = the solid, 2 = the other one, 0 = neither.
    """

    image: Bytes
    depth: Floats
    normal: NDArray[np.float16]
    mask: Bytes


@dataclass(frozen=True)
class Placed:
    """A solid at its place: `inverse` (3, 3) takes world directions to its own coordinates."""

    solid: Solid
    body: Body
    centre: Floats
    inverse: Floats

    @classmethod
    def of(cls, body: Body) -> Placed:
        """Stands on the ground, or floats `lift` over it."""
        solid = SOLIDS[KINDS[int(body.kind)]]
        forward = turn(body) * (body.size * np.array([body.wide, body.tall, body.deep]))
        height = solid.support(-forward[1]) + body.lift
        centre = np.array([body.x, height, body.z], np.float32)
        return cls(solid, body, centre, np.linalg.inv(forward).astype(np.float32))

    def local(self, points: Floats) -> Floats:
        """World points (n, 3) in the solid's own coordinates."""
        return (points - self.centre) @ self.inverse.T

    def hit(self, origin: Floats, direction: Floats) -> tuple[Floats, Floats]:
        """As `Solid.hit`, in the world."""
        t, normals = self.solid.hit(self.local(origin), direction @ self.inverse.T)
        return t, normals @ self.inverse


def turn(body: Body) -> NDArray[np.float64]:
    """The rotation of a body, (3, 3): yaw about the vertical, then a tilt about a level axis."""
    axis = np.array([math.cos(body.lean), 0.0, math.sin(body.lean)])
    cross = np.array([[0, -axis[2], 0], [axis[2], 0, -axis[0]], [0, axis[0], 0]])
    tilt = np.eye(3) + math.sin(body.tilt) * cross + (1 - math.cos(body.tilt)) * cross @ cross
    sin, cos = math.sin(body.yaw), math.cos(body.yaw)
    return tilt @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def camera_frame(camera: Camera) -> tuple[Floats, Floats]:
    """Position (3,) and axes (3, 3), whose columns are right, up and towards the viewer, in the world."""
    sin, cos = math.sin(camera.pitch), math.cos(camera.pitch)
    axes = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)
    position = np.array([0, camera.aim, 0], np.float32) + np.float32(camera.distance) * axes[:, 2]
    return position, axes


@lru_cache(maxsize=8)
def pixels(size: int) -> Floats:
    """Centres of size x size pixels, row by row, (n, 2): x right and y up, from -1 to 1."""
    line = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(line, -line)
    return np.stack([x.ravel(), y.ravel()], axis=1)


@dataclass(frozen=True)
class Stage:
    """A scene made ready for rays."""

    scene: Scene
    placed: tuple[Placed, ...]
    position: Floats
    axes: Floats
    sun: Floats

    @classmethod
    def of(cls, scene: Scene) -> Stage:
        """Places the solids, the camera and the light."""
        bodies = [scene.body, *([scene.other] if scene.other else [])]
        return cls(scene, tuple(Placed.of(body) for body in bodies), *camera_frame(scene.camera), sunward(scene.light))

    def rays(self, places: Floats) -> Floats:
        """World directions (n, 3) of the rays through places (n, 2) of the picture, of depth 1."""
        tangent = np.float32(math.tan(self.scene.camera.view / 2))
        local = np.concatenate([places * tangent, np.full((len(places), 1), -1, np.float32)], axis=1)
        return local @ self.axes.T


def sunward(light: Light) -> Floats:
    """Unit vector (3,) towards the light."""
    level = math.cos(light.elevation)
    return np.array(
        [level * math.sin(light.azimuth), math.sin(light.elevation), level * math.cos(light.azimuth)], np.float32
    )


@dataclass(frozen=True)
class Hits:
    """What n rays met: t, world normals (unit, 0 = sky), who (1, 2, ... a solid, GROUND or SKY), and the points."""

    t: Floats
    normals: Floats
    who: Bytes
    points: Floats


def cast(stage: Stage, direction: Floats) -> Hits:
    """The first thing that each ray (n, 3) from the camera meets."""
    n = len(direction)
    origin = np.broadcast_to(stage.position, (n, 3))
    down = np.where(direction[:, 1] < 0, direction[:, 1], np.float32(-1e-9))
    t = -stage.position[1] / down
    t = np.where(t < FAR, t, np.float32(np.inf))
    who = np.where(np.isfinite(t), np.uint8(GROUND), np.uint8(SKY))
    normals = np.zeros((n, 3), np.float32)
    normals[who == GROUND, 1] = 1
    for number, placed in enumerate(stage.placed, start=1):
        when, outward = placed.hit(origin, direction)
        nearer = when < t
        t[nearer], who[nearer] = when[nearer], number
        normals[nearer] = outward[nearer] / np.linalg.norm(outward[nearer], axis=1, keepdims=True)
    points = stage.position + np.where(who == SKY, 0, t).astype(np.float32)[:, None] * direction
    return Hits(t, normals, who, points)


def shade(stage: Stage, hits: Hits, direction: Floats) -> Floats:
    """Linear RGB (n, 3) of what n rays met."""
    scene = stage.scene
    out = np.empty_like(direction)
    sky = hits.who == SKY
    out[sky] = _sky(scene, direction[sky])
    lit = np.flatnonzero(~sky)
    who, points, normals = hits.who[lit], hits.points[lit], hits.normals[lit]
    albedo = np.empty((len(lit), 3), np.float32)
    gloss = np.zeros(len(lit), np.float32)
    ground = who == GROUND
    albedo[ground] = painted(scene.ground, points[ground])
    for number, placed in enumerate(stage.placed, start=1):
        mine = who == number
        albedo[mine] = painted(placed.body.paint, placed.local(points[mine]))
        gloss[mine] = placed.body.gloss
    facing = np.maximum(normals @ stage.sun, 0) * ~_shadowed(stage, points, normals)
    out[lit] = albedo * _light(scene.light, facing, normals)
    out[lit] += (gloss * _highlight(stage, direction[lit], normals) * (facing > 0))[:, None]
    return out


def _sky(scene: Scene, direction: Floats) -> Floats:
    height = direction[:, 1] / np.linalg.norm(direction, axis=1)
    share = np.clip(height / 0.5, 0, 1)[:, None]
    return linear_rgb(scene.horizon) * (1 - share) + linear_rgb(scene.sky) * share


def _light(light: Light, facing: Floats, normals: Floats) -> Floats:
    tint = np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    around = np.float32(light.ambient) * (0.75 + 0.25 * normals[:, 1])
    return around[:, None] + np.float32(light.power) * facing[:, None] * tint


def _highlight(stage: Stage, direction: Floats, normals: Floats) -> Floats:
    back = -direction / np.linalg.norm(direction, axis=1, keepdims=True)
    half = back + stage.sun
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.maximum(np.einsum("ij,ij->i", half, normals), 0) ** 32


def _shadowed(stage: Stage, points: Floats, normals: Floats) -> NDArray[np.bool_]:
    dark = np.zeros(len(points), bool)
    start = points + 1e-3 * normals
    toward = np.broadcast_to(stage.sun, points.shape)
    for placed in stage.placed:
        dark |= np.isfinite(placed.hit(start, toward)[0])
    return dark


def picture(scene: Scene, size: int) -> Picture:
    """The scene as size x size pixels; geometry is that of the pixel centres, edges of the image are smoothed."""
    stage = Stage.of(scene)
    direction = stage.rays(pixels(size))
    hits = cast(stage, direction)
    linear = shade(stage, hits, direction)
    _smooth(stage, linear, size)
    solid = np.where(hits.who == GROUND, np.uint8(0), hits.who)
    normal = (hits.normals @ stage.axes).astype(np.float16)
    depth = np.where(hits.who == SKY, np.float32(0), hits.t)
    return Picture(
        image=srgb(linear).reshape(size, size, 3),
        depth=depth.reshape(size, size).astype(np.float32),
        normal=normal.reshape(size, size, 3),
        mask=solid.reshape(size, size),
    )


OFFSETS = np.array([[-0.375, -0.125], [0.125, -0.375], [0.375, 0.125], [-0.125, 0.375]], np.float32)
"""A rotated grid: four rays a pixel, no two in one row or column."""


def _smooth(stage: Stage, linear: Floats, size: int) -> None:
    """Replaces pixels that differ from a neighbour by the mean of four rays."""
    rough = np.flatnonzero(_edges(np.sqrt(np.clip(linear, 0, 1)).reshape(size, size, 3)))
    if not len(rough):
        return
    places = (pixels(size)[rough, None] + OFFSETS * np.float32(2 / size)).reshape(-1, 2)
    direction = stage.rays(places)
    fine = shade(stage, cast(stage, direction), direction)
    linear[rough] = np.clip(fine, 0, 1).reshape(-1, len(OFFSETS), 3).mean(1)


def _edges(image: Floats) -> NDArray[np.bool_]:
    across = np.abs(np.diff(image, axis=1)).max(2) > EDGE
    along = np.abs(np.diff(image, axis=0)).max(2) > EDGE
    edge = np.zeros(image.shape[:2], bool)
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= along
    edge[:-1] |= along
    return edge
