"""Banks that start encoded: every row is the embedding of its sample before the first step."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import assert_same_end, assert_same_losses, before_step, losses, on_two_processes, run, signal_in_step
from test_processes import ENVIRONMENT
from torch.nn.functional import normalize

import multiview as mv
from multiview.counter_rng import Draws
from multiview.data.load.sampler import Batches
from multiview.memory.bank import MemoryBank
from multiview.memory.memories import Memories
from multiview.memory.split_bank import SplitBank
from multiview.objectives import CMC
from multiview.train import loop
from multiview.train.step import Parts

ENCODED = ("--objective.start", "encoded")


def banks(parts: Parts) -> dict[str, torch.Tensor]:
    """A copy of the rows of every bank."""
    return {n: m.rows.clone() for n, m in parts.memories.stores.items() if isinstance(m, MemoryBank)}


def first_banks(data: Path, out: Path, *words: str) -> dict[str, torch.Tensor]:
    """The rows of the banks when the first step of a run begins."""
    found: dict[str, torch.Tensor] = {}
    with before_step(1, lambda parts: found.update(banks(parts))):
        assert run("cmc_lab", data, out, *words) == 0
    return found


@pytest.mark.parametrize(
    ("count", "batch", "world"), [(10, 4, 1), (10, 4, 2), (12, 4, 2), (5, 5, 1), (6, 6, 3), (7, 4, 1), (7, 4, 4)]
)
def test_full_batches_hold_every_sample(count: int, batch: int, world: int) -> None:
    every = [Batches(count, batch, rank=rank, world=world, drop_last=False, filled=True) for rank in range(world)]
    steps = [torch.cat(parts) for parts in zip(*(each.for_epoch(0) for each in every), strict=True)]
    assert {len(index) for index in steps} == {batch}
    assert set(torch.cat(steps).tolist()) == set(range(count))
    usual = list(Batches(count, batch).for_epoch(0))
    assert all(torch.equal(a, b) for a, b in zip(steps, usual, strict=False))


def test_every_row_is_the_embedding_of_its_sample(scenes: Path, tmp_path: Path) -> None:
    """By hand: the views of each batch with the draws of the pass, through the untrained model."""
    seen: dict[str, Any] = {}

    def see(parts: Parts) -> None:
        seen["rows"] = banks(parts)
        with torch.random.fork_rng():
            seen["by hand"] = by_hand(parts)

    def by_hand(parts: Parts) -> dict[str, torch.Tensor]:
        run_ = seen["loop"]
        rows = {name: torch.zeros_like(rows) for name, rows in seen["rows"].items()}
        parts.wrapped.train()
        for number, batch in enumerate(run_.loader.every_sample()):
            views = parts.layer(batch, Draws(run_.seed, number, batch.index.numpy(), "first rows"))
            with torch.no_grad():
                z = parts.model(views, {name: torch.ones(len(batch.index), dtype=torch.bool) for name in views}).z
            for (view, head), x in z.items():
                (name,) = [each for each in rows if each.startswith(f"{view}/{head.name}/")]
                rows[name][batch.index] = normalize(x, dim=1)
        return rows

    made = loop.Loop.__init__

    def kept(self: loop.Loop, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        seen["loop"] = self

    loop.Loop.__init__ = kept  # type: ignore[method-assign]
    try:
        with before_step(1, see):
            assert run("cmc_lab", scenes, tmp_path / "run", *ENCODED) == 0
    finally:
        loop.Loop.__init__ = made  # type: ignore[method-assign]
    assert len(seen["rows"]) == 2
    for name, rows in seen["rows"].items():
        assert torch.allclose(rows, seen["by hand"][name], atol=1e-6)
        assert torch.allclose(rows.norm(dim=1), torch.ones(len(rows)), atol=1e-5)


def test_the_pass_changes_no_number_of_the_model(scenes: Path, tmp_path: Path) -> None:
    states: list[dict[str, torch.Tensor]] = []

    def see(parts: Parts) -> None:
        states.append({name: x.clone() for name, x in parts.model.state_dict().items()})

    with before_step(1, see):
        for words in ((), ENCODED):
            assert run("cmc_lab", scenes, tmp_path / f"{len(words)}", *words) == 0
    assert all(torch.equal(x, states[1][name]) for name, x in states[0].items())


def test_a_random_start_stays_that_of_the_original(scenes: Path, tmp_path: Path) -> None:
    """Uniform and not normalised; also where the objective's settings are the original's."""
    rows = first_banks(scenes, tmp_path / "run", "--objective.start", "random")
    assert all(not torch.allclose(x.norm(dim=1), torch.ones(len(x)), atol=1e-2) for x in rows.values())
    assert CMC.original().start == "random"
    with pytest.raises(mv.MultiviewError, match="'zero' is not a start of a bank; available: encoded, random"):
        CMC(start="zero")  # type: ignore[arg-type]


def test_a_split_bank_starts_with_the_same_rows() -> None:
    """Where one process keeps all of its rows."""
    z, index = torch.randn(130, 4, generator=torch.Generator().manual_seed(0)), torch.randperm(130)
    whole, split = MemoryBank(130, 4, 0.5, torch.Generator()), SplitBank(130, 4, 0.5, 0, "a")
    for bank in (whole, split):
        bank.begin(z, index, torch.ones(130, dtype=torch.bool))
    assert torch.equal(split.whole(), whole.rows)
    assert torch.allclose(whole.rows[index], normalize(z, dim=1))


def test_only_banks_that_ask_for_it_are_encoded(scenes: Path, tmp_path: Path) -> None:
    """The recipe `mixed` has a bank, a queue and a predictor; edges that share a bank agree."""
    found: list[Parts] = []
    with before_step(1, found.append):
        assert run("mixed", scenes, tmp_path / "run", "--cmc.start", "encoded") == 0
    (parts,) = found
    names = {name for name, store in parts.memories.stores.items() if isinstance(store, MemoryBank)}
    assert set(parts.memories.encoded_banks) == names
    assert len(names) < len(parts.memories.stores)


def test_resumed_equals_unbroken(scenes: Path, tmp_path: Path) -> None:
    assert run("cmc_lab", scenes, tmp_path / "whole", *ENCODED) == 0
    with signal_in_step(3):
        assert run("cmc_lab", scenes, tmp_path / "broken", *ENCODED) == 128 + signal.SIGINT
    assert run("cmc_lab", scenes, tmp_path / "broken", *ENCODED, "--resume", "true") == 0
    assert_same_end(tmp_path / "broken", tmp_path / "whole")
    assert_same_losses(tmp_path / "broken", tmp_path / "whole")


def test_a_stop_in_the_pass_loses_nothing(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that resumes at step 0 encodes the first rows again, with the same numbers."""
    assert run("cmc_lab", scenes, tmp_path / "whole", *ENCODED) == 0
    begin, seen = Memories.begin, []

    def interrupted(self: Memories, *given: Any) -> None:
        seen.append(begin(self, *given))
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Memories, "begin", interrupted)
    assert run("cmc_lab", scenes, tmp_path / "broken", *ENCODED) == 128 + signal.SIGINT
    assert len(seen) == 2, "the pass ends with its batch"
    monkeypatch.setattr(Memories, "begin", begin)
    assert run("cmc_lab", scenes, tmp_path / "broken", *ENCODED, "--resume", "true") == 0
    assert_same_end(tmp_path / "broken", tmp_path / "whole")
    assert_same_losses(tmp_path / "broken", tmp_path / "whole")


