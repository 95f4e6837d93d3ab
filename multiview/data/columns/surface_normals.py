"""Surface normals of a depth map from a pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Focal lengths and principal point in pixels; pixel centres are whole numbers."""

    fx: float
    fy: float
    cx: float
    cy: float


def normals(depth: np.ndarray, camera: Camera, reach: int = 3) -> np.ndarray:
    """Normals, float16 (height, width, 3) unit vectors, of a depth map in metres (height, width).

    The axes are x right, y up, z towards the viewer. Each normal belongs to the plane through a
    point and its neighbours `reach` pixels away, on the sides where the depth changes less, so that
    no plane spans the edge of an object. 0 where depth is 0 or no neighbour is measured.
    """
    points = _points(depth.astype("float64"), camera)
    along_x, seen_x = _step(points, reach, axis=1)
    along_y, seen_y = _step(points, reach, axis=0)
    away = np.cross(along_x, along_y)  # x right, y down, z forward
    length = np.linalg.norm(away, axis=-1, keepdims=True)
    there = (depth > 0) & seen_x & seen_y & (length[..., 0] > 0)
    unit = away / np.where(length > 0, length, 1) * np.array([-1.0, 1.0, 1.0])
    return np.where(there[..., None], unit, 0).astype("float16")


def _points(depth: np.ndarray, camera: Camera) -> np.ndarray:
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    return np.stack([(u - camera.cx) / camera.fx * depth, (v - camera.cy) / camera.fy * depth, depth], axis=-1)


def _step(points: np.ndarray, reach: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The step to the neighbour with less change of depth, and whether one is measured."""
    forward, seen_forward = _towards(points, reach, axis)
    backward, seen_backward = _towards(points, -reach, axis)
    change = np.where(seen_forward, np.abs(forward[..., 2]), np.inf)
    better = np.where(seen_backward, np.abs(backward[..., 2]), np.inf) < change
    return np.where(better[..., None], -backward, forward), seen_forward | seen_backward


def _towards(points: np.ndarray, reach: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The step to the point `reach` further, and whether that point is measured."""
    other = np.roll(points, -reach, axis=axis)
    place = np.arange(points.shape[axis]) + reach
    inside = (place >= 0) & (place < points.shape[axis])
    seen = (other[..., 2] > 0) & (inside[:, None] if axis == 0 else inside[None, :])
    return other - points, seen
