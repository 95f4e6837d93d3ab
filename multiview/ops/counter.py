"""Random numbers from a counter by tensor operations: the same on every device and process.

The 64 bits of (key, sample, slot) are those of `counter_rng.bits`, computed in int64: SplitMix64,
whose sums and products wrap around. torch has no unsigned 64 bit arithmetic on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from multiview.ops.chunks import parts

CHUNK = 1 << 16
"""Numbers made at a time: half a megabyte, so that some twenty passes over them stay in caches."""


def _signed(word: int) -> int:
    """A 64 bit word as the int64 with the same bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
_LOW = (1 << 32) - 1


def _shifted(z: Tensor, by: int) -> Tensor:
    """z >> by of the unsigned words."""
    return (z >> by).bitwise_and_((1 << (64 - by)) - 1)


def _mixed(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place."""
    z.bitwise_xor_(_shifted(z, 30)).mul_(_FIRST)
    z.bitwise_xor_(_shifted(z, 27)).mul_(_SECOND)
    return z.bitwise_xor_(_shifted(z, 31))


def starts(key: int, index: Tensor) -> Tensor:
    """The state (n,) int64 from which the numbers of each sample are counted. key: 64 bits."""
    return _mixed(_mixed(index.to(torch.int64) * _GOLDEN).add_(_signed(key)))


def words(start: Tensor, slots: Tensor) -> Tensor:
    """64 random bits for each sample and slot, int64 (n, k).

    start: (n,) of `starts`. slots: (k,) int64 from 0. Column `slots[j]` of `counter_rng.bits`.
    """
    return _mixed(start[:, None] + (slots + 1) * _GOLDEN)


def below(start: Tensor, slots: Tensor, size: int | Tensor, most: int) -> Tensor:
    """Whole numbers from 0 to size - 1 for each sample and slot, (n, k).

    floor(u size / 2^64) of the 64 random bits u: each number has the probability 1 / size, to
    within 2^-64.

    Args:
        start: (n,) of `starts`.
        slots: (k,) int64 from 0.
        size: one for all samples, or int64 (n,). At least 1.
        most: the largest size, below 2^63. From it follows the type of the result.

    Returns:
        int32 when `most` is below 2^31, else int64.
    """
    dtype = torch.int32 if most < 1 << 31 else torch.int64
    out = torch.empty(len(start), len(slots), dtype=dtype, device=start.device)
    step = max(1, CHUNK // max(1, len(slots))) if start.device.type == "cpu" else max(1, len(start))
    for part in parts(len(start), step):
        own = size[part, None] if isinstance(size, Tensor) else size
        out[part] = _scaled(words(start[part], slots), own, small=most < 1 << 31)
    return out


def _scaled(u: Tensor, size: int | Tensor, *, small: bool) -> Tensor:
    """(u size) >> 64 of unsigned words, from products of 32 bit halves. small: size < 2^31."""
    high, low = _shifted(u, 32), u.bitwise_and_(_LOW)
    if small:  # then no product reaches 2^63
        return low.mul_(size).bitwise_right_shift_(32).add_(high.mul_(size)).bitwise_right_shift_(32)
    size_high, size_low = size >> 32, size & _LOW
    middle = high * size_low + _shifted(low * size_low, 32)
    rest = low * size_high + (middle & _LOW)
    return high * size_high + _shifted(middle, 32) + _shifted(rest, 32)
