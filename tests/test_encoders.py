"""Encoders: what they declare is what they give, for every name, width and number of channels."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import multiview.encoders
from multiview import plugins
from multiview.encoder import Encoder, make_encoder
from multiview.encoders import AlexNet, ConvNet, TimmEncoder, resnet18, timm_model
from multiview.errors import MultiviewError

WIDTH_OF_H = {"resnet18": 512, "resnet50": 2048, "resnet101": 2048, "alexnet": 2048, "convnet": 256}
SMALL = ("resnet18", "alexnet", "convnet")

# Layer -> its output without the batch, at width 1 for an image of 64 x 64: strides and planes counted by hand.
MAPS = {
    "resnet18": {
        "stem": (64, 16, 16),
        "layer1": (64, 16, 16),
        "layer2": (128, 8, 8),
        "layer3": (256, 4, 4),
        "layer4": (512, 2, 2),
        "pool": (512,),
    },
    "resnet50": {
        "stem": (64, 16, 16),
        "layer1": (256, 16, 16),
        "layer2": (512, 8, 8),
        "layer3": (1024, 4, 4),
        "layer4": (2048, 2, 2),
        "pool": (2048,),
    },
    "alexnet": {
        "conv1": (48, 7, 7),
        "conv2": (128, 3, 3),
        "conv3": (192, 3, 3),
        "conv4": (192, 3, 3),
        "conv5": (128, 1, 1),
        "fc6": (2048,),
        "fc7": (2048,),
    },
    "convnet": {
        "stage1": (32, 16, 16),
        "stage2": (64, 8, 8),
        "stage3": (128, 4, 4),
        "stage4": (256, 4, 4),
        "pool": (256,),
    },
}
MAPS["resnet101"] = MAPS["resnet50"]


def images(n: int, channels: int, height: int = 64, width: int | None = None, seed: int = 0) -> Tensor:
    return torch.randn(n, channels, height, width or height, generator=torch.Generator().manual_seed(seed))


def shapeless(name: str, channels: int, **options: Any) -> Encoder:
    """On the meta device, where shapes are computed and numbers are not."""
    with torch.device("meta"):
        return make_encoder(name, channels, **options)


def parameters(encoder: nn.Module) -> int:
    return sum(parameter.numel() for parameter in encoder.parameters())


# What is declared


@pytest.mark.parametrize("width", [0.5, 1, 2])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("name", WIDTH_OF_H)
def test_every_name_takes_any_channels_at_any_width(name: str, channels: int, width: float) -> None:
    encoder = shapeless(name, channels, width=width)
    assert encoder.channels == channels
    assert encoder.features == WIDTH_OF_H[name] * width
    first, second = encoder.layers[:2]
    x = torch.empty(3, channels, 64, 64, device="meta")
    assert encoder(x, first).shape == (3, MAPS[name][first][0] * width, *MAPS[name][first][1:])
    assert encoder(x, second).shape == (3, MAPS[name][second][0] * width, *MAPS[name][second][1:])


@pytest.mark.parametrize("width", [0.5, 1, 2])
@pytest.mark.parametrize("name", WIDTH_OF_H)
def test_every_layer_has_the_declared_name_and_shape(name: str, width: float) -> None:
    encoder = shapeless(name, 2, width=width)
    assert encoder.layers == tuple(MAPS[name])
    x = torch.empty(3, 2, 64, 64, device="meta")
    for layer, (planes, *cells) in MAPS[name].items():
        x = encoder.step(layer, x)
        assert x.shape == (3, planes * width, *cells), layer
    assert x.shape == (3, encoder.features)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "alexnet", "convnet"])
@pytest.mark.parametrize("size", [(65, 79), (224, 224), (63, 100)])
def test_images_of_any_size(name: str, size: tuple[int, int]) -> None:
    encoder = shapeless(name, 2, width=0.5)
    assert encoder(torch.empty(5, 2, *size, device="meta")).shape == (5, encoder.features)


@pytest.mark.parametrize(("width", "narrow"), [(0.3, 19), (0.001, 1), (1.5, 96)])
def test_any_positive_width_rounds_the_planes_of_the_first_stage(width: float, narrow: int) -> None:
    assert shapeless("resnet18", 1, width=width).features == 8 * narrow
    assert shapeless("resnet50", 1, width=width).features == 32 * narrow


def test_every_registered_encoder_is_tested_here() -> None:
    ours = {plugin.name for plugin in plugins.installed("encoders") if plugin.origin == "multiview-cmc"}
    assert ours == {*WIDTH_OF_H, "timm"}


# What is computed


@pytest.mark.parametrize("name", SMALL)
def test_a_layer_is_what_the_whole_pass_computes_there(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0).eval()
    modules = {layer: getattr(encoder, "maxpool" if layer == "stem" else layer) for layer in encoder.layers}
    check_layers_against_hooks(encoder, modules, images(3, 2))


def check_layers_against_hooks(encoder: Encoder, modules: dict[str, nn.Module], x: Tensor) -> None:
    seen: dict[str, Tensor] = {}

    def keep(layer: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: seen.__setitem__(layer, output.clone())

    hooks = [module.register_forward_hook(keep(layer)) for layer, module in modules.items()]
    h = encoder(x)
    for hook in hooks:
        hook.remove()
    assert torch.equal(encoder(x, encoder.layers[-1]), h)
    for layer in modules:
        assert torch.equal(encoder(x, layer), seen[layer]), layer


@pytest.mark.parametrize("name", SMALL)
def test_nothing_deeper_than_the_layer_is_computed(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25)
    shallow, deep = encoder.layers[1:3]

    def forbid(*_: Any) -> None:
        raise AssertionError(f"{deep} was computed for {shallow}")

    getattr(encoder, deep).register_forward_pre_hook(forbid)
    assert encoder(images(2, 1), shallow).ndim == 4
    with pytest.raises(AssertionError, match="was computed"):
        encoder(images(2, 1))


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_a_finite_gradient(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0)
    encoder(images(5, 2)).square().sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert sum(float(p.grad.abs().sum()) > 0 for p in encoder.parameters() if p.grad is not None) > 3


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_changes_nothing_but_the_memory(name: str) -> None:
    encoder = make_encoder(name, 3, width=0.25, seed=0).eval().double()
    x = images(3, 3).double()
    planar = encoder(x)
    encoder.to(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(x.contiguous(memory_format=torch.channels_last)), planar)


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_runs_under_autocast(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25, seed=0).eval()
    x = images(3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x).float()
    assert F.cosine_similarity(half, encoder(x)).min() > 0.99


@pytest.mark.parametrize("name", SMALL)
def test_a_copy_is_independent(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25, seed=0).eval()
    twin = copy.deepcopy(encoder)
    before = twin(images(2, 1))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1)
    assert torch.equal(twin(images(2, 1)), before)
    assert not torch.equal(encoder(images(2, 1)), before)


# Against what is known


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
def test_resnet_has_the_state_of_torchvision(name: str) -> None:
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)(weights=None)
    theirs = {k: v.shape for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in shapeless(name, 3).state_dict().items()} == theirs


def test_resnet_state_loads_into_timm() -> None:
    encoder = make_encoder("resnet18", 2, seed=0).eval()
    reference = timm.create_model("resnet18", in_chans=2, num_classes=0).eval()
    reference.load_state_dict(encoder.state_dict(), strict=True)
    torch.testing.assert_close(encoder(images(2, 2)), reference(images(2, 2)))


# resnet18 and resnet50: the published counts less the classifier's 513,000 and 2,049,000. The rest counted on paper.
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
    """Batch norm with running statistics, then ReLU, as the formula says."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, scale, shift = (
        state[f"{prefix}.{k}"].view(shape) for k in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)


