"""A view and an encoder are built again from what they remember, through JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from test_views_laws import NAMES, OPTIONS, STATISTICS

from multiview import plugins
from multiview.encoder import Encoder, encoder_from, make_encoder
from multiview.encoders import ConvNet, frames, resnet18
from multiview.errors import MultiviewError
from multiview.view import Augment, Channels, Crop, View, make_view, view_from
from multiview.views import SIMCLR, Lab, depth, rgb
from multiview.views.depth import log_depth
from multiview.views.sound import SpecAugment, logmel

CROP = Crop(size=48, scale=(0.5, 1.0), flip=0.0, name="other", seconds=1.5)


def through_json(record: dict[str, Any]) -> Any:
    text = json.dumps(record, allow_nan=False)
    return json.loads(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_view_is_built_again(name: str) -> None:
    view = make_view(name, CROP, SIMCLR, **OPTIONS.get(name, {}))
    record = through_json(view.record())
    assert record["name"] == name
    assert view_from(record) == view
    assert view_from(record).record() == view.record()


@pytest.mark.parametrize("name", NAMES)
def test_a_view_with_statistics_is_built_again_without_the_store(name: str) -> None:
    view = make_view(name, CROP, **OPTIONS.get(name, {})).with_statistics(STATISTICS)
    record = through_json(view.record())
    assert record["mean"] == list(view.mean or ())
    assert record["std"] == list(view.std or ())
    assert view_from(record) == view


@pytest.mark.parametrize("name", NAMES)
def test_a_view_made_by_a_direct_call_is_built_again(name: str) -> None:
    view = plugins.find("views", name).imported()(CROP, **OPTIONS.get(name, {}))
    record = through_json(view.record())
    assert record["name"] == name
    assert view_from(record) == view


@pytest.mark.parametrize(
    ("view", "name", "options"),
    [
        (make_view("bands", CROP, bands=8), "bands", {"bands": 8}),
        (make_view("bands", CROP, bands=(3, 0)), "bands", {"bands": [3, 0]}),
        (Lab.lightness(CROP), "L", {}),
        (depth(CROP, mean=1.0), "depth", {"mean": 1.0, "std": None}),
        (rgb(CROP, Augment(hue=0.1)).of("left").on(Crop(size=3)), "rgb", {}),
        (
            replace(log_depth(CROP, near=0.5), mean=(9.0,)),
            "log_depth",
            {"near": 0.5, "far": 100.0, "mean": 1.0, "std": 1.0},
        ),
    ],
)
def test_a_view_remembers_its_name_and_options(view: View, name: str, options: dict[str, Any]) -> None:
    record = through_json(view.record())
    assert (record["name"], record["options"]) == (name, options)
    assert view_from(record) == view


def test_the_augmentations_of_a_view_are_remembered() -> None:
    view = logmel(CROP, rate=16000, mask=SpecAugment(bands=3))
    record = through_json(view.record())
    assert record["mask"]["class"] == "multiview.views.sound:SpecAugment"
    assert record["options"]["rate"] == 16000
    assert view_from(record) == view


def test_a_view_without_conversion_needs_no_name() -> None:
    view = View(modality="heat", channels=Channels("heat", 1, "K", 0.0, 500.0), crop=CROP, mean=(300.0,), std=(9.0,))
    record = through_json(view.record())
    assert record["name"] is None
    assert view_from(record) == view


@dataclass(frozen=True)
class Elsewhere:
    """An augmentation of a package without plugins."""

    def __call__(self, x: Any, draws: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(rgb(CROP), convert=lambda x: x), "no registered view converts by <function"),
        (replace(Lab.chroma(CROP), convert=torch.abs), "no registered view converts by <built-in method abs"),
        (rgb(CROP, Elsewhere()), "test_records:Elsewhere belongs to no installed package"),
    ],
)
def test_a_view_that_cannot_be_built_again_says_why(view: View, reason: str) -> None:
    record = through_json(view.record())
    assert reason in record["reason"]
    assert record["mean"] == list(view.mean or ())
    with pytest.raises(
        MultiviewError, match=rf"'{view.channels.name}' cannot be built from its record: .*{reason[:30]}"
    ):
        view_from(record)


@pytest.mark.parametrize(
    "target", ["subprocess:Popen", "os:system", "multiview.files:Path", "multiview.view:make_view"]
)
def test_a_record_cannot_name_any_other_program(target: str) -> None:
    record = through_json(rgb(CROP).record()) | {"augment": {"class": target, "options": {}}}
    with pytest.raises(MultiviewError, match=target):
        view_from(record)


@pytest.mark.parametrize("record", [{}, {"name": "rgb"}])
def test_something_else_is_no_record(record: dict[str, Any]) -> None:
    with pytest.raises(MultiviewError, match="no record of a view"):
        view_from(record)
    with pytest.raises(MultiviewError, match="no record of an encoder"):
        encoder_from(record)


MANY = {
    "timm": "timm:resnet10t",
    "frames": "frames:convnet",
    "torchaudio": "torchaudio:wav2vec2_base",
    "transformers": None,
}
ENCODERS = [
    name
    for plugin in plugins.installed("encoders")
    if plugin.origin == "multiview-cmc" and (name := MANY.get(plugin.name, plugin.name))
]


def shapes(encoder: Encoder) -> dict[str, torch.Size]:
    return {name: x.shape for name, x in encoder.state_dict().items()}


def built_again(encoder: Encoder) -> Encoder:
    record = through_json(encoder.record())
    with torch.device("meta"):
        return encoder_from(record)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_is_built_again(name: str) -> None:
    with torch.device("meta"):
        encoder = make_encoder(name, 2)
    assert encoder.record()["name"] == name
    again = built_again(encoder)
    assert (type(again), again.layers, again.features) == (type(encoder), encoder.layers, encoder.features)
    assert shapes(again) == shapes(encoder)
    assert again.record() == encoder.record()


@pytest.mark.parametrize(
    "make",
    [
        lambda: resnet18(1, width=0.5, stem="cifar", stem_planes=7),
        lambda: make_encoder("multiview-cmc/mlp", 4, width=2, depth=3),
        lambda: frames("resnet18", 3, width=0.25, stem="cifar"),
        lambda: make_encoder("timm:vit_tiny_patch16_224", 1, img_size=32, depth=2),
    ],
)
def test_the_options_of_an_encoder_are_remembered(make: Callable[[], Encoder]) -> None:
    encoder = make()
    assert shapes(built_again(encoder)) == shapes(encoder)


def test_a_file_of_weights_is_not_needed_again(tmp_path: Any) -> None:
    first = make_encoder("r3d_18", 3)
    torch.save(first.state_dict(), tmp_path / "r3d.pth")
    second = make_encoder("r3d_18", 3, weights=str(tmp_path / "r3d.pth"))
    assert second.record() == first.record()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ConvNet(3), "the class ConvNet made it"),
        (lambda: make_encoder("timm:resnet10t", 3, act_layer=torch.nn.ReLU), "is no number, text, list"),
    ],
)
def test_an_encoder_that_cannot_be_built_again_says_why(make: Callable[[], Encoder], reason: str) -> None:
    record = through_json(make().record())
    with pytest.raises(MultiviewError, match=f"cannot be built from its record: .*{reason}"):
        encoder_from(record)
