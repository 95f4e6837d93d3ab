"""Laws of every encoder, for every name, width and number of channels."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from encoder_tables import MAPS, SMALL, WIDTH_OF_H, check_layers_against_hooks, images, inputs, shapeless

import multiview.encoders
from multiview import plugins
from multiview.encoder import Encoder, make_encoder
from multiview.encoders import resnet18, timm_model
from multiview.errors import MultiviewError

STEPPED = tuple(name for name in SMALL if name not in ("text", "frames:convnet"))
"""Encoders whose layers are modules in sequence."""

ELSEWHERE = ("seriesconv", "soundconv", "timm", "r3d_18", "torchaudio", "transformers")
"""Encoders that other files test: their width depends on the channels, or they are large."""

IMAGE = ("resnet18", "alexnet", "convnet")


@pytest.mark.parametrize("width", [0.5, 1, 2])
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("name", WIDTH_OF_H)
def test_every_name_takes_any_channels_at_any_width(name: str, channels: int, width: float) -> None:
    encoder = shapeless(name, channels, width=width)
    assert encoder.channels == channels
    assert encoder.features == WIDTH_OF_H[name] * width
    x = inputs(name, 3, channels).to("meta")
    assert x.ndim == 1 + len(encoder.axes)
    for layer in encoder.layers[:2]:
        assert encoder(x, layer).shape == (3, MAPS[name][layer][0] * width, *MAPS[name][layer][1:])


@pytest.mark.parametrize("width", [0.5, 1, 2])
@pytest.mark.parametrize("name", WIDTH_OF_H)
def test_every_layer_has_the_declared_name_and_shape(name: str, width: float) -> None:
    encoder = shapeless(name, 2, width=width)
    assert encoder.layers == tuple(MAPS[name])
    x = inputs(name, 3, 2).to("meta")
    in_steps = type(encoder).encode is Encoder.encode
    for layer, (planes, *cells) in MAPS[name].items():
        y = encoder.step(layer, x) if in_steps else encoder(x, layer)
        assert y.shape == (3, planes * width, *cells), layer
        x = y if in_steps else x
    assert y.shape == (3, encoder.features)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "alexnet", "convnet"])
@pytest.mark.parametrize("size", [(65, 79), (224, 224), (63, 100)])
def test_images_of_any_size(name: str, size: tuple[int, int]) -> None:
    encoder = shapeless(name, 2, width=0.5)
    assert encoder(torch.empty(5, 2, *size, device="meta")).shape == (5, encoder.features)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *[("waveconv", (length,)) for length in (1, 300, 16000)],
        *[("resnet1d", (length,)) for length in (1, 7, 1000)],
        *[("pointnet", (count,)) for count in (1, 1024)],
        *[("frames:convnet", (frames, 32, 40)) for frames in (1, 9)],
        *[("convnet", (40, frames)) for frames in (26, 101)],
    ],
)
def test_samples_of_any_length(name: str, shape: tuple[int, ...]) -> None:
    encoder = shapeless(name, 2, width=0.5)
    assert encoder(torch.empty(5, 2, *shape, device="meta")).shape == (5, encoder.features)


@pytest.mark.parametrize(("width", "narrow"), [(0.3, 19), (0.001, 1), (1.5, 96)])
def test_any_positive_width_rounds_the_planes_of_the_first_stage(width: float, narrow: int) -> None:
    assert shapeless("resnet18", 1, width=width).features == 8 * narrow
    assert shapeless("resnet50", 1, width=width).features == 32 * narrow


def test_every_registered_encoder_is_tested_here_or_among_the_large_ones() -> None:
    ours = {plugin.name for plugin in plugins.installed("encoders") if plugin.origin == "multiview-cmc"}
    assert ours == {*(name.partition(":")[0] for name in WIDTH_OF_H), *ELSEWHERE}


@pytest.mark.parametrize("name", STEPPED)
def test_the_output_of_a_layer_equals_that_of_the_whole_pass(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0).eval()
    modules = {layer: getattr(encoder, "maxpool" if layer == "stem" else layer) for layer in encoder.layers}
    check_layers_against_hooks(encoder, modules, inputs(name, 3, 2))


@pytest.mark.parametrize("name", [name for name in STEPPED if name != "mlp"])
def test_nothing_deeper_than_the_layer_is_computed(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25)
    shallow, deep = encoder.layers[1:3]

    def forbid(*_: Any) -> None:
        raise AssertionError(f"{deep} was computed for {shallow}")

    getattr(encoder, deep).register_forward_pre_hook(forbid)
    assert encoder(inputs(name, 2, 1), shallow).ndim == inputs(name, 2, 1).ndim
    with pytest.raises(AssertionError, match="was computed"):
        encoder(inputs(name, 2, 1))


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_a_finite_gradient(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0)
    (encoder(inputs(name, 5, 2)) * torch.arange(1.0, encoder.features + 1)).square().sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert sum(float(p.grad.abs().sum()) > 0 for p in encoder.parameters() if p.grad is not None) > 3


@pytest.mark.parametrize("name", IMAGE)
def test_channels_last_changes_only_the_memory_format(name: str) -> None:
    encoder = make_encoder(name, 3, width=0.25, seed=0).eval().double()
    x = images(3, 3).double()
    planar = encoder(x)
    encoder.to(memory_format=torch.channels_last)
    torch.testing.assert_close(encoder(x.contiguous(memory_format=torch.channels_last)), planar)


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_runs_under_autocast(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25, seed=0).eval()
    x = inputs(name, 3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(x).float()
    assert F.cosine_similarity(half, encoder(x)).min() > 0.99


@pytest.mark.parametrize("name", SMALL)
def test_a_copy_is_independent_and_pickles_and_reloads_are_bit_equal(name: str) -> None:
    encoder = make_encoder(name, 1, width=0.25, seed=0).eval()
    x = inputs(name, 2, 1)
    twin, again = copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))
    reloaded = make_encoder(name, 1, width=0.25, seed=1).eval()
    reloaded.load_state_dict(encoder.state_dict())
    before = twin(x)
    assert torch.equal(again(x), before)
    assert torch.equal(reloaded(x), before)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(1)
    assert torch.equal(twin(x), before)
    assert not torch.equal(encoder(x), before)


@pytest.mark.parametrize("name", SMALL)
def test_features_of_a_sample_do_not_depend_on_the_batch_in_evaluation(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0).eval()
    x = inputs(name, 4, 2)
    torch.testing.assert_close(torch.cat([encoder(each[None]) for each in x]), encoder(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_an_absent_sample_is_finite(name: str) -> None:
    encoder = make_encoder(name, 2, width=0.25, seed=0)
    x = inputs(name, 4, 2)
    x[1] = 0
    h = encoder(x)
    assert h.isfinite().all()
    h.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("name", [*SMALL, "timm:resnet10t"])
def test_weights_depend_on_the_seed_and_leave_the_default_generator_as_it_was(name: str) -> None:
    options = {} if name.startswith("timm:") else {"width": 0.25}
    before = torch.get_rng_state()
    states = [make_encoder(name, 1, seed=seed, **options).state_dict() for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


def test_seeded_weights_are_drawn_on_the_cpu_under_another_default_device() -> None:
    plain = make_encoder("convnet", 1, seed=5)
    with torch.device("meta"):
        elsewhere = make_encoder("convnet", 1, seed=5)
    assert torch.equal(elsewhere.stage1[0].weight, plain.stage1[0].weight)


def test_a_failure_leaves_the_default_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with pytest.raises(MultiviewError, match="stem"):
        make_encoder("resnet18", 1, seed=0, stem="imagnet")
    assert torch.equal(torch.get_rng_state(), before)


def test_every_exported_name_can_be_imported() -> None:
    for name in multiview.encoders.__all__:
        first = getattr(multiview.encoders, name)
        assert callable(first)
        assert getattr(multiview.encoders, name) is first
    assert multiview.encoders.resnet18 is resnet18 is plugins.load("encoders", "resnet18")
    assert plugins.load("encoders", "timm") is timm_model
    with pytest.raises(AttributeError, match=r"it has .*AlexNet"):
        multiview.encoders.resnet19  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, multiview.encoders; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
