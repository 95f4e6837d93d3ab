"""The segmentation probe: confusion counts by hand, and a run from a store to the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import multiview as mv
from multiview.cli import run
from multiview.data.sources.scenes import Scenes
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.measure import segmentation
from multiview.measure.files import rows_from_json
from multiview.measure.segmentation import UNLABELLED, Pictures, Probe, commonest, confusion, fit_probe, segment
from multiview.runs import read


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> mv.Trained:
    folder = tmp_path_factory.mktemp("segmentation")
    preprocess(Scenes(count=60, size=32), None, folder / "store")
    words = f"--data {folder / 'store'} --out {folder / 'run'} --steps 2 --batch 16 --size 32 --width 0.1 --threads 1"
    more = "--knn_every 0 --evaluate false --encoder convnet --min_scale 0.6 --max_scale 1.0"
    assert run(["train", "nyu_rgbd", *words.split(), *more.split(), "--views", "[L, depth]"]) == 0
    return mv.load(folder / "run")


def test_views_layers_and_controls_are_probed(trained: mv.Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained.folder is not None
    assert run(["evaluate", str(trained.folder), "--segment", "mask", "--layer", "stage2"]) == 0
    text = capsys.readouterr().out
    rows = rows_from_json((trained.folder / "segmentation.json").read_text())
    assert tuple(rows) == read(trained.folder).evaluation
    assert [(row.views, row.weights, row.measure) for row in rows] == [
        ((view,), weights, measure)
        for view in ("L", "depth")
        for weights in ("trained", "random", "raw")
        for measure in ("pixel_accuracy", "miou")
    ]
    assert {row.facts["cells"] for row in rows} == {"4x4", "32x32"}
    assert all(0 < miou.value <= pixel.value <= 1 for pixel, miou in zip(rows[::2], rows[1::2], strict=True))
    assert "mIoU %" in text
    assert "unlabelled pixels do not count." in text


@pytest.mark.parametrize("lacking", [None, "depth", "mask", "image"])
def test_each_picture_is_encoded_once_for_its_view(
    trained: mv.Trained, lacking: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other views are neither made nor encoded, and no sample that lacks the view or the mask."""
    store, seen, made = trained.store, Counter[str](), []
    whole, layer = Store.present, segmentation.ViewLayer
    monkeypatch.setattr(Store, "present", lambda self, name: whole(self, name) & _kept(self, name == lacking))
    monkeypatch.setattr(segmentation, "ViewLayer", lambda views: made.append(set(views)) or layer(views))
    hooks = [
        trained.encoder(name).register_forward_pre_hook(lambda _, x, name=name: seen.update({name: len(x[0])}))
        for name in ("L", "depth")
    ]
    segment(replace(trained, folder=None), "mask", "stage2")
    for hook in hooks:
        hook.remove()
    modality = {"L": "image", "depth": "depth"}
    rows = np.concatenate([store.rows("train"), store.rows("test")])
    assert seen == {
        view: int((store.present(modality[view]) & store.present("mask"))[rows].sum()) for view in ("L", "depth")
    }
    assert made == [{view, segmentation.LABELS} for view in ("L", "depth") for _ in range(6)]


def _kept(store: Store, lacks: bool) -> np.ndarray:
    return np.arange(len(store)) % 3 > 0 if lacks else np.ones(len(store), bool)


@pytest.mark.parametrize(
    ("modality", "layer", "message"),
    [
        ("image", "stage2", "'image' is image, not a mask"),
        ("mask", "pool", r"view 'L' has no map at this layer but .* choose an earlier layer"),
        ("masks", "stage2", "Did you mean 'mask'"),
    ],
)
def test_a_wrong_mask_or_layer_is_an_error(trained: mv.Trained, modality: str, layer: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        segment(trained, modality, layer)


def test_a_layer_must_be_named(trained: mv.Trained) -> None:
    with pytest.raises(MultiviewError, match=r"name the layer, such as --layer stage3"):
        run(["evaluate", str(trained.folder), "--segment", "mask"])


def test_the_commonest_classes_are_counted_over_train(trained: mv.Trained) -> None:
    masks = trained.store.read(trained.store.rows("train"), "mask")
    counts = {label: int((masks == label).sum()) for label in range(1, int(masks.max()) + 1)}
    assert commonest(trained.store, "mask", 2) == sorted(counts, key=lambda label: -counts[label])[:2]


def test_confusion_by_hand() -> None:
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0] = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    labels = torch.tensor([[[0, 1], [1, UNLABELLED]]])
    probe = Probe(maps, 2)
    probe.mean, probe.std = torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    with torch.no_grad():
        probe.linear.weight[0, 0] = 1.0
    assert confusion(probe, Pictures(maps, labels), 2).tolist() == [[1, 0], [1, 1]]


def test_a_linear_rule_is_learned_from_labels_of_another_size() -> None:
    maps = torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = (maps[:, 1] > 0).long().repeat_interleave(2, 1).repeat_interleave(2, 2)
    counts = confusion(fit_probe(Pictures(maps, labels), 2), Pictures(maps, labels), 2)
    # Bilinear upsampling mixes neighbouring places, whose labels here are independent.
    assert counts.diagonal().sum() > 0.8 * counts.sum()
