"""Models of timm as encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from encoder_tables import check_layers_against_hooks, images
from torch import Tensor, nn

from multiview.encoder import make_encoder
from multiview.encoders import TimmEncoder
from multiview.errors import MultiviewError


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
def test_timm_models_declare_their_features_and_layers(
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


def test_the_output_of_a_timm_layer_equals_that_of_the_whole_pass() -> None:
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
def test_layers_of_a_timm_network_have_distinct_names(names: list[str] | None, layers: tuple[str, ...]) -> None:
    encoder = TimmEncoder(Fixed(names), 1, (16, 16))
    assert encoder.layers == layers
    assert all(encoder(images(2, 1, 16), layer).ndim == (2 if layer == "pool" else 4) for layer in layers)


def test_a_network_without_pooling_is_refused() -> None:
    with pytest.raises(MultiviewError, match="one vector per image"):
        TimmEncoder(Fixed(None, flat=False), 1, (16, 16))


def test_pretrained_weights_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MultiviewError, match=r"weights of resnet10t.*local-dir:FOLDER.*pretrained=False"):
        make_encoder("timm:resnet10t", 1, pretrained=True, cache_dir="/nonexistent")
