"""The half AlexNet of CMC (arXiv:1906.05849), with its seven layers."""

from __future__ import annotations

from torch import Tensor, nn

from multiview.encoder import Encoder, scaled
from multiview.errors import MultiviewError
from multiview.record import recorded

SMALLEST = 63
"""Smallest side of an image, pixels; smaller ones are empty after two max pools."""


class AlexNet(Encoder):
    """AlexNet with half the channels and with batch norms: h (n, 2048 * width) comes from fc7.

    width: multiplier of the channels (48, 128, 192, 192, 128) and of the two layers of 2048 units.
    Layers: conv1 to conv5 (convolution, batch norm, ReLU; 1, 2 and 5 with max pool), fc6, fc7. CMC
    calls them 1 to 7.
    Images: of 224 px, where fc6 reads 6 x 6 cells; adaptive average pooling makes 6 x 6 of others.
    Initialisation: PyTorch's (uniform in +-1/sqrt(fan_in); batch norms scale 1, shift 0), as CMC's.
    Raises MultiviewError for images below 63 px.
    Source: arXiv:1906.05849 and its code; arXiv:1404.5997 for the whole network.
    """

    def __init__(self, channels: int, *, width: float = 1.0) -> None:
        planes = [scaled(planes, width) for planes in (48, 128, 192, 192, 128)]
        units = scaled(2048, width)
        super().__init__(channels, units, ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"))
        self.conv1 = _conv(channels, planes[0], 11, stride=4, padding=2, pool=True)
        self.conv2 = _conv(planes[0], planes[1], 5, padding=2, pool=True)
        self.conv3 = _conv(planes[1], planes[2], 3, padding=1)
        self.conv4 = _conv(planes[2], planes[3], 3, padding=1)
        self.conv5 = _conv(planes[3], planes[4], 3, padding=1, pool=True)
        self.fc6 = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten(), *_linear(planes[4] * 6 * 6, units))
        self.fc7 = nn.Sequential(*_linear(units, units))

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`. Raises MultiviewError for images below 63 px."""
        if min(x.shape[-2:]) < SMALLEST:
            raise MultiviewError(
                f"alexnet needs images of {SMALLEST} px or more, not {x.shape[-2]} x {x.shape[-1]}; "
                f"use a larger crop, or the encoder convnet."
            )
        return super().encode(x, layer)


def _conv(before: int, after: int, kernel: int, *, stride: int = 1, padding: int, pool: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
    layers: list[nn.Module] = [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(3, 2)) if pool else nn.Sequential(*layers)


def _linear(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]


@recorded
def alexnet(channels: int, *, width: float = 1.0) -> AlexNet:
    """The half AlexNet of CMC: h (n, 2048 * width). Options: see `AlexNet`."""
    return AlexNet(channels, width=width)
