"""ResNets (arXiv:1512.03385) of any width, with torchvision's blocks and names in the state."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from multiview.encoder import Encoder, scaled
from multiview.encoders.residual_blocks import BasicBlock, Bottleneck
from multiview.errors import MultiviewError, unknown_name
from multiview.record import recorded

Block = type[BasicBlock] | type[Bottleneck]


class ResNet(Encoder):
    """A residual network without classifier: h (n, 512 * width), or 2048 * width with bottlenecks.

    Layers: stem, layer1 to layer4, pool; CMC calls them 1 to 6. At width 1 the state fits the
    networks of torchvision and timm without `fc`, and their state fits here.
    Initialisation: convolutions N(0, 2 / fan_out), batch norms scale 1 and shift 0.
    Source: arXiv:1512.03385; the stride of a bottleneck is on its 3 x 3 convolution, as in
    torchvision and in CMC's code.

    Args:
        channels: of the view.
        block: `BasicBlock` or `Bottleneck`.
        depths: number of blocks in each of the four stages.
        width: multiplier of the channels of all layers.
        stem: "imagenet" (7 x 7 convolution of stride 2, max pool; output stride 32) or "cifar"
            (3 x 3 convolution of stride 1; output stride 8, for images of about 32 px), or
            "solo_learn" (the same with a padding of 2, for solo-learn's weights of small images).
        stem_planes: channels of the stem, 64 * width by default; CMC's networks always have 64.
        zero_init: start with the last batch-norm scale of each block at zero. Training may profit,
            but a network with random weights is then little more than its stem: no good control.

    Raises:
        MultiviewError: for an unknown stem, and for a width or stem_planes of 0 or less.
    """

    classifier = ("fc.",)

    def __init__(
        self,
        channels: int,
        block: Block,
        depths: tuple[int, int, int, int],
        *,
        width: float = 1.0,
        stem: str = "imagenet",
        stem_planes: int | None = None,
        zero_init: bool = False,
    ) -> None:
        if stem_planes is not None and stem_planes < 1:
            raise MultiviewError(f"stem_planes is {stem_planes}; give 1 or more, or leave it out for 64 * width.")
        narrow = scaled(64, width)
        planes = [stem_planes or narrow, *(narrow * 2**stage for stage in range(4))]
        super().__init__(
            channels, planes[-1] * block.expansion, ("stem", "layer1", "layer2", "layer3", "layer4", "pool")
        )
        self.conv1, self.maxpool = _stem(stem, channels, planes[0])
        self.bn1, self.relu = nn.BatchNorm2d(planes[0]), nn.ReLU(inplace=True)
        before = planes[0]
        for stage, depth in enumerate(depths, start=1):
            blocks = _stage(block, before, planes[stage], depth, stride=1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", blocks)
            before = planes[stage] * block.expansion
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self._initialise(zero_init)

    def step(self, layer: str, x: Tensor) -> Tensor:
        """One layer. The stem is four modules, so that the state has torchvision's names."""
        return self.maxpool(self.relu(self.bn1(self.conv1(x)))) if layer == "stem" else super().step(layer, x)

    def _initialise(self, zero_init: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init and isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)


def _stem(kind: str, channels: int, planes: int) -> tuple[nn.Module, nn.Module]:
    if kind == "imagenet":
        return nn.Conv2d(channels, planes, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1)
    if kind == "cifar":
        return nn.Conv2d(channels, planes, 3, 1, 1, bias=False), nn.Identity()
    if kind == "solo_learn":
        return nn.Conv2d(channels, planes, 3, 1, 2, bias=False), nn.Identity()
    raise unknown_name("stem of a ResNet", kind, ("imagenet", "cifar", "solo_learn"))


def _stage(block: Block, before: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    after = planes * block.expansion
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
    return nn.Sequential(block(before, planes, stride, shortcut), *(block(after, planes) for _ in range(depth - 1)))


def _named(block: Block, depths: tuple[int, int, int, int]) -> Callable[..., ResNet]:
    """The function (channels, options of `ResNet`) -> ResNet of one depth."""
    number, planes = sum(depths) * (3 if block is Bottleneck else 2) + 2, 512 * block.expansion

    def resnet(
        channels: int,
        *,
        width: float = 1.0,
        stem: str = "imagenet",
        stem_planes: int | None = None,
        zero_init: bool = False,
    ) -> ResNet:
        return ResNet(channels, block, depths, width=width, stem=stem, stem_planes=stem_planes, zero_init=zero_init)

    resnet.__name__ = resnet.__qualname__ = f"resnet{number}"
    resnet.__doc__ = f"ResNet-{number}: h (n, {planes} * width). Options: see `ResNet`."
    return recorded(resnet)


resnet18 = _named(BasicBlock, (2, 2, 2, 2))
"""ResNet-18: h (n, 512 * width)."""
resnet34 = _named(BasicBlock, (3, 4, 6, 3))
"""ResNet-34: h (n, 512 * width)."""
resnet50 = _named(Bottleneck, (3, 4, 6, 3))
"""ResNet-50: h (n, 2048 * width)."""
resnet101 = _named(Bottleneck, (3, 4, 23, 3))
"""ResNet-101: h (n, 2048 * width)."""
