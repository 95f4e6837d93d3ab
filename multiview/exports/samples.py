"""Random stored values of any modality, to compare an exported network with its model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from multiview.exports.network import stored_dtype, stored_shape
from multiview.portable.model import ViewPart

Random = np.random.Generator
Shape = tuple[int, ...]


def random_values(part: ViewPart, count: int, seed: int = 0) -> NDArray:
    """`count` stored samples of the size of the view's crop, with values as they are in files."""
    rng = np.random.default_rng([seed, count])
    shape = (count, *stored_shape(part.modality, part.view.crop))
    draw = DRAWN.get(part.modality.kind, _numbers)
    return draw(rng, shape, part).astype(stored_dtype(part.modality))


def _pixels(rng: Random, shape: Shape, _: ViewPart) -> NDArray:
    """Half noise, half one colour per row: every byte, and smooth places."""
    noise = rng.integers(0, 256, shape)
    noise[..., : shape[-2] // 2, :] = noise[..., :1, :]
    return noise


def _metres(rng: Random, shape: Shape, _: ViewPart) -> NDArray:
    """A sloping floor with noise; a tenth is not measured."""
    slope = np.linspace(0.5, 8, shape[-1])
    return (slope + rng.uniform(0, 0.3, shape)) * (rng.random(shape) > 0.1)


def _directions(rng: Random, shape: Shape, _: ViewPart) -> NDArray:
    normal = rng.normal(size=shape)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def _classes(rng: Random, shape: Shape, part: ViewPart) -> NDArray:
    return rng.integers(0, max(2, part.view.channels.count + 1), shape)


def _sound(rng: Random, shape: Shape, _: ViewPart) -> NDArray:
    return np.clip(rng.normal(0, 3000, shape), -32768, 32767)


def _letters(rng: Random, shape: Shape, _: ViewPart) -> NDArray:
    """Texts of different lengths, padded with zeros."""
    lengths = rng.integers(1, shape[1] + 1, (shape[0], 1))
    return rng.integers(97, 123, shape) * (np.arange(shape[1]) < lengths)


def _numbers(rng: Random, shape: Shape, part: ViewPart) -> NDArray:
    """Normally distributed numbers with the mean and the spread of the training data."""
    view = part.view
    mean, std = float(np.mean(view.mean or 0.0)), float(np.mean(view.std or 1.0))
    return rng.normal(mean, std, shape)


DRAWN: dict[str, Callable[[Random, Shape, ViewPart], NDArray]] = {
    "image": _pixels,
    "video": _pixels,
    "depth": _metres,
    "normal": _directions,
    "mask": _classes,
    "audio": _sound,
    "text": _letters,
}
