"""Surface geometry computed from depth: normals, and HHA (disparity, height, angle with gravity).

The camera is approximated, because a crop does not say where in the picture it was cut: the camera
looks at the middle of the crop and sees its width under the angle `fov`. That is exact for whole
pictures. In a crop of a share s of the width, slopes across the picture are flattened by s. The
camera is level: gravity points down the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.depth import view_of_depth
from multiview.views.stored_numbers import as_given, real

LEAST = 1e-6
"""Smallest value of HHA where depth was measured; 0 means not measured."""


def points(depth: Tensor, fov: float) -> Tensor:
    """Positions (n, 3, h, w) of depth pixels, metres: x right, y up, z to the viewer."""
    height, width = depth.shape[-2:]
    focal = width / 2 / math.tan(math.radians(fov) / 2)
    right = (torch.arange(width, device=depth.device, dtype=depth.dtype) + 0.5 - width / 2) / focal
    up = (height / 2 - 0.5 - torch.arange(height, device=depth.device, dtype=depth.dtype)) / focal
    return torch.cat((depth * right, depth * up[:, None], -depth), dim=1)


def normals(depth: Tensor, fov: float) -> Tensor:
    """Unit normals (n, 3, h, w) of the surface in depth (n, 1, h, w), in the axes of `points`.

    The cross product of central differences. A pixel has a normal when its eight neighbours exist
    and were measured; otherwise the normal is (0, 0, 0).
    """
    if not depth.numel():
        return depth.expand(-1, 3, -1, -1)
    there = F.pad(depth, (1, 1, 1, 1))
    whole = -F.max_pool2d(-(there > 0).to(depth.dtype), 3, stride=1)
    place = F.pad(points(depth, fov), (1, 1, 1, 1), mode="replicate")
    along = place[..., 1:-1, 2:] - place[..., 1:-1, :-2]
    upward = place[..., :-2, 1:-1] - place[..., 2:, 1:-1]
    return as_given(F.normalize(real(torch.linalg.cross(along, upward, dim=1)), dim=1) * whole, depth)


@dataclass(frozen=True)
class Normals:
    """Depth to normals; the camera sees the picture's width under `fov` degrees."""

    fov: float

    def __call__(self, depth: Tensor) -> Tensor:
        """(n, 1, h, w) metres -> (n, 3, h, w) unit vectors."""
        return normals(depth, self.fov)


@dataclass(frozen=True)
class HHA:
    """Depth to disparity, height and angle with gravity, each as a share of its largest value."""

    fov: float
    near: float
    tall: float

    def __call__(self, depth: Tensor) -> Tensor:
        """(n, 1, h, w) metres -> (n, 3, h, w) in [0, 1]; 0 where nothing was measured."""
        if not depth.numel():
            return depth.expand(-1, 3, -1, -1)
        there = depth > 0
        up = points(depth, self.fov)[:, 1:2]
        # Unmeasured pixels do not count as the lowest point.
        lowest = up.masked_fill(~there, torch.inf).amin((2, 3), keepdim=True)
        height = (up - lowest) / self.tall
        angle = normals(depth, self.fov)[:, 1:2].clamp(-1.0, 1.0).acos() / math.pi
        shares = torch.cat((self.near / depth.clamp(min=self.near), height, angle), dim=1)
        return shares.clamp(LEAST, 1.0).masked_fill(~there, 0.0)


def _check(fov: float) -> None:
    if not 0 < fov < 180:
        raise MultiviewError(f"fov is {fov}; give the camera's angle across the picture in degrees, such as 60.")


@recorded
def depth_normal(crop: Crop, augment: Augmentation | None = None, *, fov: float = 60.0) -> View:
    """The view `depth_normal`: normals computed from depth, in the axes of `normal`; 0 = none.

    fov: the camera's angle across the picture, degrees: 2 atan(width / 2 focal).
    """
    _check(fov)
    channels = Channels("depth_normal", 3, "unit vector", -1.0, 1.0)
    return view_of_depth(channels, crop, augment, convert=Normals(fov), mean=(0.0,), std=(1.0,))


@recorded
def hha(
    crop: Crop, augment: Augmentation | None = None, *, fov: float = 60.0, near: float = 0.5, tall: float = 3.0
) -> View:
    """The view `hha`: disparity, height above the lowest point, angle with gravity, all in [0, 1].

    fov: the camera's angle across the picture, degrees. near: distance with disparity 1, metres.
    tall: height with value 1, metres. An angle of 0 is a floor, 0.5 a wall, 1 a ceiling. 0 after
    normalisation = not measured. Gravity points down the picture; Gupta et al., "Learning rich
    features from RGB-D images", 2014, estimate its direction.
    """
    _check(fov)
    channels, convert = Channels("hha", 3, "share", 0.0, 1.0), HHA(fov, near, tall)
    return view_of_depth(channels, crop, augment, convert=convert, mean=(0.5,), std=(0.5,), missing=0.0)