def unsettled(encoder: Encoder) -> dict[str, Tensor]:
    """Batch norms as training leaves them, so that a test sees whether they are there."""
    generator = torch.Generator().manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for buffer in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)  # type: ignore[union-attr]
    return encoder.state_dict()


def test_alexnet_as_the_paper_lists_it() -> None:
    encoder = AlexNet(1, width=0.25).eval().double()
    state = unsettled(encoder)
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
    state = unsettled(encoder)
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


# Weights


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


@pytest.mark.parametrize("name", [*SMALL, "timm:resnet10t"])
def test_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone(name: str) -> None:
    options = {} if ":" in name else {"width": 0.25}
    before = torch.get_rng_state()
    states = [make_encoder(name, 1, seed=seed, **options).state_dict() for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


def test_the_seed_draws_on_the_cpu_wherever_else_tensors_are_made() -> None:
    plain = make_encoder("convnet", 1, seed=5)
    with torch.device("meta"):
        elsewhere = make_encoder("convnet", 1, seed=5)
    assert torch.equal(elsewhere.stage1[0].weight, plain.stage1[0].weight)


def test_the_global_generator_survives_a_failure() -> None:
    before = torch.get_rng_state()
    with pytest.raises(MultiviewError, match="stem"):
        make_encoder("resnet18", 1, seed=0, stem="imagnet")
    assert torch.equal(torch.get_rng_state(), before)


# timm


@pytest.mark.parametrize(
    ("model", "options", "features", "layers"),
    [
        ("resnet10t", {}, 512, ("act1", "layer1", "layer2", "layer3", "layer4", "pool")),
        (
            "vit_tiny_patch16_224",
            {"depth": 3},
            192,
            ("blocks.0", "blocks.1", "blocks.2", "pool"),
        ),
        # Its head widens the 288 planes that timm calls num_features.
        ("mobilenetv3_small_050", {}, 1024, ("bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5", "pool")),
    ],
)
def test_timm_models_declare_what_they_give(
    model: str, options: dict[str, Any], features: int, layers: tuple[str, ...]
) -> None:
    encoder = make_encoder(f"timm:{model}", 2, img_size=64, seed=0, **options)
    assert (encoder.features, encoder.layers) == (features, layers)
    encoder.eval()
    x = images(3, 2)
    h = encoder(x)
    assert h.shape == (3, features)
    assert torch.equal(h, encoder(x, "pool"))
    for layer in layers[:-1]:
        assert encoder(x, layer).ndim == 4
        assert len(encoder(x, layer)) == 3
    encoder.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_timm_layers_are_what_the_whole_pass_computes_there() -> None:
    encoder = make_encoder("timm:resnet10t", 1, img_size=64, seed=0).eval()
    modules = {layer: encoder.network.get_submodule(layer) for layer in encoder.layers[:-1]}
    check_layers_against_hooks(encoder, modules, images(2, 1))


def test_making_a_timm_encoder_leaves_its_statistics_and_mode_alone() -> None:
    encoder = make_encoder("timm:resnet10t", 1, img_size=64)
    assert int(encoder.network.bn1.num_batches_tracked) == 0
    assert all(module.training for module in encoder.modules())


def test_timm_weights_from_a_folder_are_bit_equal(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", in_chans=2, num_classes=0).eval()
    timm.models.save_for_hf(network, str(tmp_path), safe_serialization=True)
    encoder = make_encoder(f"timm:local-dir:{tmp_path}", 2, img_size=64, seed=1).eval()
    assert torch.equal(encoder(images(2, 2)), network(images(2, 2)))
    control = make_encoder(f"timm:local-dir:{tmp_path}", 2, img_size=64, seed=1, pretrained=False).eval()
    assert not torch.equal(control(images(2, 2)), network(images(2, 2)))


class Fixed(nn.Module):
    """A network that timm might hold: no intermediate maps, or ambiguous names for them."""

    def __init__(self, names: list[str] | None, flat: bool = True) -> None:
        super().__init__()
        self.conv, self.flat = nn.Conv2d(1, 4, 3), flat
        if names is not None:
            self.feature_info = [{"module": name} for name in names]
            self.forward_intermediates = lambda x, indices=None, **_: [self.conv(x)] * (3 if indices is None else 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.mean((2, 3)) if self.flat else y


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (None, ("pool",)),
        (["a", "b", "c"], ("a", "b", "c", "pool")),
        (["a", "a", "c"], ("map1", "map2", "map3", "pool")),
        (["", "a", "b"], ("map1", "map2", "map3", "pool")),
        (["a", "b", "pool"], ("map1", "map2", "map3", "pool")),
        (["a"], ("map1", "map2", "map3", "pool")),
    ],
)
def test_layers_of_a_network_have_names_of_their_own(names: list[str] | None, layers: tuple[str, ...]) -> None:
    encoder = TimmEncoder(Fixed(names), 1, (16, 16))
    assert encoder.layers == layers
    assert all(encoder(images(2, 1, 16), layer).ndim == (2 if layer == "pool" else 4) for layer in layers)


def test_a_network_without_pooling_is_refused() -> None:
    with pytest.raises(MultiviewError, match="one vector an image"):
        TimmEncoder(Fixed(None, flat=False), 1, (16, 16))


def test_pretrained_weights_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MultiviewError, match=r"weights of resnet10t.*local-dir:FOLDER.*pretrained=False"):
        make_encoder("timm:resnet10t", 1, pretrained=True, cache_dir="/nonexistent")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("resnet81", 1), {}, "Did you mean 'resnet18'?"),
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
        (("timm:resnet10t", 1), {"global_pool": ""}, "one vector an image"),
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


