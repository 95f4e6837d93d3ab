"""What is gathered from all processes in a step: each fact once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from trials import trial

import multiview as mv
from multiview import distributed
from multiview.check.parity import traced
from multiview.errors import MultiviewError
from multiview.memory import memories
from multiview.objectives import CMC
from multiview.objectives.needs import Bank, Keys, Queue


def counting(found: Counter[str], act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def counted(x: Tensor) -> Tensor:
        found[str(x.dtype)] += 1
        return act(x)

    return counted


@pytest.fixture
def gathers(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often tensors of a dtype are gathered by memories and edges."""
    found: Counter[str] = Counter()
    counted = counting(found, distributed.gather)
    for module in (distributed, memories):
        monkeypatch.setattr(module, "gather", counted)
    return found


@pytest.mark.parametrize("draw", ["sample", "step"])
def test_the_index_is_gathered_once_in_a_step_of_split_banks(
    gathers: Counter[str], draw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two edges with three banks; the draw, both scorers and all updates share it."""
    monkeypatch.setattr("trials.SAMPLES", 128)
    made = trial(CMC(bank="split", negatives=64, dim=5, draw=draw))
    traced(made)
    assert gathers["torch.int64"] == len(made.batches)


def test_nothing_is_gathered_where_no_memory_reads_the_index(gathers: Counter[str]) -> None:
    traced(trial(mv.SimCLR(dim=5)))
    assert not gathers["torch.int64"]


def test_comm_gathers_every_side_and_the_presence_once(monkeypatch: pytest.MonkeyPatch, gathers: Counter[str]) -> None:
    sides: Counter[str] = Counter()
    monkeypatch.setattr(distributed, "gather_with_gradient", counting(sides, distributed.gather_with_gradient))
    made = trial(mv.CoMM(dim=5, width=8), missing=True)
    made.batches = made.batches[:1]
    traced(made)
    assert sides.total() == 6, "two views, each under two augmentations, and two fused embeddings"
    assert gathers["torch.bool"] == 2, "of the sides; whether there is a loss"


def test_memories_say_their_names_and_sizes() -> None:
    keys = Keys(momentum=0.99)
    bank, split, queue = Bank(), Bank(dtype="float16", split=True), Queue(size=256)
    assert [each.name(keys) for each in (bank, split, queue)] == ["bank0p5", "bank0p5_float16_split", "queue256_0p99"]
    assert bank.held(128, 1000, 8) == (512_000, "1,000 rows of 512 bytes, on every process")
    assert split.held(128, 1000, 8) == (32_768, "128 rows of 256 bytes, of 1,000; the others have the rest")
    assert queue.held(128, 1000, 8) == (133_120, "256 keys of 520 bytes, on every process")
    assert (bank.received(128), split.received(128), queue.received(128)) == (0, 1048, 0)
    with pytest.raises(MultiviewError, match="3 does not divide 64; use 1, 2, 4, 8, 16, 32 or 64 processes"):
        split.held(128, 1000, 3)


def test_an_unknown_place_of_a_bank_is_refused() -> None:
    with pytest.raises(MultiviewError, match="Did you mean 'split'"):
        CMC(bank="splitt")  # type: ignore[arg-type]


def test_a_queue_longer_than_the_data_is_worth_a_sentence() -> None:
    made = trial(mv.MoCo(queue=11, dim=5))
    assert made.memories.notes(11) == []
    (first, *_) = made.memories.notes(10)
    assert "holds 11 keys but there are only 10 samples" in first
    assert torch.equal(made.memories.stores[first.split()[1]].ids, torch.full((11,), -1))
