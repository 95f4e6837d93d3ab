"""Laws of every installed view: shape, type, range, determinism, any device, documentation."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from multiview import plugins
from multiview.batch import Batch
from multiview.check.laws import judged
from multiview.check.views import LAWS, trial
from multiview.counter_rng import Draws
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.view import Crop, View, make_view
from multiview.viewlayer import ViewLayer
from multiview.views.augment import SIMCLR

NAMES = [plugin.name for plugin in plugins.installed("views") if plugin.origin == "multiview-cmc"]
OPTIONS: dict[str, dict[str, Any]] = {
    "bands": {"bands": (3, 0)},
    "semantic": {"classes": 4},
    "series": {"channels": 2},
    "table": {"columns": (4, 1, 2)},
}
# What a sample's view tensor is shaped like, for the batch below.
SHAPES = {
    "bands": (2, 16, 16),
    "series": (2, 50),
    "table": (3,),
    "points": (3, 20),
    "text": (12,),
    "waveform": (1, 2000),
    "logmel": (1, 40, 26),
    "semantic": (4, 16, 16),
    "video": (3, 4, 16, 16),
    "frame_difference": (1, 3, 16, 16),
    "flow": (1, 3, 16, 16),
}
DATA_DEPENDENT = {"canny": "follows lines until none is left, which must look at the numbers"}


def sample_batch(n: int = 5, seed: int = 0) -> Batch:
    """Random legal tensors of every kind of modality, one crop."""
    g = torch.Generator().manual_seed(seed)
    normal = torch.nn.functional.normalize(torch.randn(n, 3, 16, 16, generator=g), dim=1)
    depth = (torch.rand(n, 1, 16, 16, generator=g) * 9 + 0.2) * (torch.rand(n, 1, 16, 16, generator=g) > 0.1)
    modalities = {
        "image": torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=g),
        "depth": depth,
        "normal": normal,
        "mask": torch.randint(0, 6, (n, 1, 16, 16), generator=g),
        "bands": torch.rand(n, 5, 16, 16, generator=g),
        "audio": torch.randint(-(2**15), 2**15, (n, 2, 2000), dtype=torch.int16, generator=g),
        "video": torch.randint(0, 256, (n, 3, 4, 16, 16), dtype=torch.uint8, generator=g),
        "series": torch.randn(n, 2, 50, generator=g),
        "table": torch.randn(n, 5, generator=g),
        "points": torch.randn(n, 3, 20, generator=g),
        "text": torch.randint(0, 256, (n, 12), generator=g),
    }
    return Batch({"crop": modalities}, torch.arange(n), {})


def some(n: int) -> Statistics:
    return Statistics(9, (0.5,) * n, (2.0,) * n, (-1.0,) * n, (1.0,) * n)


STATISTICS = {"depth": some(1), "bands": some(5), "series": some(2), "table": some(5)}


def view_of(name: str) -> View:
    return make_view(name, Crop(), **OPTIONS.get(name, {})).with_statistics(STATISTICS)


def seen(view: View, batch: Batch, draws: Draws | None = None) -> Tensor:
    return ViewLayer({"it": view})(batch, draws)["it"]


def documented() -> dict[str, list[str]]:
    """The rows of the tables in docs/views.md: name -> other cells."""
    page = (Path(__file__).parents[1] / "docs/views.md").read_text("utf8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    return {first.strip("`"): rest for first, *rest in cells}


@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_range_are_as_declared(name: str) -> None:
    view = view_of(name)
    out = seen(view, sample_batch())
    assert view.channels.name == name
    assert out.shape == (5, *SHAPES.get(name, (view.channels.count, 16, 16)))
    assert out.dtype == (torch.int64 if name == "text" else torch.float32)
    assert out.isfinite().all()
    natural = seen(replace(view, mean=(0.0,), std=(1.0,)), sample_batch())
    slack = 1e-5 * max(1.0, view.channels.half_range) if math.isfinite(view.channels.high) else 0.0
    there = natural if view.missing is None else natural[natural != 0]
    assert there.min() >= view.channels.low - slack
    assert there.max() <= view.channels.high + slack


@pytest.mark.parametrize("name", NAMES)
def test_a_view_passes_the_command_check_view(name: str) -> None:
    """The laws of `multiview check view`."""
    made = trial(name, **OPTIONS.get(name, {}))
    assert [finding for finding in judged(LAWS, made) if finding.trouble] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DATA_DEPENDENT])
def test_a_view_computes_on_the_device_of_the_batch(name: str) -> None:
    view, batch = view_of(name), sample_batch()
    here = seen(view, batch)
    there = ViewLayer({"it": view}).to("meta")(batch.to("meta"))["it"]
    assert there.device.type == "meta"
    assert (there.shape, there.dtype) == (here.shape, here.dtype)
    assert torch.equal(seen(view, batch), here), "nothing stays behind on another device"


@pytest.mark.parametrize("name", [name for name in NAMES if view_of(name).modality == "image"])
def test_an_augmented_picture_stays_in_range(name: str) -> None:
    view = view_of(name)
    natural = replace(view, mean=(0.0,), std=(1.0,), augment=SIMCLR)
    out = seen(natural, sample_batch(), Draws(0, 1, np.arange(5)))
    slack = 1e-5 * max(1.0, view.channels.half_range)
    assert out.min() >= view.channels.low - slack
    assert out.max() <= view.channels.high + slack
    assert not torch.equal(out, seen(replace(natural, augment=None), sample_batch()))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_view_of_stored_numbers_asks_for_their_count(name: str) -> None:
    option = next(iter(OPTIONS[name]))
    with pytest.raises(MultiviewError, match=rf"'{name}' does not know.*{option}=NUMBER.*multiview inspect"):
        make_view(name, Crop())


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(MultiviewError, match=r"'band' is not an option of the view 'logmel'.*Did you mean 'bands'\?"):
        make_view("logmel", Crop(), band=3)


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_says_what_a_view_declares(name: str) -> None:
    view, factory = view_of(name), plugins.load("views", name)
    taken = [each.name for each in inspect.signature(factory).parameters.values() if each.kind is each.KEYWORD_ONLY]
    c = view.channels
    spread = f"{c.low:.4g} to {c.high:.4g}" if math.isfinite(c.high) else "as stored"
    count = "as given" if name in OPTIONS else str(c.count)
    assert documented()[name] == [view.modality, count, c.unit, spread, ", ".join(f"`{option}`" for option in taken)]


def test_the_documentation_lists_no_other_view() -> None:
    assert set(documented()) == set(NAMES)
