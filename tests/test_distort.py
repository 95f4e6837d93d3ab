"""Noise and hidden channels of normalised views."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.view import Crop, View, make_view, view_from
from multiview.viewlayer import ViewLayer
from multiview.views.distort import Distort, normal

DRAWS = Draws(3, 5, np.arange(400))


def test_noise_is_standard_normal_and_depends_on_the_sample_alone() -> None:
    x = torch.zeros(400, 3, 7)
    drawn = normal(x, DRAWS)
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1) < 0.03
    assert abs((drawn.abs() > 1.96).float().mean() - 0.05) < 0.01
    torch.testing.assert_close(normal(x[4:5], DRAWS.at(np.array([4]))), drawn[4:5])


def test_jitter_adds_noise_in_standard_deviations() -> None:
    x = torch.ones(400, 3, 7)
    y = Distort(jitter=0.3)(x, DRAWS)
    assert abs((y - x).std() - 0.3) < 0.01
    assert (x == 1).all()


@pytest.mark.parametrize("fill", ["mean", "noise"])
def test_whole_channels_are_hidden_and_one_always_stays(fill: str) -> None:
    x = torch.full((400, 4, 6), 9.0)
    hidden = (Distort(masked=0.25, fill=fill)(x, DRAWS) != 9).all(2)  # type: ignore[arg-type]
    assert abs(hidden.float().mean() - 0.25) < 0.03
    assert not (Distort(masked=1.0, fill=fill)(x, DRAWS) != 9).all(2).all(1).any()  # type: ignore[arg-type]
    values = Distort(masked=1.0, fill=fill)(x, DRAWS)  # type: ignore[arg-type]
    spread = values[values != 9].std()
    assert spread == 0 if fill == "mean" else abs(spread - 1) < 0.05


def test_a_view_is_distorted_in_training_only() -> None:
    view = make_view("table", Crop(), columns=3, jitter=0.5)
    settled = View(**{**vars(view), "mean": (5.0,), "std": (2.0,)})
    x = torch.full((400, 3), 7.0)
    batch = Batch(index=torch.arange(400), crops={"crop": {"table": x}}, present={})
    layer = ViewLayer({"table": settled})
    assert (layer(batch)["table"] == 1).all()
    changed = layer(batch, DRAWS)["table"]
    assert abs((changed - 1).std() - 0.5) < 0.03
    assert view_from(settled.record()) == settled


def test_a_record_of_an_older_version_has_no_distortion() -> None:
    record = make_view("series", Crop(), channels=2).record()
    del record["distort"]
    assert view_from(record).distort is None


@pytest.mark.parametrize(
    ("options", "text"),
    [({"jitter": -1}, "jitter"), ({"masked": 1.5}, "masked"), ({"fill": "zero"}, "fill of Distort")],
)
def test_wrong_options_are_refused(options: dict, text: str) -> None:
    with pytest.raises(MultiviewError, match=text):
        Distort(**options)
