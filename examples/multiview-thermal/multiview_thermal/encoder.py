"""The encoder `spots`: two convolutions over large patches."""

from torch import nn

from multiview.encoder import Encoder, scaled


class Spots(Encoder):
    """Patches of 8 x 8 px, then one 3 x 3 convolution: h (n, 128 * width).

    Layers: patches, mixed, pool.
    """

    def __init__(self, channels: int, *, width: float = 1.0) -> None:
        planes = scaled(128, width)
        super().__init__(channels, planes, ("patches", "mixed", "pool"))
        self.patches = nn.Sequential(nn.Conv2d(channels, planes, 8, 4, bias=False), nn.BatchNorm2d(planes), nn.ReLU())
        self.mixed = nn.Sequential(
            nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes), nn.ReLU()
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def spots(channels: int, *, width: float = 1.0) -> Spots:
    """Warm spots: two convolutions over large patches, h (n, 128 * width)."""
    return Spots(channels, width=width)
