"""Surface normals of a depth map seen by a pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Focal lengths and principal point of a pinhole camera, in pixels; pixel centres are whole numbers."""

    fx: float
    fy: float
    cx: float
    cy: float


def normals(depth: np.ndarray, camera: Camera, reach: int = 3) -> np.ndarray:
    """float16 (height, width, 3) unit vectors, x right, y up, z towards the viewer, 0 = none, of metres (height, width).

    The normal of the surface through each point and its neighbours `reach` pixels away, on the side where the depth
    changes less, so that it does not lean over the edge of a thing. None where depth is 0 or has no measured neighbour.
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
    """From each point along an axis, forwards or backwards, where the depth changes less; and whether there is a point."""
    forward, seen_forward = _towards(points, reach, axis)
    backward, seen_backward = _towards(points, -reach, axis)
    change = np.where(seen_forward, np.abs(forward[..., 2]), np.inf)
    better = np.where(seen_backward, np.abs(backward[..., 2]), np.inf) < change
    return np.where(better[..., None], -backward, forward), seen_forward | seen_backward


def _towards(points: np.ndarray, reach: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """What leads from each point to the one `reach` further, and whether that one is measured and in the picture."""
    other = np.roll(points, -reach, axis=axis)
    place = np.arange(points.shape[axis]) + reach
    inside = (place >= 0) & (place < points.shape[axis])
    seen = (other[..., 2] > 0) & (inside[:, None] if axis == 0 else inside[None, :])
    return other - points, seen
