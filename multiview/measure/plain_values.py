"""What a view says without a network: its values in small, and simple statistics of them.

Ridge regression and CCA are fitted on either. Values: pictures are averaged down, series and sounds
over time, to at most 512 numbers. Statistics: moments, histograms, profiles and spectra.
"""

from __future__ import annotations

from itertools import pairwise
from math import isqrt

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

from multiview.view import View

MOST = 512
"""Most numbers of a sample of pictures, series and sounds."""
COLUMNS = 1024
"""Most columns of a table; of more, so many are taken at equal distances."""
SIDE, BANDS, BINS, CODES = 16, 16, 8, 256
SEEN = 32
"""Larger pictures are averaged down to this side before their statistics are taken."""
TINY = 1e-6


def values(view: View, x: Tensor) -> Tensor:
    """The values of view tensors (n, ...) in small, float32 (n, width)."""
    if not x.is_floating_point():
        return _codes(x)
    if "points" in view.axes or x.ndim < 2:
        return statistics(view, x)
    return _pooled(x.float()).flatten(1)


def statistics(view: View, x: Tensor) -> Tensor:
    """Statistics of view tensors (n, ...), float32 (n, width); roots of the values of a table."""
    if not x.is_floating_point():
        counts = _codes(x)
        return torch.cat([counts.log1p(), counts.sum(1, keepdim=True)], 1)
    x = x.float()
    if x.ndim == 2:
        few = _pooled(x)
        return few.sign() * few.abs().sqrt()
    if x.ndim == 4:
        x = adaptive_avg_pool2d(x, (min(SEEN, x.shape[2]), min(SEEN, x.shape[3])))
    parts = [_moments(x), _histogram(x)]
    if "points" in view.axes:
        return torch.cat([*parts, _covariance(x), _histogram(x.norm(dim=1, keepdim=True))], 1)
    return torch.cat([*parts, *_profiles(x), *_spectra(x)], 1)


PLAIN = {"values": values, "statistics": statistics}
"""What is said of a view without a network, by its name."""


def _pooled(x: Tensor) -> Tensor:
    room = max(1, MOST // x.shape[1])
    if x.ndim == 2:
        most = min(COLUMNS, x.shape[1])
        return x[:, torch.linspace(0, x.shape[1] - 1, most, device=x.device).long()]
    if x.ndim == 3:
        return adaptive_avg_pool1d(x, min(room, x.shape[2]))
    side = max(1, min(SIDE, isqrt(room)))
    if x.ndim == 4:
        return adaptive_avg_pool2d(x, (min(side, x.shape[2]), min(side, x.shape[3])))
    side = max(1, min(8, isqrt(room // 4)))
    return adaptive_avg_pool3d(x, (min(4, x.shape[2]), min(side, x.shape[3]), min(side, x.shape[4])))


def _codes(x: Tensor) -> Tensor:
    """How often each code (modulo 256, without the padding 0) stands in the rows of x (n, ...)."""
    flat = x.flatten(1).long()
    counts = torch.zeros(len(flat), CODES, device=x.device)
    return counts.scatter_add_(1, flat % CODES, (flat > 0).float())


def _moments(x: Tensor) -> Tensor:
    """Mean, deviation, skewness, smallest and largest value of every channel."""
    flat = x.flatten(2)
    mean, std = flat.mean(2), flat.std(2, unbiased=False)
    skew = ((flat - mean[..., None]) ** 3).mean(2) / (std + TINY) ** 3
    return torch.cat([mean, std, skew, flat.amin(2), flat.amax(2)], 1)


def _histogram(x: Tensor) -> Tensor:
    """Shares of every channel's values in 8 bins from -2 to 2 of the normalised range."""
    bins = ((x.flatten(2) + 2) * (BINS / 4)).floor().clamp(0, BINS - 1).long()
    rows = torch.arange(x.shape[0] * x.shape[1], device=x.device).view(*x.shape[:2], 1)
    counts = torch.bincount((rows * BINS + bins).flatten(), minlength=rows.numel() * BINS)
    return counts.view(len(x), -1).float() / bins.shape[2]


def _profiles(x: Tensor) -> list[Tensor]:
    """The mean of every channel along each axis, in at most 16 parts."""
    if x.ndim < 4 or x.shape[1] > 64:
        return []
    found = []
    for axis in range(2, x.ndim):
        others = [other for other in range(2, x.ndim) if other != axis]
        found.append(adaptive_avg_pool1d(x.mean(others), min(SIDE, x.shape[axis])).flatten(1))
    return found


def _spectra(x: Tensor) -> list[Tensor]:
    """The log power of every channel in at most 16 bands along each axis, the mean over the others.

    Of an axis of one or two values there is no spectrum.
    """
    return [log_spectrum(x.movedim(axis, -1)).flatten(1) for axis in range(2, x.ndim) if x.shape[axis] > 2]


def log_spectrum(x: Tensor) -> Tensor:
    """(n, channels, ..., times) -> (n, channels, bands): the log of the power without the mean."""
    power = torch.fft.rfft(x - x.mean(-1, keepdim=True)).abs().square()[..., 1:] / x.shape[-1]
    power = power.flatten(2, -2).mean(2) if power.ndim > 3 else power
    edges = torch.logspace(0, 1, min(BANDS, power.shape[-1]) + 1, base=power.shape[-1]).long() - 1
    bands = [power[..., int(low) : max(int(high), int(low) + 1)].mean(-1) for low, high in pairwise(edges)]
    return torch.stack(bands, -1).add(TINY).log()


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(2, keepdim=True)
    return (centred @ centred.transpose(1, 2) / x.shape[2]).flatten(1)
