"""What the sources of published datasets have in common: where the files are, and validation samples out of training ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiview.data.listing.splits import split_by_hash
from multiview.errors import MultiviewError


def find_archive(root: Path, layouts: Sequence[tuple[str, Sequence[str]]], name: str) -> tuple[Path, int]:
    """The folder with the files of one of the layouts (usual folder, file names), and which layout that is.

    Looks in `root` and in the usual folders below it. Raises MultiviewError that says what `name` is published as.
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
        raise MultiviewError(f"{missing}; {name} is not whole. Unpack the published archive again.")
    usual = " or ".join(f"{folder} ({', '.join(files)})" for folder, files in layouts)
    raise MultiviewError(f"{root} does not hold {name}; give the folder of the unpacked archive: {usual}.")


def check_val(val: float) -> None:
    """Raises MultiviewError unless `val` is a percentage that leaves something to train on."""
    if not 0 <= val < 100:
        raise MultiviewError(f"val is {val}; give percent of the training set, 0 to 99.")


def training_split(identity: str, val: float) -> str:
    """`val` for the given percent of the published training samples, by a hash of the id, `train` for the others."""
    return split_by_hash(identity, (100 - val, val, 0)) if val else "train"
