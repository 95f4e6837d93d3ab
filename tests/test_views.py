"""Ready views, and how ViewLayer shares conversions, normalises, and keeps no gradients."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import Tensor

import multiview.views
from multiview import plugins
from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.view import Channels, Crop, View, check_crops, make_view, modalities_of
from multiview.viewlayer import ViewLayer, present_views
from multiview.views import CROP_ONLY, MOCO_V2, SIMCLR, Lab, depth, normal, rgb
from multiview.views.lab import rgb_to_lab

STATISTICS = {"depth": Statistics(10, (3.0,), (0.7,), (1.0,), (5.0,))}


def batch_of(n: int = 6, size: int = 8, names: tuple[str, ...] = ("crop",)) -> Batch:
    generator = torch.Generator().manual_seed(0)
    crops = {
        name: {
            "image": torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator),
            "depth": torch.rand(n, 1, size, size, generator=generator) * 4 + 0.5,
            "normal": torch.randn(n, 3, size, size, generator=generator),
        }
        for name in names
    }
    return Batch(crops, torch.arange(n), {"image": torch.ones(n, dtype=torch.bool)})


def drawn(seed: int, n: int = 6) -> Draws:
    return Draws(seed, 0, np.arange(n))


@pytest.mark.parametrize("name", ["L", "ab", "rgb", "grey", "depth", "normal"])
def test_registered_view_gives_the_channels_it_declares(name: str) -> None:
    view = plugins.load("views", name)(Crop()).with_statistics(STATISTICS)
    out = ViewLayer({name: view})(batch_of())[name]
    assert view.channels.name == name
    assert out.shape == (6, view.channels.count, 8, 8)
    assert out.dtype == torch.float32


def test_exported_names_stay_functions_after_their_module_is_imported() -> None:
    for module in ("augment", "colour", "depth", "lab", "normals"):
        import_module(f"multiview.views.{module}")
    for name in multiview.views.__all__:
        assert not isinstance(getattr(multiview.views, name), type(sys)), name
    assert plugins.load("views", "depth") is depth
    with pytest.raises(AttributeError, match=r"it has .*Lab"):
        _ = multiview.views.labb


def test_importing_the_package_leaves_torch_alone() -> None:
    code = "import sys, multiview.views, multiview.view; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unmeasured_depth_is_zero_after_normalisation() -> None:
    batch = batch_of()
    batch.crops["crop"]["depth"][0, 0, :2] = 0
    out = ViewLayer({"depth": depth(Crop(), mean=2.0, std=0.5)})(batch)["depth"]
    assert (out[0, 0, :2] == 0).all()
    torch.testing.assert_close(out[1:], (batch.crops["crop"]["depth"][1:] - 2) / 0.5)


def test_depth_takes_mean_and_std_from_a_store() -> None:
    view = depth(Crop()).with_statistics(STATISTICS)
    assert (view.mean, view.std) == ((3.0,), (0.7,))
    assert depth(Crop(), mean=1.0, std=2.0).with_statistics({}) == depth(Crop(), mean=1.0, std=2.0)
    with pytest.raises(
        MultiviewError, match=r"view 'depth' has no mean; take it from a store by view\.with_statistics"
    ):
        ViewLayer({"d": depth(Crop())})


def test_statistics_of_the_taken_channels_are_used_and_a_std_of_zero_becomes_one() -> None:
    channels = Channels("yz", 2, "", 0.0, 1.0)
    view = View(modality="table", channels=channels, crop=Crop(), take=(1, 2))
    table = Statistics(9, (1.0, 2.0, 3.0), (0.5, 0.0, 4.0), (0.0,) * 3, (5.0,) * 3)
    assert view.with_statistics({"table": table}) == replace(view, mean=(2.0, 3.0), std=(1.0, 4.0))


@pytest.mark.parametrize("change", [{"convert": rgb_to_lab}, {"modality": "other"}])
def test_statistics_in_another_unit_are_refused(change: dict) -> None:
    view = replace(depth(Crop()), **change)
    with pytest.raises(MultiviewError, match=r"no mean and std, and the store has none in m; give the view mean="):
        view.with_statistics(STATISTICS)


def test_normals_are_not_rescaled() -> None:
    batch = batch_of()
    torch.testing.assert_close(ViewLayer({"n": normal(Crop())})(batch)["n"], batch.crops["crop"]["normal"])


class Counted:
    """A conversion that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2

    def view(self, crop: Crop, take: tuple[int, ...]) -> View:
        channels = Channels("twice", len(take), "", 0.0, 2.0)
        return View(modality="image", channels=channels, crop=crop, convert=self, take=take, mean=(0.5,), std=(2.0,))


