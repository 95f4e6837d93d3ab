"""Pairs of small pictures that are computed: what views share, have alone, and show together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.counter_rng import uniform
from multiview.data.modality import Modality
from multiview.data.scenes.trifeature import COLOURS, SHAPES, TEXTURES, Pair, draw_pairs, picture, split_of
from multiview.data.source import Plan, Row
from multiview.errors import MultiviewError, unknown_name

COLUMNS = ("texture_1", "texture_2", "colour_1", "colour_2", "synergy")


@dataclass(frozen=True, kw_only=True)
class Trifeature:
    """Two pictures of one shape, each with a texture and a colour: six kinds of each.

    The label is the shape, which both pictures show (redundant). `texture_1` and `texture_2` are in
    one picture each (unique). `synergy` says whether the colour of the second picture belongs to
    the texture of the first: only both pictures together show it. Columns for `--target`:
    texture_1, texture_2, colour_1, colour_2, synergy.

    Args:
        count: number of samples, three of four for training; a smaller number gives the first ones
            of a larger one.
        size: side of the pictures in pixels.
        relation: share of the training samples whose second colour belongs to the first texture
            (null = the colours are independent). Half of the test samples always do.
        seed: number that decides all random draws.
    """

    needs_input: ClassVar[bool] = False
    shorthand: ClassVar[str] = "count"

    count: int = 8000
    size: int = 32
    relation: float | None = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 4:
            raise MultiviewError(f"trifeature: count is {self.count}; give 4 or more, such as --count 8000.")
        if not 16 <= self.size <= 512:
            raise MultiviewError(f"trifeature: size is {self.size}; give 16 to 512 pixels, such as --size 32.")
        if self.relation is not None and not 0 <= self.relation <= 1:
            raise MultiviewError(f"trifeature: relation is {self.relation}; give 0 to 1, or null for none.")

    def plan(self, root: Path | None = None) -> Plan:
        """Plans all samples; a sample depends on seed, relation and its number alone."""
        del root
        pairs = tuple(draw_pairs(self.seed, self.count, self.relation))
        rows = [Row(id=f"{i:06d}", label=SHAPES[pair.first.shape], split=split_of(i)) for i, pair in enumerate(pairs)]
        return Plan(
            rows=rows,
            modalities=tuple(self._modality(name) for name in ("first", "second")),
            read=_Reader(pairs, self.size, self.seed),
            classes=SHAPES,
            column=_Columns(pairs),
            others=COLUMNS,
        )

    def _modality(self, name: str) -> Modality:
        return Modality(name=name, kind="image", dtype="uint8", shape=(self.size, self.size, 3), unit="sRGB")


@dataclass(frozen=True)
class _Reader:
    pairs: tuple[Pair, ...]
    size: int
    seed: int

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        pair, side = self.pairs[number], self.size
        noise = uniform(self.seed, 0, "trifeature/noise", np.array([number]), 2 * side * side)[0]
        first, second = noise.reshape(2, side, side)
        return {"first": picture(pair.first, first, side), "second": picture(pair.second, second, side)}


@dataclass(frozen=True)
class _Columns:
    pairs: tuple[Pair, ...]

    def __call__(self, name: str) -> list[str | None]:
        """The text of every sample in a column."""
        made = {
            "texture_1": lambda pair: TEXTURES[pair.first.texture],
            "texture_2": lambda pair: TEXTURES[pair.second.texture],
            "colour_1": lambda pair: COLOURS[pair.first.colour],
            "colour_2": lambda pair: COLOURS[pair.second.colour],
            "synergy": lambda pair: "related" if pair.related else "unrelated",
        }
        if name not in made:
            raise unknown_name("column of trifeature", name, COLUMNS)
        return [made[name](pair) for pair in self.pairs]
