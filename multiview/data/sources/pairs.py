"""Pairs of sounds that mean the same: two recordings of one class, such as a word in two languages, make a sample."""

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
    """SoundOptions in class folders, as in the source `audio`; two of one class and split become `first` and `second` of a sample.

    In `train` every two recordings of a class are a pair; in the other splits each recording stands in one sample only, so
    that nothing is measured twice, and one that is left over has no `second`.
    """

    needs_input: ClassVar[bool] = True

    def plan(self, root: Path | None) -> Plan:
        """One row a pair, by the order of the recordings. Raises MultiviewError when no class has two in `train`."""
        assert root is not None
        single = super().plan(root)
        assert isinstance(single.read, FileReader)
        chosen = list(_pairs(single.rows))
        if not any(len(pair) == 2 and single.rows[pair[0]].split == "train" for pair in chosen):
            raise MultiviewError(
                f"no class of {root} has two sounds in the split train, so there is no pair to learn from."
            )
        rows = [_row([single.rows[number] for number in pair]) for pair in chosen]
        modalities = tuple(replace(single.modalities[0], name=name) for name in NAMES)
        note = f"{len(rows)} samples of {len(single.rows)} sounds: all pairs of a class in train, each sound once in the other splits."
        notes = (*single.notes, note, *_left_over(single.rows, chosen))
        return Plan(rows, modalities, _Reader(single.read, tuple(chosen)), notes=notes)


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[int, ...]]:
    """Numbers of the rows of each sample: two of one class and split, or the one that is left over."""
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
    """A note on how many pairs there are to measure on, where some sounds found no partner."""
    found: dict[str | None, list[int]] = {}
    for pair in chosen:
        found.setdefault(rows[pair[0]].split, [0, 0])[len(pair) - 1] += 1
    parts = [
        f"{counted(pairs, 'pair')} and {alone} left over in {split}" for split, (alone, pairs) in found.items() if alone
    ]
    return [f"{', '.join(parts)}; a larger share leaves more to test on (--split 60/10/30)."] if parts else []


def _row(pair: Sequence[Row]) -> Row:
    return replace(pair[0], id=" & ".join(row.id for row in pair))


@dataclass(frozen=True)
class _Reader:
    read: FileReader
    pairs: tuple[tuple[int, ...], ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        return {
            name: self.read(which)[self.read.modality] for name, which in zip(NAMES, self.pairs[number], strict=False)
        }