def test_views_of_one_crop_share_one_conversion() -> None:
    convert, crop = Counted(), Crop()
    views = {"a": convert.view(crop, (0,)), "b": convert.view(crop, (1, 2)), "c": convert.view(crop, (0, 1, 2))}
    batch = batch_of()
    out = ViewLayer(views)(batch)
    assert convert.calls == 1
    expected = (batch.crops["crop"]["image"] / 255 * 2 - 0.5) / 2
    torch.testing.assert_close(out["c"], expected)
    torch.testing.assert_close(torch.cat([out["a"], out["b"]], 1), expected)


def test_views_of_two_crops_are_converted_separately() -> None:
    convert = Counted()
    views = {name: convert.view(Crop(name=name), (0, 1, 2)) for name in ("one", "two")}
    out = ViewLayer(views)(batch_of(names=("one", "two")))
    assert convert.calls == 2
    assert not torch.equal(out["one"], out["two"])


def test_views_of_one_crop_and_augment_see_the_same_draw() -> None:
    crop = Crop()
    layer = ViewLayer({"rgb": rgb(crop, SIMCLR), "L": Lab.lightness(crop, SIMCLR), "other": rgb(crop, MOCO_V2)})
    out = layer(batch_of(), drawn(3))
    pixels = out["rgb"] * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    pixels += torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    torch.testing.assert_close(out["L"], (rgb_to_lab(pixels)[:, :1] - 50) / 50, rtol=0, atol=1e-4)
    assert not torch.allclose(out["rgb"], out["other"])


def test_without_draws_nothing_is_augmented() -> None:
    batch = batch_of()
    plain = ViewLayer({"v": rgb(Crop(), CROP_ONLY)})(batch)["v"]
    layer = ViewLayer({"v": rgb(Crop(), SIMCLR)})
    torch.testing.assert_close(layer(batch)["v"], plain)
    assert not torch.allclose(layer(batch, drawn(0))["v"], plain)


def test_any_shape_is_normalised_along_its_channels_and_integers_are_not() -> None:
    crops = {
        "sound": torch.tensor([[[-32768, 16384]]], dtype=torch.int16),
        "table": torch.tensor([[1.0, 2.0]]),
        "text": torch.tensor([[104, 0]]),
    }

    def of(name: str, count: int, std: tuple[float, ...]) -> View:
        channels = Channels(name, count, "", -1.0, 1.0)
        return View(modality=name, channels=channels, crop=Crop(), mean=(0.0,), std=std)

    views = {"sound": of("sound", 1, (0.5,)), "table": of("table", 2, (1.0, 4.0)), "text": of("text", 1, (2.0,))}
    out = ViewLayer(views)(Batch({"crop": crops}, torch.arange(1), {}))
    assert out["sound"].tolist() == [[[-2.0, 1.0]]]
    assert out["table"].tolist() == [[1.0, 0.5]]
    assert out["text"].dtype == torch.int64
    assert out["text"].tolist() == [[104, 0]]


def test_the_layer_does_not_change_its_batch_and_keeps_no_gradient() -> None:
    batch, untouched = batch_of(), batch_of()
    views = {"rgb": rgb(Crop(), SIMCLR), "depth": depth(Crop(), mean=2.0, std=1.0), "normal": normal(Crop())}
    out = ViewLayer(views)(batch, drawn(0))
    for name, x in batch.crops["crop"].items():
        assert torch.equal(x, untouched.crops["crop"][name]), name
    assert not any(x.requires_grad for x in out.values())
    assert not any(x.is_inference() for x in out.values()), "an encoder must be able to save them for backward"


