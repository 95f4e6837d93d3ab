"""Banks, queues and key encoders."""

from __future__ import annotations

from pathlib import Path

import by_hand
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from trials import SAMPLES, trial

import multiview as mv
from multiview.check.parity import process, spread, traced
from multiview.errors import MultiviewError
from multiview.memory.bank import MemoryBank
from multiview.memory.key_encoder import KeyEncoder
from multiview.memory.queue import KeyQueue
from multiview.objectives import Keys


def test_a_new_bank_is_uniform_as_in_the_original() -> None:
    rows = MemoryBank(5000, 128, 0.5, torch.Generator().manual_seed(0)).rows
    bound = (3 / 128) ** 0.5
    assert rows.abs().max().item() <= bound
    assert rows.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)


def test_bank_update_equals_the_loop_and_touches_no_other_row() -> None:
    bank = MemoryBank(12, 6, 0.3, torch.Generator().manual_seed(0)).double()
    before = bank.rows.clone()
    z = normalize(torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=1)
    index = torch.tensor([7, 2, 11, 0])
    bank.update(z, index)
    assert torch.allclose(bank.rows, by_hand.bank_update(before, z, index, 0.3), atol=1e-15)
    untouched = [i for i in range(12) if i not in index.tolist()]
    assert torch.equal(bank.rows[untouched], before[untouched])


def test_of_a_repeated_index_the_last_counts() -> None:
    bank = MemoryBank(5, 4, 0.0, torch.Generator().manual_seed(0))
    z = normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    bank.update(z, torch.tensor([2, 3, 2]))
    assert torch.allclose(bank.rows[2], z[2])
    assert torch.allclose(bank.rows[3], z[1])


@pytest.mark.parametrize("index", [[-1], [5]])
def test_an_index_outside_the_bank_is_an_error(index: list[int]) -> None:
    bank = MemoryBank(5, 4, 0.5, torch.Generator().manual_seed(0))
    with pytest.raises(MultiviewError, match="outside the memory bank of 5 rows"):
        bank.update(torch.zeros(1, 4), torch.tensor(index))


def refuse(number: int, folder: Path) -> None:
    """One of two processes, of which the second has a sample that the banks do not."""
    made = trial(mv.CMC(negatives=7, dim=5))
    made.batches[1].index[-1] = SAMPLES
    with process(number, 2, folder), pytest.raises(MultiviewError) as caught:
        traced(made)
    (folder / f"said-{number}").write_text(str(caught.value))


def test_every_process_refuses_an_index_that_one_has(tmp_path: Path) -> None:
    spread(refuse, 2, tmp_path)
    first, second = ((tmp_path / f"said-{number}").read_text() for number in range(2))
    assert first == second
    assert f"..{SAMPLES} is outside the memory bank of {SAMPLES} rows" in first


@pytest.mark.parametrize("size", [1, 5, 7, 12])
@pytest.mark.parametrize("rows", [1, 3, 5, 20])
def test_the_queue_holds_the_newest_keys_whatever_the_sizes(size: int, rows: int) -> None:
    queue, seen = KeyQueue(size, 2), []
    for step in range(6):
        ids = torch.arange(rows) + 100 * step
        keys = torch.stack([ids.float(), -ids.float()], dim=1)
        queue.update(keys, ids)
        seen.extend(ids.tolist())
        assert sorted(queue.filled_ids().tolist()) == sorted(seen[-size:])
        assert torch.equal(queue.filled_keys()[:, 0].long(), queue.filled_ids())
        assert len(queue) == min(len(seen), size)


def test_the_key_encoder_follows_with_its_momentum_and_takes_no_gradient() -> None:
    query, head = nn.Linear(3, 4), nn.Linear(4, 2)
    keys = KeyEncoder(query, head, Keys(momentum=0.9))
    start = query.weight.detach().clone()
    with torch.no_grad():
        query.weight += 1
    keys.follow(query, head)
    assert torch.allclose(keys.encoder.weight, 0.9 * start + 0.1 * query.weight)
    assert not keys(torch.randn(5, 3)).requires_grad
    assert not any(p.requires_grad for p in keys.parameters())
