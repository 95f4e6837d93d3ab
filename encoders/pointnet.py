"""A small PointNet: the same layers for every point, then the largest of each number, so that order means nothing."""

from __future__ import annotations

from torch import nn

from multiview.encoder import Encoder, scaled
from multiview.encoders.waveconv import conv_in_time
from multiview.record import recorded


class PointNet(Encoder):
    """Three layers shared by all points with batch norm and ReLU, then the maximum over them: h (n, 256 * width).

    width: multiplier of the planes 64, 128, 256. Layers: point1 to point3, pool. Clouds of any number of points.
    Initialisation: maps N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Source: Qi et al., arXiv:1612.00593, without its learned rotations: `points` centres and scales the cloud.
    """

    axes = ("channels", "points")

    def __init__(self, channels: int, *, width: float = 1.0) -> None:
        planes = [scaled(planes, width) for planes in (64, 128, 256)]
        super().__init__(channels, planes[-1], ("point1", "point2", "point3", "pool"))
        self.point1 = conv_in_time(channels, planes[0], 1)
        self.point2 = conv_in_time(planes[0], planes[1], 1)
        self.point3 = conv_in_time(planes[1], planes[2], 1)
        self.pool = nn.Sequential(nn.AdaptiveMaxPool1d(1), nn.Flatten())


@recorded
def pointnet(channels: int, *, width: float = 1.0) -> PointNet:
    """The small PointNet: h (n, 256 * width). Options as of `PointNet`."""
    return PointNet(channels, width=width)
