"""A view in other formats gives the vectors of its model; what cannot be exported is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import many_kinds
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import multiview as mv
from multiview.cli import run
from multiview.data.modality import ANY, Modality
from multiview.data.store.reading import Store
from multiview.encoder import Encoder
from multiview.exports.compare import Difference, differences
from multiview.exports.network import StoredToVectors, stored_shape
from multiview.exports.samples import random_values
from multiview.model import Projection
from multiview.objectives.needs import Head
from multiview.plugins import installed
from multiview.portable.layout import Layout
from multiview.portable.model import PortableModel, ViewPart
from multiview.portable.write import write_model

NEAR = 1e-4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return many_kinds.make(tmp_path_factory.mktemp("exports") / "store")


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    trained = many_kinds.of_names(store, "rgb", "table", "waveform")
    return write_model(trained, tmp_path_factory.mktemp("models") / "model")[0]


def test_torch_export_takes_stored_values_in_any_number(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "rgb.pt2"
    assert run(["export", str(folder), "rgb", str(out), "--to", "torch-export"]) == 0
    said = capsys.readouterr().out
    assert f"wrote {out}; it takes uint8 (batch, 10, 10, 3), image in sRGB" in said
    assert "largest differences from the model in batches of 1, 3, 8: h " in said
    model, network = mv.load(folder), torch.export.load(out).module()
    values = np.random.default_rng(0).integers(0, 256, (5, 10, 10, 3), dtype="uint8")
    with torch.no_grad():
        h, z = network(torch.from_numpy(values))
    np.testing.assert_allclose(h, model["rgb"](values), atol=NEAR)
    np.testing.assert_allclose(z, model.z["rgb"](values), atol=NEAR)
    assert sorted(x.name for x in out.parent.iterdir()) == ["rgb.pt2"]
    with pytest.raises(mv.MultiviewError, match=r"exists already; give --overwrite"):
        run(["export", str(folder), "rgb", str(out), "--to", "torch-export"])


def test_onnx_takes_stored_values_in_any_number(folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    done = mv.export_view(folder, "table", "onnx", tmp_path / "table.onnx")
    assert [each.output for each in done.differences] == ["h", "z"]
    session = onnxruntime.InferenceSession(str(tmp_path / "table.onnx"), providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["multiview"])
    assert (facts["view"], facts["outputs"]) == ("table", ["h", "z"])
    values = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    h, z = session.run(["h", "z"], {"values": values})
    model = mv.load(folder)
    np.testing.assert_allclose(h, model["table"](values), atol=NEAR)
    np.testing.assert_allclose(z, model.z["table"](values), atol=NEAR)


def test_resnets_and_timms_networks_are_read_by_timm_and_transformers(store: Store, tmp_path: Path) -> None:
    crop = mv.Crop(size=32)
    views = {"L": mv.make_view("L", crop), "ab": mv.make_view("ab", crop)}
    encoders = {
        "L": mv.make_encoder("resnet18", 1, width=0.25, stem_planes=64, seed=0),
        "ab": mv.make_encoder("timm:resnet10t", 2, seed=0),
    }
    folder, _ = write_model(many_kinds.trained_of(store, views, encoders), tmp_path / "model")
    for view, to in (("L", "timm"), ("ab", "timm"), ("L", "hf")):
        done = mv.export_view(folder, view, to, tmp_path / f"{view}-{to}")
        assert done.differences[0].largest < NEAR
        assert {"config.json", "model.safetensors", "README.md"} <= {x.name for x in done.path.iterdir()}


def test_another_encoder_becomes_a_model_of_one_view(folder: Path, tmp_path: Path) -> None:
    done = mv.export_view(folder, "waveform", "hf", tmp_path / "sound")
    assert done.differences == (Difference("h", 0.0, done.differences[0].scale),)
    assert done.load == f'multiview.load("{tmp_path / "sound"}")["waveform"](values)'
    model, alone = mv.load(folder), mv.load(tmp_path / "sound")
    assert alone.views == ("waveform",)
    values = np.random.default_rng(0).integers(-9000, 9000, (2, 900)).astype("int16")
    assert torch.equal(alone.z["waveform", "rgb-waveform"](values), model.z["waveform", "rgb-waveform"](values))
    assert "the view 'waveform' alone, of the views rgb, table, waveform" in alone.card
    with pytest.raises(mv.MultiviewError, match=r"none that timm can build: timm has no waveconv\. Use --to hf"):
        mv.export_view(folder, "waveform", "timm", tmp_path / "no")
    assert not (tmp_path / "no").exists()


class Odd(Encoder):
    """An encoder with an operator that a format lacks."""

    axes = ("channels",)

    def __init__(self, operator: str) -> None:
        super().__init__(4, 4, ("h",))
        self.operator, self.h = operator, nn.Linear(4, 4)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        if self.operator == "number":
            return self.h(x) * (2 if float(x.sum()) > 0 else 3)
        return torch.cdist(self.h(x)[:, None], self.h.weight[None], p=3.0)[:, 0]


def odd(model: PortableModel, operator: str) -> PortableModel:
    part = model.parts["table"]
    heads = {name: Projection(4, Head()).eval() for name in part.heads}
    model.parts["table"] = replace(part, encoder=Odd(operator).eval(), heads=heads)
    return model


@pytest.mark.parametrize(
    ("operator", "to", "named"),
    [
        ("number", "torch-export", r"aten\._local_scalar_dense.* \(in test_exports\.py, line"),
        ("cdist", "onnx", "cdist"),
    ],
)
def test_an_operator_that_cannot_be_exported_is_named(
    operator: str, to: str, named: str, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(mv.MultiviewError, match=named) as refused:
        mv.export_view(odd(mv.load(folder), operator), "table", to, tmp_path / "file")
    assert str(refused.value).startswith("the view 'table' with the encoder Odd cannot be exported to ")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(mv.MultiviewError, match=r"'rgbb' is not a view of this model.*Did you mean 'rgb'"):
        run(["export", str(folder), "rgbb", str(tmp_path / "x")])
    with pytest.raises(mv.MultiviewError, match=r"'onx' is none of onnx, .*Did you mean 'onnx'"):
        run(["export", str(folder), "rgb", "--to", "onx"])
    (tmp_path / "mine").mkdir()
    with pytest.raises(mv.MultiviewError, match="mine is a folder that no export wrote"):
        run(["export", str(folder), "rgb", str(tmp_path / "mine"), "--overwrite"])
    with pytest.raises(mv.MultiviewError, match="'onx' is not a format"):
        mv.export_view(folder, "rgb", "onx")


def test_a_result_that_differs_is_refused() -> None:
    def vectors(add: float) -> Mapping[str, np.ndarray]:
        return {"h": np.full((2, 3), 2.0 + add, "f4")}

    assert differences(lambda n: vectors(0), lambda n: vectors(1e-5))[0].largest == pytest.approx(1e-5, rel=0.05)
    for wrong in (0.1, float("nan")):
        with pytest.raises(mv.MultiviewError, match="the exported network differs from the model: h"):
            differences(lambda n: vectors(0), lambda n, wrong=wrong: vectors(wrong))  # type: ignore[misc]


KINDS: dict[str, tuple[str, tuple[int, ...], str]] = {
    "image": ("uint8", (40, 40, 3), "sRGB"),
    "depth": ("float32", (40, 40), "m"),
    "normal": ("float16", (40, 40, 3), "unit vector"),
    "mask": ("uint16", (40, 40), ""),
    "bands": ("float32", (40, 40, 4), ""),
    "audio": ("int16", (ANY,), "full scale"),
    "video": ("uint8", (9, 40, 40, 3), "sRGB"),
    "series": ("float32", (50, 3), ""),
    "table": ("float32", (5,), ""),
    "points": ("float32", (64, 3), "m"),
    "text": ("uint8", (20,), "UTF-8"),
}
OPTIONS = {"bands": {"bands": 4}, "table": {"columns": 5}, "series": {"channels": 3}, "semantic": {"classes": 4}}
OF_AXES = {
    ("channels", "height", "width"): "convnet",
    ("channels", "bands", "frames"): "convnet",
    ("channels", "frames", "height", "width"): "frames:convnet",
    ("channels", "samples"): "waveconv",
    ("channels", "times"): "resnet1d",
    ("channels",): "mlp",
    ("channels", "points"): "pointnet",
    ("bytes",): "text",
}


def model_of(view_name: str, encoder_name: str | None = None, size: int = 32, width: float = 0.25) -> PortableModel:
    """A model of one view, with random weights."""
    view = mv.make_view(view_name, mv.Crop(size=size, seconds=0.5), **OPTIONS.get(view_name, {}))
    count = view.channels.count
    view = replace(view, mean=view.mean or (0.3,) * count, std=view.std or (1.2,) * count)
    dtype, shape, unit = KINDS[view.modality]
    rate = {"audio": 8000.0, "video": 10.0, "series": 100.0}.get(view.modality)
    modality = Modality(name=view.modality, kind=view.modality, dtype=dtype, shape=shape, unit=unit, rate=rate)
    options = {"width": width} if not (encoder_name or "").startswith(("timm", "r3d", "torchaudio")) else {}
    encoder = mv.make_encoder(encoder_name or OF_AXES[view.axes], count, img_size=size, seed=0, **options).eval()
    head = Projection(encoder.features, Head()).eval()
    part = ViewPart(view, modality, encoder, {"linear": head}, {"edge": "linear"})
    layout = Layout(folder=Path(), folders={view_name: view_name}, edges={}, data={}, run={}, digest="none")
    return PortableModel(layout, {view_name: part}, {})


def test_random_values_are_stored_values_of_every_kind() -> None:
    for name in ("rgb", "depth", "normal", "semantic", "bands", "waveform", "video", "table", "points", "text"):
        model = model_of(name)
        part = model.part(name)
        values = random_values(part, 3)
        assert values.shape == (3, *stored_shape(part.modality, part.view.crop))
        expected = model[name](values)
        with torch.no_grad():
            h, _ = StoredToVectors(part)(torch.from_numpy(values))
        assert torch.equal(h, expected), name


@pytest.mark.slow
@pytest.mark.parametrize("name", [plugin.name for plugin in installed("views") if plugin.origin == "multiview-cmc"])
def test_every_view_is_exported(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for to in ("torch-export", "onnx"):
        done = mv.export_view(model_of(name), name, to, tmp_path / to)
        print(f"{name:18} {to:13} {'; '.join(map(str, done.differences))}")
        assert max(each.largest for each in done.differences) < NEAR


ENCODERS = {
    "resnet18": "rgb",
    "resnet34": "rgb",
    "resnet50": "ab",
    "resnet101": "L",
    "alexnet": "ab",
    "convnet": "hha",
    "timm:resnet10t": "ab",
    "timm:vit_tiny_patch16_224": "rgb",
    "timm:convnext_atto": "depth",
    "timm:swin_tiny_patch4_window7_224": "rgb",
    "timm:mobilenetv3_small_050": "rgb",
    "mlp": "table",
    "pointnet": "points",
    "resnet1d": "series",
    "waveconv": "waveform",
    "soundconv": "logmel",
    "seriesconv": "series",
    "torchaudio:wav2vec2_base": "waveform",
    "torchaudio:wavlm_base": "waveform",
    "frames:convnet": "video",
    "r3d_18": "video",
    "text": "text",
}
LARGE = {"alexnet": 64, "timm:swin_tiny_patch4_window7_224": 64}
"""Encoders of larger pictures."""
REFUSED = {("torchaudio:wavlm_base", "onnx"): "lacks the operator"}
"""What PyTorch's exporter cannot do, and a part of the sentence that says so."""


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch-export", "onnx"])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_is_exported(name: str, to: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    view = ENCODERS[name]
    if sentence := REFUSED.get((name, to)):
        with pytest.raises(mv.MultiviewError, match=sentence):
            mv.export_view(model_of(view, name), view, to, tmp_path / "file")
        return
    done = mv.export_view(model_of(view, name, LARGE.get(name, 32)), view, to, tmp_path / "file")
    print(f"{name:34} {to:13} {'; '.join(map(str, done.differences))}")
    assert max(each.largest for each in done.differences) < NEAR * max(1, done.differences[0].scale)


def test_the_table_of_encoders_is_whole() -> None:
    own = {plugin.name for plugin in installed("encoders") if plugin.origin == "multiview-cmc"}
    assert {name.partition(":")[0] for name in ENCODERS} == own - {"transformers"}
