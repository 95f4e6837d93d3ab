"""A small PointNet: the same layers for every point, then a maximum, which ignores their order."""

from __future__ import annotations

from torch import nn

from multiview.encoder import Encoder, scaled
from multiview.encoders.waveconv import conv_in_time
from multiview.record import recorded


class PointNet(Encoder):
    """Three layers (batch norm, ReLU) shared by all points, then a maximum: h (n, 256 * width).

    width: multiplier of the channels 64, 128, 256. Clouds may have any number of points.
    Layers: point1 to point3, pool.
    Initialisation: layers N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Source: Qi et al., arXiv:1612.00593, without learned rotations.
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
    """The small PointNet: h (n, 256 * width). Options: see `PointNet`."""
    return PointNet(channels, width=width)
