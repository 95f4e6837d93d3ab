"""Encoders against torchvision, timm, the papers, and layers computed by hand."""

from __future__ import annotations

import math

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from encoder_tables import images, parameters, shapeless
from torch import Tensor, nn

from multiview.encoder import Encoder, make_encoder
from multiview.encoders import AlexNet, ConvNet


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("training", [False, True])
def test_resnet_of_width_1_equals_torchvision(name: str, training: bool) -> None:
    reference = getattr(torchvision.models, name)(weights=None)
    reference.fc = nn.Identity()
    encoder = make_encoder(name, 3)
    encoder.load_state_dict(reference.state_dict(), strict=True)
    x = images(2, 3, 96)
    assert torch.equal(encoder.train(training)(x), reference.train(training)(x))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_resnet_and_torchvision_have_the_same_names_in_the_state(name: str) -> None:
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)(weights=None)
    theirs = {k: v.shape for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in shapeless(name, 3).state_dict().items()} == theirs


def test_resnet_state_loads_into_timm() -> None:
    encoder = make_encoder("resnet18", 2, seed=0).eval()
    reference = timm.create_model("resnet18", in_chans=2, num_classes=0).eval()
    reference.load_state_dict(encoder.state_dict(), strict=True)
    torch.testing.assert_close(encoder(images(2, 2)), reference(images(2, 2)))


# resnet18, resnet50: published counts minus the classifier (513,000 and 2,049,000). Others by hand.
@pytest.mark.parametrize(
    ("name", "channels", "count"),
    [
        ("resnet18", 3, 11_689_512 - 513_000),
        ("resnet50", 3, 23_508_032),
        ("resnet101", 3, 44_549_160 - 2_049_000),
        ("resnet50", 1, 23_508_032 - 2 * 64 * 49),
        ("convnet", 3, 3 * 49 * 32 + 9 * (32 * 64 + 64 * 128 + 128 * 256) + 2 * (32 + 64 + 128 + 256)),
        (
            "alexnet",
            2,
            (2 * 121 * 48 + 48 * 25 * 128 + 9 * (128 * 192 + 192 * 192 + 192 * 128))
            + 2 * (48 + 128 + 192 + 192 + 128)
            + (128 * 36 + 1) * 2048
            + (2048 + 1) * 2048
            + 2 * 2 * 2048,
        ),
    ],
)
def test_number_of_parameters(name: str, channels: int, count: int) -> None:
    assert parameters(shapeless(name, channels)) == count


def normed(state: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    """Batch norm with running statistics, then ReLU, by the formula."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, scale, shift = (
        state[f"{prefix}.{k}"].view(shape) for k in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)


def random_batch_norms(encoder: Encoder) -> dict[str, Tensor]:
    """The state after every batch norm got random values, so that a missing one shows."""
    generator = torch.Generator().manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for buffer in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)  # type: ignore[union-attr]
    return encoder.state_dict()


def test_alexnet_as_the_paper_lists_it() -> None:
    encoder = AlexNet(1, width=0.25).eval().double()
    state = random_batch_norms(encoder)
    x = y = images(2, 1, 224).double()
    for number, (stride, padding, pool) in enumerate([(4, 2, 1), (1, 2, 1), (1, 1, 0), (1, 1, 0), (1, 1, 1)], start=1):
        y = normed(state, f"conv{number}.1", F.conv2d(y, state[f"conv{number}.0.weight"], None, stride, padding))
        y = F.max_pool2d(y, 3, 2) if pool else y
    assert y.shape[-2:] == (6, 6)
    y = normed(state, "fc6.3", y.flatten(1) @ state["fc6.2.weight"].T + state["fc6.2.bias"])
    y = normed(state, "fc7.1", y @ state["fc7.0.weight"].T + state["fc7.0.bias"])
    torch.testing.assert_close(encoder(x), y)


@pytest.mark.parametrize("stride", [4, 2])
def test_convnet_as_its_docstring_lists_it(stride: int) -> None:
    encoder = ConvNet(2, width=0.5, stride=stride).eval().double()
    state = random_batch_norms(encoder)
    x = y = images(2, 2, 32).double()
    for number, (step, padding) in enumerate([(stride, 3), (2, 1), (2, 1), (1, 1)], start=1):
        y = normed(state, f"stage{number}.1", F.conv2d(y, state[f"stage{number}.0.weight"], None, step, padding))
    assert y.shape[-2:] == (8 // stride, 8 // stride)
    torch.testing.assert_close(encoder(x), y.mean((2, 3)))


def test_stem_for_small_images_keeps_their_size() -> None:
    encoder = shapeless("resnet18", 3, stem="cifar")
    x = torch.empty(2, 3, 32, 32, device="meta")
    assert encoder(x, "stem").shape == (2, 64, 32, 32)
    assert encoder(x, "layer4").shape == (2, 512, 4, 4)


def test_stem_of_cmc_keeps_64_planes_at_half_width() -> None:
    encoder = shapeless("resnet50", 1, width=0.5, stem_planes=64)
    assert encoder.state_dict()["conv1.weight"].shape == (64, 1, 7, 7)
    assert encoder(torch.empty(2, 1, 64, 64, device="meta"), "layer1").shape == (2, 128, 16, 16)
    assert encoder.features == 1024


@pytest.mark.parametrize("name", ["resnet18", "convnet"])
def test_convolutions_start_as_stated(name: str) -> None:
    for module in make_encoder(name, 3, seed=0).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            weight = module.weight.detach() / math.sqrt(2 / fan_out)
            assert float(weight.std()) == pytest.approx(1, rel=0.05)
            assert abs(float(weight.mean())) < 0.1


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_zero_init_leaves_the_shortcut_alone(name: str, last: str) -> None:
    scales = {
        zero: {k: v for k, v in make_encoder(name, 1, width=0.25, zero_init=zero).state_dict().items() if last in k}
        for zero in (True, False)
    }
    keys = [key for key in scales[True] if key.endswith("weight") and key.startswith("layer")]
    assert len(keys) == {"resnet18": 8, "resnet50": 16}[name]
    assert all((scales[True][key] == 0).all() and (scales[False][key] == 1).all() for key in keys)