def test_micro_batches_fill_every_row(scenes: Path, tmp_path: Path) -> None:
    """Their batch norms see a quarter of the batch, so that the numbers differ."""
    rows = first_banks(scenes, tmp_path / "run", *ENCODED, "--micro_batch", "4")
    assert all(torch.allclose(x.norm(dim=1), torch.ones(len(x)), atol=1e-5) for x in rows.values())


def test_two_processes_equal_one(scenes: Path, tmp_path: Path) -> None:
    words = (*ENCODED, "--sync_bn", "true")
    assert run("cmc_lab", scenes, tmp_path / "one", *words) == 0
    command = on_two_processes("cmc_lab", scenes, tmp_path / "two", *words)
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = ([line["loss"] for line in losses(tmp_path / name)] for name in ("one", "two"))
    assert np.allclose(one, two, rtol=0, atol=1e-5)


def test_a_loop_of_ones_own_is_told_that_it_starts_at_random() -> None:
    with pytest.raises(mv.MultiviewError, match=r"CMC: start=encoded is for mv\.fit.*give start=random"):
        mv.PairLoss(CMC(negatives=8, start="encoded"), samples=40)


def test_a_sample_without_the_view_keeps_its_random_row() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = MemoryBank(6, 4, 0.5, generator)
    before, z = bank.rows.clone(), torch.randn(3, 4, generator=generator)
    bank.begin(z, torch.tensor([1, 4, 5]), torch.tensor([True, False, True]))
    assert torch.allclose(bank.rows[[1, 5]], normalize(z[[0, 2]], dim=1))
    assert torch.equal(bank.rows[[0, 2, 3, 4]], before[[0, 2, 3, 4]])
    assert bank.momentum == 0.5
