"""A small fast network for images of 32 to 64 px: thousands of steps in minutes on a CPU."""

from __future__ import annotations

from torch import nn

from multiview.encoder import Encoder, scaled
from multiview.errors import MultiviewError
from multiview.record import recorded


class ConvNet(Encoder):
    """Four convolutions with batch norm and ReLU, then the mean over the map: h (n, 256 * width).

    width: multiplier of the channels 32, 64, 128, 256. stride: of the first convolution, 7 x 7; the
    others are 3 x 3 with strides 2, 2, 1. Stride 4 makes 4 x 4 cells of an image of 64 px; stride 2
    makes them of 32 px, with four times the work per pixel.
    Layers: stage1 to stage4, pool.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Raises MultiviewError when stride is below 1.
    """

    def __init__(self, channels: int, *, width: float = 1.0, stride: int = 4) -> None:
        if stride < 1:
            raise MultiviewError(
                f"the stride of a convnet is {stride}; give 1 or more: 4 for images of 64 px, 2 for 32 px."
            )
        planes = [scaled(planes, width) for planes in (32, 64, 128, 256)]
        super().__init__(channels, planes[-1], ("stage1", "stage2", "stage3", "stage4", "pool"))
        self.stage1 = _stage(channels, planes[0], 7, stride)
        self.stage2 = _stage(planes[0], planes[1], 3, 2)
        self.stage3 = _stage(planes[1], planes[2], 3, 2)
        self.stage4 = _stage(planes[2], planes[3], 3, 1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _stage(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


@recorded
def convnet(channels: int, *, width: float = 1.0, stride: int = 4) -> ConvNet:
    """The small network for a CPU: h (n, 256 * width). Options: see `ConvNet`."""
    return ConvNet(channels, width=width, stride=stride)
