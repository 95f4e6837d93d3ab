"""Headers of a sample of the files of a source: what the files have in common, found quickly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from multiview.data.listing.filetree import as_unicode
from multiview.data.source import BadSample
from multiview.errors import MultiviewError

T = TypeVar("T")
MOST_HEADERS = 500


def read_headers(root: Path, files: Sequence[str], read: Callable[[Path, str], T], noun: str) -> list[T]:
    """The results of `read(path, name)` for up to 500 files below `root`, evenly spread.

    Files that cannot be read are skipped. Raises MultiviewError when none can be read.
    """
    found, reason = [], "there is none"
    for file in files[:: -(-len(files) // MOST_HEADERS) or 1]:
        try:
            found.append(read(root / file, as_unicode(file)))
        except BadSample as cause:
            reason = str(cause) if reason == "there is none" else reason
    if not found:
        raise MultiviewError(f"none of the {len(files)} {noun}s below {root} can be read; the first: {reason}.")
    return found


def most_common_of(values: Sequence[T]) -> T:
    """The most frequent value; the first one if several are equally frequent."""
    return Counter(values).most_common(1)[0][0]
