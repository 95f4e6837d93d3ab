"""The order of samples: a function of seed, epoch and step alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch

from multiview.counter_rng import bits, permutation, uniform
from multiview.data.load.sampler import Batches, fit_batch
from multiview.errors import MultiviewError

MASK = 2**64 - 1
GOLDEN_ORDER = [3, 7, 0, 2, 6, 4, 1, 5]
"""Recorded numbers: another generator would break the resuming of every run."""


def split_mix(state: int) -> int:
    """The output function of SplitMix64 with Python integers."""
    z = state & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_bits_are_split_mix_of_a_key_per_sample() -> None:
    golden = 0x9E3779B97F4A7C15
    key = int.from_bytes(hashlib.blake2b(b"7/3/crop a", digest_size=8).digest(), "little")
    index = [0, 1, 5, 123456789]
    expected = []
    for each in index:
        start = split_mix(key + split_mix(each * golden))
        expected.append([split_mix(start + step * golden) for step in range(1, 5)])
    assert bits(7, 3, "crop a", np.array(index), 4).tolist() == expected


def test_draws_equal_recorded_numbers() -> None:
    assert permutation(0, 0, "order", 8).tolist() == GOLDEN_ORDER
    code = "from multiview.counter_rng import permutation; print(permutation(0, 0, 'order', 8).tolist())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(GOLDEN_ORDER)


def test_draws_are_uniform_and_uncorrelated() -> None:
    drawn = uniform(0, 0, "crop", np.arange(20000), 6)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.stack([np.histogram(column, 20, (0, 1))[0] for column in drawn.T])
    chi_square = ((counts - 1000) ** 2 / 1000).sum(1)
    assert (chi_square < 43.8).all(), "19 degrees of freedom: one in a thousand exceeds 43.8"
    both = np.concatenate([drawn, np.roll(drawn, 1, 0), uniform(0, 1, "crop", np.arange(20000), 6)], 1)
    correlation = np.corrcoef(both.T) - np.eye(18)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(20000)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 1}, {"purpose": "other"}])
def test_seed_epoch_and_purpose_each_make_another_stream(change: dict) -> None:
    base = {"seed": 0, "epoch": 0, "purpose": "crop"}
    one, other = (uniform(**fields, index=np.arange(100)) for fields in (base, base | change))
    assert not np.isin(one, other).any()


def everything(batches: Batches, epoch: int = 0, start_step: int = 0) -> list[list[int]]:
    return [index.tolist() for index in batches.for_epoch(epoch, start_step)]


def test_an_epoch_holds_every_sample_once() -> None:
    for epoch in range(3):
        steps = everything(Batches(103, 10, drop_last=False), epoch)
        assert [len(step) for step in steps] == [10] * 10 + [3]
        assert sorted(chain(*steps)) == list(range(103))
    dropped = everything(Batches(103, 10))
    assert [len(step) for step in dropped] == [10] * 10
    assert len(set(chain(*dropped))) == 100
    assert len(Batches(103, 10)) == 10
    assert len(Batches(103, 10, drop_last=False)) == 11


def test_index_tensors_are_int64() -> None:
    assert {index.dtype for index in Batches(20, 5).for_epoch(0)} == {torch.int64}


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = [everything(Batches(64, 8, seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({str(order) for order in orders}) == 4
    assert everything(Batches(64, 8, 1), 1) == orders[3]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("drop_last", [True, False])
def test_the_slices_of_the_ranks_make_the_batch_of_one(world: int, drop_last: bool) -> None:
    alone = everything(Batches(103, 12, seed=5, drop_last=drop_last), 3)
    ranks = [everything(Batches(103, 12, 5, rank, world, drop_last), 3) for rank in range(world)]
    assert [list(chain(*parts)) for parts in zip(*ranks, strict=True)] == alone
    assert all(len(part) == 12 // world for rank in ranks for part in rank[:8])


@pytest.mark.parametrize("start_step", [0, 1, 7, 10])
def test_resuming_gives_the_rest_of_the_unbroken_order(start_step: int) -> None:
    batches = Batches(103, 10, seed=2)
    assert everything(batches, 4, start_step) == everything(batches, 4)[start_step:]


def test_without_shuffle_the_order_is_that_of_the_split() -> None:
    assert list(chain(*everything(Batches(10, 4, drop_last=False, shuffle=False)))) == list(range(10))


@pytest.mark.parametrize(
    ("batch", "world", "message"),
    [
        (10, 4, "a batch of 10 cannot be shared by 4 processes; use 8 or 12"),
        (3, 4, "cannot be shared by 4 processes; use 4"),
        (0, 1, "batch is 0; give 1 or more"),
        (200, 1, "data has 103 samples and the batch is 200: no step; use a smaller batch"),
    ],
)
def test_bad_batches_are_errors(batch: int, world: int, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        Batches(103, batch, world=world)


def test_a_batch_larger_than_the_data_is_reduced_in_one_sentence() -> None:
    assert fit_batch(1024, 408) == (408, "data has 408 samples, batch is 1024: using 408")
    assert fit_batch(1024, 409, 4) == (408, "data has 409 samples, batch is 1024: using 408")
    assert fit_batch(128, 408) == (128, None)
    assert fit_batch(408, 408) == (408, None)
    with pytest.raises(MultiviewError, match="data has 3 samples, fewer than the 4 processes"):
        fit_batch(8, 3, 4)
    with pytest.raises(MultiviewError, match="data has no samples"):
        fit_batch(8, 0)
