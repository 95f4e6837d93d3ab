"""The picture of a scene: image, depth, normals and mask, ray-cast in perspective.

The camera looks along -z of its own frame, with x to the right and y up. In that frame rays have
z = -1, so the distance t along a ray is the depth. Points, directions and colours
are columns, (3, n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multiview.data.scenes.scene import KINDS, Body, Camera, Light, Scene
from multiview.data.scenes.solids import SOLIDS, Floats, Places, Solid
from multiview.data.scenes.textures import linear_rgb, painted, srgb

SKY, GROUND = 0, 255
FAR = np.float32(30.0)
"""Depth at which the ground ends, metres."""
EDGE = 0.05
"""Contrast to a neighbour above which a pixel is sampled again with four rays."""
OFFSETS = np.array([[-0.375, 0.125, 0.375, -0.125], [-0.125, -0.375, 0.125, 0.375]], np.float32)
"""A rotated grid: four rays per pixel, no two in one row or column."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """The arrays of a sample.

    Attributes:
        image: uint8 (h, w, 3).
        depth: float32 (h, w), metres along the optical axis, 0 = sky.
        normal: float16 (h, w, 3), x right, y up, z towards the viewer, 0 = sky.
        mask: uint8 (h, w), 1 = the first solid, 2 = the second solid, 0 = neither.
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
        """The solid on the ground, or `lift` above the ground."""
        solid = SOLIDS[KINDS[int(body.kind)]]
        forward = rotation_of(body) * (body.size * np.array([body.wide, body.tall, body.deep]))
        height = solid.support(-forward[1]) + body.lift
        centre = np.array([[body.x], [height], [body.z]], np.float32)
        return cls(solid, body, centre, np.linalg.inv(forward).astype(np.float32))

    def local(self, points: Floats) -> Floats:
        """World points in the solid's own coordinates."""
        return self.inverse @ (points - self.centre)

    def hit(self, origin: Floats, direction: Floats) -> tuple[Places, Floats, Floats]:
        """Like `Solid.hit`, in world coordinates and with unit normals."""
        which, when, normals = self.solid.hit(self.local(origin), self.inverse @ direction)
        return which, when, _unit(self.inverse.T @ normals)


def _unit(vectors: Floats) -> Floats:
    return vectors / np.sqrt((vectors * vectors).sum(0))


def rotation_of(body: Body) -> NDArray[np.float64]:
    """The rotation of a body, (3, 3): yaw about the vertical, then tilt about a level axis."""
    axis = np.array([math.cos(body.lean), 0.0, math.sin(body.lean)])
    cross = np.array([[0, -axis[2], 0], [axis[2], 0, -axis[0]], [0, axis[0], 0]])
    tilt = np.eye(3) + math.sin(body.tilt) * cross + (1 - math.cos(body.tilt)) * cross @ cross
    sin, cos = math.sin(body.yaw), math.cos(body.yaw)
    return tilt @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def camera_frame(camera: Camera) -> tuple[Floats, Floats]:
    """World position (3, 1) and axes (3, 3) of the camera: right, up, towards the viewer."""
    sin, cos = math.sin(camera.pitch), math.cos(camera.pitch)
    axes = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)
    position = np.array([[0], [camera.aim], [0]], np.float32) + np.float32(camera.distance) * axes[:, 2:]
    return position, axes


def sunward(light: Light) -> Floats:
    """Unit vector (3, 1) towards the light."""
    level = math.cos(light.elevation)
    x, z = level * math.sin(light.azimuth), level * math.cos(light.azimuth)
    return np.array([[x], [math.sin(light.elevation)], [z]], np.float32)


@lru_cache(maxsize=8)
def pixels(size: int) -> Floats:
    """Centres (2, n) of size x size pixels, row by row: x right and y up, from -1 to 1."""
    line = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(line, -line)
    return np.stack([x.ravel(), y.ravel()])


@dataclass(frozen=True)
class Stage:
    """A scene with placed solids, camera and light, ready for ray casting."""

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
        """World directions (3, n), of depth 1, of rays through places (2, n) of the picture."""
        tangent = np.float32(math.tan(self.scene.camera.view / 2))
        return self.axes[:, :2] @ (places * tangent) - self.axes[:, 2:]


@dataclass(frozen=True)
class Hits:
    """What n rays met: depth t, id (SKY, GROUND or 1, 2, ... for solids), unit normals (3, n).

    Normals are in world coordinates and 0 for the sky.
    """

    t: Floats
    id: Bytes
    normals: Floats


