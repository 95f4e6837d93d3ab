"""The benchmark of shared information: patches lie where they should, the bound, the claim."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from multiview.data.load.dataset import Samples
from multiview.data.load.memory import open_memory
from multiview.viewlayer import ViewLayer

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/sweet_spot.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import sweet_spot

    return sweet_spot


@pytest.mark.parametrize("distance", [0, 16, 40])
def test_two_patches_lie_so_many_pixels_apart_and_are_not_resized(benchmark: ModuleType, distance: int) -> None:
    """Red counts the rows of a picture and green its columns, so that a pixel tells its place."""
    rows, columns = np.mgrid[:64, :64]
    picture = np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)
    store = open_memory({"image": np.stack([picture] * 12), "split": ["train"] * 12})
    views = benchmark.patches(distance).views
    seen = ViewLayer(views)(Samples(store, "train", views, train=True)[0, torch.arange(12)])
    near, far = ((seen[name] * 0.5 + 0.5) * 255 for name in ("near", "far"))
    assert near.shape == far.shape == (12, 3, 24, 24)
    torch.testing.assert_close((far - near)[:, 0], torch.full((12, 24, 24), float(distance)), atol=1e-3, rtol=0)
    step = near[:, 1, :, 1:] - near[:, 1, :, :-1]
    assert (step.abs() - 1).abs().max() < 1e-3, "a pixel of a patch is a pixel of the picture"
    places = {tuple(each[:2, 0, 0].round().int().tolist()) for each in near}
    assert distance == 40 or len(places) > 6, "places are drawn"


def test_the_bound_is_log_n_less_the_loss(benchmark: ModuleType) -> None:
    z = torch.nn.functional.normalize(torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)), dim=2)
    a, b = z[:1], z[1:]
    scores = (a[0] @ b[0].T / 0.1).double()
    losses = [-torch.log_softmax(each, 1).diagonal().mean() for each in (scores, scores.T)]
    assert benchmark.bound(a, b) == pytest.approx(math.log(6) - float(sum(losses)) / 2, abs=1e-5)
    same = torch.eye(6)[None]
    assert benchmark.bound(same, same) == pytest.approx(math.log(6), abs=1e-3)
    assert benchmark.bound(same[:, :1].expand(1, 6, 6), same) < 0.1


@pytest.mark.parametrize(
    ("probes", "said"),
    [
        ((40, 50, 60, 55, 50, 45), "PASS: patches at a middle distance teach most; best: patches, 16 px apart"),
        ((60, 50, 45, 44, 43, 42), "FAIL"),
        ((40, 50, 60), "runs are missing"),
    ],
)
def test_the_claim_needs_a_middle_above_both_ends(
    benchmark: ModuleType, tmp_path: Path, probes: tuple[int, ...], said: str
) -> None:
    names = list(benchmark.VARIANTS)
    rows = [
        {"variant": name, "seed": seed, "nats": 1.0, "probe": probe + seed, "random": 30.0, "raw": 35.0}
        for name, probe in zip(names, probes, strict=False)
        for seed in range(3)
    ]
    assert said in benchmark.claim(rows)
    assert "| patches, 0 px apart | 1.00 ± 0.00 |" in benchmark.table(rows)
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = benchmark.argparse.Namespace(only=[0, 1, 2], variants=names[: len(probes)], steps=1)
    assert benchmark.measured(given, None, tmp_path / "results.jsonl") == rows, "nothing is trained again"
