"""Models of timm as encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from encoder_tables import check_layers_against_hooks, images
from torch import Tensor, nn

from multiview.encoder import make_encoder
from multiview.encoders import TimmEncoder
from multiview.encoders.timm import _line
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


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt"])
@pytest.mark.parametrize(("model", "channels"), [("resnet10t", 2), ("resnet10t", 3), ("mobilenetv3_small_050", 1)])
def test_a_file_of_weights_is_loaded_without_its_classifier(
    model: str, channels: int, ending: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source = timm.create_model(model, num_classes=7)
    path = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        safetensors.torch.save_model(source, str(path))
    else:
        torch.save({"state_dict": source.state_dict()} if ending == "pth" else source.state_dict(), path)
    made = make_encoder(f"timm:{model}", channels, weights=str(path)).network
    bare = timm.create_model(model, num_classes=0).state_dict()
    loaded = made.state_dict()
    same = [name for name in loaded if torch.equal(loaded[name], source.state_dict().get(name, torch.zeros(0)))]
    assert len(same) >= len(bare) - 1, "all but the first layer, which has other channels"


def _foreign(path: Path) -> None:
    torch.save(nn.Linear(3, 4).state_dict(), path)


def _pickled(path: Path) -> None:
    torch.save({"x": Path("a")}, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_foreign, "holds the weights of another network"),
        (_pickled, "cannot be read as weights|holds more than a state_dict"),
        (lambda path: path.write_bytes(b"no"), "cannot be read as weights"),
        (lambda path: None, "there is no file .* with weights"),
    ],
)
def test_another_file_of_weights_is_refused(write: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "weights.pth")
    with pytest.raises(MultiviewError, match=message):
        make_encoder("timm:resnet10t", 3, weights=str(tmp_path / "weights.pth"))


def test_a_file_and_weights_of_the_hub_are_not_both_loaded() -> None:
    with pytest.raises(MultiviewError, match=r"^weights=a.pth and pretrained weights cannot both be loaded"):
        make_encoder("timm:resnet10t", 3, weights="a.pth", pretrained=True)


def test_a_hub_that_does_not_answer_is_left_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    def refuse(*_: Any, timeout: float, **__: Any) -> None:
        assert timeout <= 5
        raise TimeoutError

    monkeypatch.setattr("multiview.encoders.timm.socket.create_connection", refuse)
    monkeypatch.setattr("multiview.encoders.timm.getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(MultiviewError, match=r"timm cannot load the weights of resnet10t.*weights=FILE") as error:
        make_encoder("timm:resnet10t", 3, pretrained=True)
    assert constants.HF_HUB_OFFLINE is False
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one line.", "ValueError: one line"),
        ("Error(s) in loading:\n\tMissing key: a", "ValueError: Error(s) in loading: Missing key: a"),
        ("a:\n b:\n c\n d", "ValueError: a: b: c"),
        ("", "ValueError: no message"),
    ],
)
def test_a_foreign_message_is_not_cut_at_its_colon(text: str, shown: str) -> None:
    assert _line(ValueError(text)) == shown