def mixed_channels(x: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", torch.linspace(0.1, 0.9, 9).view(3, 3), x)


def test_views_are_computed_without_autocast() -> None:
    view = replace(rgb(Crop()), convert=mixed_channels)
    batch, layer = batch_of(), ViewLayer({"v": view})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = layer(batch)["v"]
    assert torch.equal(inside, layer(batch)["v"])


def test_a_view_is_present_where_its_modality_is() -> None:
    batch = batch_of(3)
    batch.present["depth"] = torch.tensor([True, False, True])
    present = present_views({"L": Lab.lightness(Crop()), "d": depth(Crop()), "n": normal(Crop())}, batch)
    assert {name: each.tolist() for name, each in present.items()} == {
        "L": [True] * 3,
        "d": [True, False, True],
        "n": [True] * 3,
    }


def test_one_name_for_two_geometries_is_an_error() -> None:
    views = {"a": rgb(Crop(size=64)), "b": rgb(Crop(size=32))}
    with pytest.raises(MultiviewError, match=r"crop 'crop' has two geometries.*size=64.*size=32.*crop\.named"):
        ViewLayer(views)
    crop = Crop()
    assert check_crops([rgb(crop), depth(crop), rgb(crop.named("b"))]) == {"crop": crop, "b": crop.named("b")}


def test_each_crop_lists_the_modalities_of_its_views() -> None:
    one, two = Crop(), Crop(name="two")
    assert modalities_of([Lab.lightness(one), Lab.chroma(one), depth(one), rgb(two)]) == {
        one: ("image", "depth"),
        two: ("image",),
    }


def test_a_modality_that_the_batch_lacks_is_named() -> None:
    batch = batch_of()
    del batch.crops["crop"]["depth"]
    with pytest.raises(MultiviewError, match="'depth' is not a modality of this batch; available: image, normal"):
        ViewLayer({"d": depth(Crop(), mean=2.0, std=1.0)})(batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (0.0, 1.0)}, "3 channels but 2 of mean; give 1 or 3"),
        ({"std": (1.0, 0.0, 1.0)}, "every value must be above 0"),
        ({"take": (1, 2)}, r"declares 3 channels but takes 2: \(1, 2\); list every channel that is kept"),
    ],
)
def test_bad_normalisation_is_an_error(change: dict, message: str) -> None:
    fields = {"mean": (0.0,), "std": (1.0,)} | change
    with pytest.raises(MultiviewError, match=message):
        View(modality="image", channels=Channels("rgb", 3, "sRGB", 0.0, 1.0), crop=Crop(), **fields)


def test_channels_are_taken_in_the_order_they_are_listed() -> None:
    batch = batch_of()
    stored = batch.crops["crop"]["normal"]
    for take in ((2, 0), (1, 2), (0,)):
        view = replace(normal(Crop()), channels=Channels("some", len(take), "", -1.0, 1.0), take=take)
        assert torch.equal(ViewLayer({"v": view})(batch)["v"], stored[:, list(take)])
    with pytest.raises(MultiviewError, match=r"declares 1 channels, but 'normal' gives it 3; declare as many, or list"):
        ViewLayer({"v": replace(normal(Crop()), channels=Channels("x", 1, "", -1.0, 1.0))})(batch)


def test_a_conversion_that_reads_bytes_gets_bytes_unless_they_are_augmented() -> None:
    seen: list[torch.dtype] = []

    def noted(x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x.float()

    view = replace(rgb(Crop()), convert=noted, reads_bytes=True)
    ViewLayer({"v": view})(batch_of(), drawn(0))
    ViewLayer({"v": replace(view, augment=SIMCLR)})(batch_of(), drawn(0))
    ViewLayer({"v": replace(view, reads_bytes=False)})(batch_of())
    assert seen == [torch.uint8, torch.float32, torch.float32]


def test_a_view_of_another_modality_is_the_same_view() -> None:
    assert make_view("rgb", Crop(), modality="left") == replace(rgb(Crop()), modality="left")


def test_a_view_plugin_must_return_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda _group, _name: lambda crop, augment: 3)
    with pytest.raises(MultiviewError, match="'mine' returned int, not a View; its function must return a View"):
        make_view("mine", Crop())
