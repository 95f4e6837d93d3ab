"""Mistakes with encoders, and their messages."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from encoder_tables import images
from torch import nn

from multiview import plugins
from multiview.encoder import Encoder, make_encoder
from multiview.errors import MultiviewError


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("resnet_18", 1), {}, "Did you mean 'resnet18'?"),
        (("resnet18:a", 1), {}, "write resnet18"),
        (("resnet18:", 1), {}, "write resnet18"),
        (("timm", 1), {}, "write timm:MODEL"),
        (("timm:", 1), {}, "write timm:MODEL"),
        (("resnet18", 1), {"stemm": "cifar"}, "Did you mean 'stem'?"),
        (("convnet", 1), {"stem": "cifar"}, "available: img_size, seed, stride, width"),
        (("resnet18", 1), {"stem": "cifra"}, "Did you mean 'cifar'?"),
        (("resnet18", 1), {"stem_planes": 0}, "stem_planes is 0"),
        (("resnet18", 0), {}, "0 channels"),
        (("convnet", 1), {"stride": 0}, "stride of a convnet is 0"),
        (("convnet", 1), {"width": 0}, "width of an encoder is 0"),
        (("resnet18", 1), {"width": -1.0}, "width of an encoder is -1"),
        (("alexnet", 1), {"width": math.nan}, "width of an encoder is nan"),
        (("alexnet", 1), {"width": math.inf}, "width of an encoder is inf"),
        (("timm:resnet10", 1), {}, "Did you mean 'resnet10t'?"),
        (("timm:owner/net", 1), {}, "timm:hf-hub:OWNER/NAME"),
        (("timm:resnet10t", 1), {"width": 0.5}, "leave width at 1"),
        (("timm:resnet10t", 1), {"num_classes": 3}, "num_classes is set by the encoder"),
        (("timm:resnet10t", 1), {"drop_path": 0.1}, "Did you mean 'drop_path_rate'?"),
        (("timm:resnet10t", 1), {"global_pool": ""}, "one vector per image"),
        (("timm:vit_tiny_patch16_224", 1), {"img_size": 8}, "Choose another img_size"),
        (("timm:local-dir:/nowhere", 1), {}, "/nowhere"),
        (("timm:resnet10t.no_such_tag", 1), {"pretrained": True}, "no_such_tag"),
    ],
)
def test_mistakes_say_what_to_do(arguments: tuple[str, int], options: dict[str, Any], words: str) -> None:
    with pytest.raises(MultiviewError) as error:
        make_encoder(*arguments, **options)
    assert words in str(error.value)


def test_unknown_layer() -> None:
    with pytest.raises(MultiviewError, match=r"'stage5' is not a layer of ConvNet.*Did you mean 'stage4'\?"):
        make_encoder("convnet", 1)(images(2, 1), "stage5")
    with pytest.raises(MultiviewError, match="'' is not a layer"):
        make_encoder("convnet", 1)(images(2, 1), "")


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (2, 64, 64), (2, 1, 1, 64, 64)])
def test_a_batch_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(MultiviewError, match=r"\(n, 1, height, width\), not \(2, "):
        make_encoder("convnet", 1)(torch.zeros(shape))


def test_alexnet_says_what_it_needs() -> None:
    encoder = make_encoder("alexnet", 1, width=0.1)
    assert encoder(images(2, 1, 63)).shape == (2, 205)
    with pytest.raises(MultiviewError, match="63 px or more, not 64 x 62"):
        encoder(images(2, 1, 64, 62))


def test_a_timm_model_that_is_built_for_one_size() -> None:
    encoder = make_encoder("timm:vit_tiny_patch16_224", 1, img_size=64, depth=1)
    with pytest.raises(MultiviewError, match=r"built for images of 64x64 and does not take 96x96.*img_size=96"):
        encoder(images(1, 1, 96))


def test_an_encoder_plugin_must_return_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda _group, _name: lambda channels, *, width: nn.Conv2d(channels, 8, 3))
    with pytest.raises(MultiviewError, match=r"made Conv2d, which is not an encoder.*multiview\.encoder\.Encoder"):
        make_encoder("mine", 1)


def test_a_new_encoder_needs_only_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(Encoder):
        """As the docstring of Encoder says: a submodule under each layer's name."""

        def __init__(self, channels: int) -> None:
            super().__init__(channels, 4 * channels, ("cells", "h"))
            self.cells, self.h = nn.AdaptiveAvgPool2d(2), nn.Flatten()

    monkeypatch.setattr(plugins, "load", lambda _group, _name: lambda channels, *, width: Mean(channels))
    encoder = make_encoder("mine", 3, img_size=64)
    x = images(2, 3, 8)
    torch.testing.assert_close(encoder(x, "cells"), F.avg_pool2d(x, 4))
    torch.testing.assert_close(encoder(x), F.avg_pool2d(x, 4).flatten(1))
