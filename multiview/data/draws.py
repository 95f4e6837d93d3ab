"""Random numbers that are a function of what they are for, and of nothing else.

SplitMix64 as a counter-based generator: the number for (seed, epoch, purpose, sample) does not depend on which
process draws it, in what batch, or after what. So a resumed run, another worker count and another world size see the
same draws. Its 64 bit arithmetic is exact, unlike the streams of numpy and torch, which may change with their
versions. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; constants of
Stafford's variant 13.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def bits(seed: int, epoch: int, purpose: str, index: NDArray[np.int64], count: int = 1) -> NDArray[np.uint64]:
    """`count` numbers of 64 random bits for every sample of `index` (n,): uint64 (n, count)."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    start = _mixed(key + _mixed(index.astype(np.uint64) * _GOLDEN))
    return _mixed(start[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def uniform(seed: int, epoch: int, purpose: str, index: NDArray[np.int64], count: int = 1) -> NDArray[np.float64]:
    """`count` numbers from [0, 1) for every sample of `index` (n,): float64 (n, count), multiples of 2^-53."""
    return (bits(seed, epoch, purpose, index, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, epoch: int, purpose: str, count: int) -> NDArray[np.int64]:
    """A random order of 0 .. count - 1."""
    return np.argsort(bits(seed, epoch, purpose, np.arange(count))[:, 0], kind="stable")


def draw_seed(seed: int, step: int, purpose: str) -> int:
    """A seed, 63 bits, for a generator of one use at one step: nothing that is random has a state to save."""
    return int(bits(seed, step, purpose, np.zeros(1, np.int64))[0, 0] >> np.uint64(1))


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
