"""Several stores in one run: the order, the rows, the statistics, resuming, processes, mistakes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import losses, on_two_processes, run

from multiview.data.load.dataset import Samples
from multiview.data.load.mixedbatches import MixedBatches, batches_of
from multiview.data.load.mixedstore import MixedStore, mixed
from multiview.data.load.mixing import ratio_of, shares, stores_of
from multiview.data.load.open_data import open_data
from multiview.data.load.sampler import Batches
from multiview.data.load.viewstatistics import measure_views
from multiview.data.sources.arrays import Arrays
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.train.checkpoint import newest
from multiview.view import Crop, make_view


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 30 bright noise images without depth and sound, 20 of them for training."""
    folder, rng = tmp_path_factory.mktemp("plain"), np.random.default_rng(0)
    image = rng.integers(128, 256, (30, 32, 32, 3), dtype=np.uint8)
    split = np.array(["train"] * 20 + ["test"] * 10)
    np.savez(folder / "plain.npz", image=image, split=split, label=np.array(["noise", "box"] * 15))
    preprocess(Arrays(), folder / "plain.npz", folder / "plain")
    return folder / "plain"


@pytest.fixture(scope="module")
def both(scenes: Path, plain: Path) -> MixedStore:
    return mixed([Store.open(scenes), Store.open(plain)], (3, 1))


def order(batches: Batches, epochs: int = 3) -> torch.Tensor:
    return torch.stack([index for epoch in range(epochs) for index in batches.for_epoch(epoch)])


def test_every_batch_has_its_parts_and_each_store_is_passed_over_at_its_own_pace() -> None:
    batches = MixedBatches(26, 4, seed=1, sizes=(20, 6), counts=(3, 1))
    found = order(batches, 4)
    assert found.shape == (24, 4)
    assert ((found < 20).sum(1) == 3).all()
    first, second = found[found < 20].view(24, 3), found[found >= 20]
    for start in range(0, 24, 6):  # 6 steps of 3 are a pass over 20; 6 steps of 1 are a pass over 6
        assert len(first[start : start + 6].unique()) == 18
        assert len(second[start : start + 6].unique()) == 6
    assert not torch.equal(first[:6], first[6:12])


def test_the_order_depends_on_neither_the_start_nor_the_processes() -> None:
    made = {"count": 26, "batch": 4, "seed": 1, "sizes": (20, 6), "counts": (2, 2)}
    whole = list(MixedBatches(**made).for_epoch(2))
    assert torch.equal(torch.stack(list(MixedBatches(**made).for_epoch(2, 4))), torch.stack(whole[4:]))
    halves = [list(MixedBatches(**made, rank=rank, world=2).for_epoch(2)) for rank in range(2)]
    assert all(torch.equal(torch.cat(pair), index) for *pair, index in zip(*halves, whole, strict=True))


def test_rows_keep_what_their_store_has(both: MixedStore, scenes: Path, plain: Path) -> None:
    first, second = Store.open(scenes), Store.open(plain)
    assert len(both) == 110
    assert both.ids[80:] == [f"plain/{name}" for name in second.ids]
    assert len(both.rows("train")) == len(first.rows("train")) + 20
    names = both.manifest.classes
    assert [names[label] for label in both.labels[80:]] == [second.manifest.classes[n] for n in second.labels]
    rows = np.array([85, 3, 100, 7])
    assert both.present("depth")[rows].tolist() == [False, True, False, True]
    assert (both.read(rows, "image")[[0, 2]] == second.read([5, 20], "image")).all()
    assert (both.read(rows, "depth")[[1, 3]] == first.read([3, 7], "depth")).all()
    depth = {
        "depth": make_view("depth", Crop(size=16)).with_statistics(both.statistics, {"depth": both.modality("depth")})
    }
    batch = Samples(both, "train", {"rgb": make_view("rgb", Crop(size=16)), **depth}, train=True)[0, torch.arange(76)]
    assert batch.present["depth"].tolist() == [True] * 56 + [False] * 20
    assert batch.present["image"].all()