def cast(stage: Stage, direction: Floats) -> Hits:
    """The first thing that each ray from the camera meets."""
    down = np.minimum(direction[1], np.float32(-1e-9))
    t = -stage.position[1] / down
    ground = t < FAR
    t[~ground] = np.inf
    who = np.where(ground, np.uint8(GROUND), np.uint8(SKY))
    normals = np.zeros_like(direction)
    normals[1] = ground
    for number, placed in enumerate(stage.placed, start=1):
        which, when, outward = placed.hit(stage.position, direction)
        nearer = when < t[which]
        which = which[nearer]
        t[which], who[which], normals[:, which] = when[nearer], number, outward[:, nearer]
    return Hits(t, who, normals)


def shade(stage: Stage, hits: Hits, direction: Floats) -> Floats:
    """Linear RGB (3, n) of the points that the rays met."""
    out = np.empty_like(direction)
    sky = np.flatnonzero(hits.id == SKY)
    out[:, sky] = _sky(stage.scene, direction[:, sky])
    for who in (GROUND, *range(1, len(stage.placed) + 1)):
        mine = np.flatnonzero(hits.id == who)
        if len(mine):
            rays = direction[:, mine]
            points = stage.position + hits.t[mine] * rays
            placed = None if who == GROUND else stage.placed[who - 1]
            out[:, mine] = _surface(stage, placed, points, hits.normals[:, mine], rays)
    return out


def _sky(scene: Scene, direction: Floats) -> Floats:
    share = np.clip(direction[1] * 2, 0, 1)
    low, high = linear_rgb(scene.horizon)[:, None], linear_rgb(scene.sky)[:, None]
    return low + share * (high - low)


def _surface(stage: Stage, placed: Placed | None, points: Floats, normals: Floats, direction: Floats) -> Floats:
    """Linear RGB of points of a surface: ambient, diffuse and, on solids, specular (Blinn 1977)."""
    light = stage.scene.light
    facing = np.maximum((normals * stage.sun).sum(0), 0)
    facing[_shadowed(stage, placed, points, normals)] = 0
    tint = np.array([[1 + light.warmth], [1], [1 - light.warmth]], np.float32) * np.float32(light.power)
    lit = np.float32(light.ambient) * (np.float32(0.75) + np.float32(0.25) * normals[1]) + tint * facing
    if placed is None:
        return linear_rgb(stage.scene.ground)[:, None] * lit
    half = _unit(stage.sun - _unit(direction))
    shine = np.maximum((half * normals).sum(0), 0) ** 32 * (facing > 0) * np.float32(placed.body.gloss)
    return painted(placed.body.paint, placed.local(points)) * lit + shine


def _shadowed(stage: Stage, mine: Placed | None, points: Floats, normals: Floats) -> Places:
    """Which points lie in the shadow of a solid; a convex solid throws none on itself."""
    start = points + np.float32(1e-3) * normals
    others = [each for each in stage.placed if each is not mine or each.solid.tube]
    hit = [each.solid.hit(each.local(start), each.inverse @ stage.sun)[0] for each in others]
    return np.concatenate([np.zeros(0, np.intp), *hit])


def picture(scene: Scene, size: int) -> Picture:
    """The scene as size x size pixels: geometry at pixel centres, image with smoothed edges."""
    stage = Stage.of(scene)
    direction = stage.rays(pixels(size))
    hits = cast(stage, direction)
    linear = np.clip(shade(stage, hits, direction), 0, 1)
    _smooth_edges(stage, linear, size)
    return Picture(
        image=srgb(linear).reshape(size, size, 3),
        depth=np.where(hits.id == SKY, np.float32(0), hits.t).reshape(size, size),
        normal=(stage.axes.T @ hits.normals).T.astype(np.float16, order="C").reshape(size, size, 3),
        mask=np.where(hits.id == GROUND, np.uint8(0), hits.id).reshape(size, size),
    )


def _smooth_edges(stage: Stage, linear: Floats, size: int) -> None:
    """Replaces pixels that differ from a neighbour by the mean of four rays."""
    rough = np.flatnonzero(_find_edges(np.sqrt(linear).reshape(3, size, size)))
    if not len(rough):
        return
    places = pixels(size)[:, rough, None] + (OFFSETS * np.float32(2 / size))[:, None]
    direction = stage.rays(places.reshape(2, -1))
    fine = np.clip(shade(stage, cast(stage, direction), direction), 0, 1)
    linear[:, rough] = fine.reshape(3, len(rough), -1).mean(2)


def _find_edges(image: Floats) -> NDArray[np.bool_]:
    across = np.abs(np.diff(image, axis=2)).max(0) > EDGE
    along = np.abs(np.diff(image, axis=1)).max(0) > EDGE
    edge = np.zeros(image.shape[1:], bool)
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= along
    edge[:-1] |= along
    return edge