def test_a_plugin_that_makes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda _group, _name: lambda channels, *, width: nn.Conv2d(channels, 8, 3))
    with pytest.raises(MultiviewError, match=r"made Conv2d, which is not an encoder.*multiview\.encoder\.Encoder"):
        make_encoder("mine", 1)


def test_a_strangers_encoder_needs_layers_and_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(Encoder):
        """The recipe of the docstring: a submodule under each layer's name."""

        def __init__(self, channels: int) -> None:
            super().__init__(channels, 4 * channels, ("cells", "h"))
            self.cells, self.h = nn.AdaptiveAvgPool2d(2), nn.Flatten()

    monkeypatch.setattr(plugins, "load", lambda _group, _name: lambda channels, *, width: Mean(channels))
    encoder = make_encoder("mine", 3, img_size=64)
    x = images(2, 3, 8)
    torch.testing.assert_close(encoder(x, "cells"), F.avg_pool2d(x, 4))
    torch.testing.assert_close(encoder(x), F.avg_pool2d(x, 4).flatten(1))


# The package


def test_every_exported_name_is_there_and_stays_what_it_is() -> None:
    for name in multiview.encoders.__all__:
        first = getattr(multiview.encoders, name)
        assert callable(first)
        assert getattr(multiview.encoders, name) is first
    assert multiview.encoders.resnet18 is resnet18 is plugins.load("encoders", "resnet18")
    assert plugins.load("encoders", "timm") is timm_model
    with pytest.raises(AttributeError, match="it has AlexNet, ConvNet"):
        multiview.encoders.resnet19  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, multiview.encoders; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
