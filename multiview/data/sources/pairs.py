"""Pairs of sounds of one class, such as two recordings of one word: each pair is a sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.listing.classtree import FileReader
from multiview.data.source import Plan, Row
from multiview.data.sources.audio import Audio
from multiview.errors import MultiviewError
from multiview.plurals import counted

NAMES = ("first", "second")


@dataclass(frozen=True, kw_only=True)
class Pairs(Audio):
    """Two sounds of one class and split become `first` and `second` of a sample; see `audio`.

    The split `train` holds every pair of sounds of a class. The other splits use each sound only
    once, so no sound counts twice; a sound without a partner has no `second`.
    """

    needs_input: ClassVar[bool] = True

    def plan(self, root: Path | None) -> Plan:
        """Plans one sample per pair. Raises MultiviewError when `train` has no pair."""
        assert root is not None
        single = super().plan(root)
        assert isinstance(single.read, FileReader)
        chosen = list(_pairs(single.rows))
        _require_pairs(chosen, single.rows, root)
        rows = [_row([single.rows[number] for number in pair]) for pair in chosen]
        modalities = tuple(replace(single.modalities[0], name=name) for name in NAMES)
        note = (
            f"{len(rows)} samples from {len(single.rows)} sounds: all pairs of a class in train, each sound once in "
            "the other splits."
        )
        notes = (*single.notes, note, *_left_over(single.rows, chosen))
        return Plan(rows, modalities, _Reader(single.read, tuple(chosen)), notes=notes)


def _require_pairs(chosen: Sequence[tuple[int, ...]], rows: Sequence[Row], root: Path) -> None:
    if not any(len(pair) == 2 and rows[pair[0]].split == "train" for pair in chosen):
        raise MultiviewError(
            f"no class of {root} has two sounds in the split train, so there is no pair to learn from. Add "
            "sounds to a class folder, or make the split train larger with --split."
        )


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[int, ...]]:
    """Row numbers of each sample: two rows of one class and split, or one row without a partner."""
    groups: dict[tuple[str | None, str | None], list[int]] = {}
    for number, row in enumerate(rows):
        if row.label is not None:
            groups.setdefault((row.label, row.split), []).append(number)
    for (_, split), members in groups.items():
        if split == "train":
            yield from combinations(members, 2)
        else:
            yield from (tuple(members[place : place + 2]) for place in range(0, len(members), 2))


def _left_over(rows: Sequence[Row], chosen: Sequence[tuple[int, ...]]) -> list[str]:
    """A note about the number of pairs in splits where some sounds have no partner."""
    found: dict[str | None, list[int]] = {}
    for pair in chosen:
        found.setdefault(rows[pair[0]].split, [0, 0])[len(pair) - 1] += 1
    parts = [
        f"{counted(pairs, 'pair')} and {alone} without a partner in {split}"
        for split, (alone, pairs) in found.items()
        if alone
    ]
    return [f"{', '.join(parts)}; a larger share gives more pairs to test on (--split 60/10/30)."] if parts else []


def _row(pair: Sequence[Row]) -> Row:
    return replace(pair[0], id=" & ".join(row.id for row in pair))


@dataclass(frozen=True)
class _Reader:
    read: FileReader
    pairs: tuple[tuple[int, ...], ...]

    def input_files(self) -> list[Path]:
        """The files of all sounds."""
        return self.read.input_files()

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        return {
            name: self.read(which)[self.read.modality] for name, which in zip(NAMES, self.pairs[number], strict=False)
        }
