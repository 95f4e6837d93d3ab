"""What sources of published datasets share: finding the archive, and splitting off validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiview.data.listing.splits import split_by_hash
from multiview.errors import MultiviewError


def find_archive(root: Path, layouts: Sequence[tuple[str, Sequence[str]]], name: str) -> tuple[Path, int]:
    """Finds the unpacked archive of a dataset in `root` or in its usual folder below `root`.

    A layout is the usual folder and its file names. Returns the folder and the layout's number.
    Raises MultiviewError with the published layouts.
    """
    missing = ""
    for number, (folder, files) in enumerate(layouts):
        for place in (root, root / folder):
            lacking = [file for file in files if not (place / file).is_file()]
            if not lacking:
                return place, number
            if len(lacking) < len(files):
                missing = missing or f"{place} has no {', '.join(lacking)}"
    if missing:
        raise MultiviewError(f"{missing}; {name} is not complete. Unpack the published archive again.")
    usual = " or ".join(f"{folder} ({', '.join(files)})" for folder, files in layouts)
    raise MultiviewError(f"{root} does not hold {name}; give the folder of the unpacked archive: {usual}.")


def check_val(val: float) -> None:
    """Raises MultiviewError unless `val` is a percentage that leaves training samples."""
    if not 0 <= val < 100:
        raise MultiviewError(f"val is {val}; give percent of the training set, 0 to 99.")


def training_split(identity: str, val: float) -> str:
    """The split of a training sample: `val` for a percentage of the ids, by hash, else `train`."""
    return split_by_hash(identity, (100 - val, val, 0)) if val else "train"
