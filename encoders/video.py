"""Video encoders: an image encoder averaged over the frames, and torchvision's 3-D ResNet."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from multiview.encoder import Encoder, make_encoder
from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.weights import Target

CLIP = ("channels", "frames", "height", "width")


class Frames(Encoder):
    """An image encoder applied to every frame, then the mean over the frames.

    of: the image encoder; h and layers are its own, averaged over the frames.
    Raises MultiviewError when `of` does not read images.
    """

    axes = CLIP

    def __init__(self, of: Encoder) -> None:
        if of.axes != Encoder.axes:
            raise MultiviewError(
                f"frames: {type(of).__name__} reads ({', '.join(of.axes)}), not images; "
                f"name an image encoder, as in frames:convnet."
            )
        super().__init__(of.channels, of.features, of.layers)
        self.of = of

    def weights_target(self) -> Target:
        """The network of the image encoder."""
        return self.of.weights_target()

    def blocks(self) -> dict[str, int]:
        """The blocks of the image encoder."""
        return {f"of.{name}": block for name, block in self.of.blocks().items()}

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of the image encoder's `layer`, averaged over the frames."""
        n, _, frames, _, _ = x.shape
        outputs = self.of(x.transpose(1, 2).flatten(0, 1), layer)
        return outputs.view(n, frames, *outputs.shape[1:]).mean(1)


@recorded
def frames(
    model: str, channels: int, *, width: float = 1.0, img_size: int | tuple[int, int] | None = None, **options: Any
) -> Frames:
    """The image encoder `model` for video, as in frames:convnet or frames:timm:NAME.

    h is averaged over the frames. options: of the image encoder.
    """
    return Frames(make_encoder(model, channels, width=width, img_size=img_size, **options))


class R3d(Encoder):
    """torchvision's r3d_18 without classifier, for any number of channels: h (n, 512).

    Layers: stem, layer1 to layer4, pool. The last map has a stride of 8 frames and 16 pixels.
    Initialisation: torchvision's. Source: Tran et al., arXiv:1711.11248.
    """

    axes = CLIP
    classifier = ("fc.",)

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 512, ("stem", "layer1", "layer2", "layer3", "layer4", "pool"))
        from torchvision.models.video import r3d_18  # imports torch._dynamo: a second or more

        network = r3d_18(weights=None)
        self.stem, self.layer1, self.layer2 = network.stem, network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        if channels != 3:
            self.stem[0] = nn.Conv3d(channels, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
            nn.init.kaiming_normal_(self.stem[0].weight, mode="fan_out", nonlinearity="relu")
        self.pool = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())


@recorded
def r3d_18(channels: int, *, width: float = 1.0, weights: str | None = None) -> R3d:
    """torchvision's 3-D ResNet-18: h (n, 512).

    weights: file with torchvision's state for three channels, .pth or .safetensors; None = random.
    Raises MultiviewError for a width other than 1 and for weights that do not fit.
    """
    if width != 1:
        raise MultiviewError(f"r3d_18 has a width of its own: leave width at 1, not {width}.")
    encoder = R3d(channels)
    if weights is not None:
        encoder.load_weights(weights)
    return encoder