def test_statistics_are_those_of_the_mix(both: MixedStore, scenes: Path, plain: Path) -> None:
    views = {"rgb": make_view("rgb", Crop(size=16))}
    parts = [measure_views(Store.open(place), views)["rgb"] for place in (scenes, plain)]
    found = measure_views(both, views)["rgb"]
    mean = 0.75 * np.array(parts[0].mean) + 0.25 * np.array(parts[1].mean)
    square = sum(w * (np.square(s.std) + np.square(s.mean)) for w, s in zip((0.75, 0.25), parts, strict=True))
    assert np.allclose(found.mean, mean)
    assert np.allclose(found.std, np.sqrt(square - mean**2))


@pytest.mark.parametrize(
    ("words", "mix", "message"),
    [
        ("{scenes}", "3:1", "mix is 3:1, but data names one store"),
        ("{scenes}+{plain}", "3:1:1", "mix is 3:1:1, of 3 numbers, but data names 2 stores"),
        ("{scenes}+{plain}", "3:much", "mix is '3:much'; give a whole number above 0 for each store"),
        ("{scenes}+{plain}", "0:1", "mix is '0:1'; give a whole number above 0"),
        ("{scenes}+", None, "one of the names around the plus is empty"),
        ("{scenes}+nowhere", None, "nowhere does not exist"),
        (
            "{scenes}+scenes:10",
            None,
            r"cannot be mixed: they hold image as uint8\[32, 32, 3\] .* and uint8\[64, 64, 3\]",
        ),
    ],
)
def test_mistakes(words: str, mix: str | None, message: str, scenes: Path, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=message):
        open_data(words.format(scenes=scenes, plain=plain), tmp_path, say=lambda _: None, mix=mix)


def test_a_batch_that_does_not_fit_is_named(both: MixedStore) -> None:
    with pytest.raises(
        MultiviewError, match=r"a batch of 4 with mix 9:1 has no sample of b; use a batch of 10 or more"
    ):
        shares(4, (9, 1), ("a", "b"))
    with pytest.raises(MultiviewError, match=r"plain has 20 training samples, and a batch of 40 .* takes 30 of them"):
        batches_of(mixed(both.mix.stores, (1, 3)), 40, 0, 0, 1)
    samples = Samples(mixed(both.mix.stores, (3, 1)), "train", {"rgb": make_view("rgb", Crop(size=16))}, True)
    with pytest.raises(MultiviewError, match=r"--mix shuffles all samples .* --train.order window cannot be used"):
        samples.windows("window")
    assert samples.windows("auto") is None
    assert shares(10, (3, 1), ("a", "b")) == (8, 2)
    assert stores_of("a + b") == ["a", "b"]
    assert ratio_of("3:1", "a+b", 2) == (3, 1)


def test_a_run_resumes_to_the_bit_and_says_its_mix(
    scenes: Path, plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(f"{scenes}+{plain}")
    mix = ["--mix", "3:1", "--save_every", "1"]
    assert run("cmc_lab", data, tmp_path / "whole", *mix) == 0
    assert run("cmc_lab", data, tmp_path / "halves", *mix, "--steps", "4") == 0
    assert run("cmc_lab", data, tmp_path / "halves", *mix, "--resume", "--plan") == 0
    assert "per step 12 of scenes, 4 of plain; an epoch passes over scenes 0.857 times" in capsys.readouterr().out
    assert run("cmc_lab", data, tmp_path / "halves", "--mix", "1:1", "--resume") == 2
    assert "the run was trained with --mix 3:1" in capsys.readouterr().err
    assert run("cmc_lab", data, tmp_path / "halves", *mix, "--resume") == 0
    ends = [newest(tmp_path / name / "checkpoints").tensors for name in ("whole", "halves")]
    for part in ("model", "memory"):
        assert ends[0][part].keys() == ends[1][part].keys()
        assert all(torch.equal(ends[0][part][name], ends[1][part][name]) for name in ends[0][part])
    banks = [value for name, value in ends[0]["memory"].items() if value.ndim == 2]
    assert {len(bank) for bank in banks} == {76}


@pytest.mark.slow
def test_two_processes_train_a_mix_like_one(scenes: Path, plain: Path, tmp_path: Path) -> None:
    data = Path(f"{scenes}+{plain}")
    command = on_two_processes("cmc_lab", data, tmp_path / "two", "--mix", "3:1")
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert run("cmc_lab", data, tmp_path / "one", "--mix", "3:1") == 0
    assert losses(tmp_path / "two")[0]["loss"] == pytest.approx(losses(tmp_path / "one")[0]["loss"], rel=0.02)
