"""The split of a sample: the name of a folder or cell, or a hash of the sample's id alone."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence

from multiview.errors import MultiviewError

ALIASES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
NAMES = {1: ("train",), 2: ("train", "test"), 3: ("train", "val", "test")}


def canonical_split(name: str) -> str:
    """The usual name of a split: `valid` and `Validation` become `val`; other names stay."""
    return ALIASES.get(name.casefold(), name)


def parse_shares(text: str) -> tuple[float, ...]:
    """`70/10/20` -> (70, 10, 20). Raises MultiviewError unless one to three shares make 100."""
    try:
        shares = tuple(float(part) for part in text.split("/"))
    except ValueError:
        shares = ()
    if not 1 <= len(shares) <= 3 or not abs(sum(shares) - 100) < 1e-6 or min(shares) < 0:
        raise MultiviewError(
            f"split is '{text}'; give percentages that make 100: TRAIN/VAL/TEST (70/10/20), TRAIN/TEST, or 100."
        )
    return shares


def split_by_hash(identity: str, shares: Sequence[float]) -> str:
    """The split of an id: the same on every machine, and independent of all other samples."""
    point = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64 * 100
    names = NAMES[len(shares)]
    reached = 0.0
    for name, share in zip(names, shares, strict=True):
        reached += share
        if point < reached:
            return name
    return names[-1]


def group_leaders(ids: Sequence[str], files: Iterable[Sequence[str | None]]) -> list[str]:
    """For each sample the first id, by name, of the group of samples that share files with it.

    Hashing this id keeps the group in one split. `files` holds columns with one file, or None, per
    sample. A file of more than half of the samples, such as a background, does not link them.
    """
    columns = [[file and posixpath.normpath(file) for file in column] for column in files]
    uses = Counter(file for row in zip(*columns, strict=True) for file in set(row))
    return linked_leaders(
        ids, [[file if file and 1 < uses[file] <= len(ids) / 2 else None for file in column] for column in columns]
    )


def linked_leaders(ids: Sequence[str], columns: Iterable[Sequence[str | None]]) -> list[str]:
    """For each sample the first id, by name, of the samples that its values link to it.

    Equal values link two samples, also across columns; None links nothing.
    """
    first: dict[str, int] = {}
    above = list(range(len(ids)))

    def root(number: int) -> int:
        while above[number] != number:
            above[number] = number = above[above[number]]
        return number

    for column in columns:
        for number, file in enumerate(column):
            if file is not None:
                one, other = root(number), root(first.setdefault(file, number))
                least, most = sorted((one, other), key=lambda each: ids[each])
                above[most] = least
    return [ids[root(number)] for number in range(len(ids))]


def hash_split_note(shares: Sequence[float]) -> str:
    """The note about a split by hash."""
    parts = "/".join(f"{share:g}" for share in shares)
    return (
        f"splits {'/'.join(NAMES[len(shares)])} are {parts} % by a hash of each id; choose with --split or a CSV file."
    )
