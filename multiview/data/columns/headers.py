"""A first look at the files of a source: enough headers to know what they have in common, few enough to be quick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from multiview.data.listing.filetree import printable
from multiview.data.source import BadSample
from multiview.errors import MultiviewError

T = TypeVar("T")
PROBED = 500


def read_headers(root: Path, files: Sequence[str], look: Callable[[Path, str], T], noun: str) -> list[T]:
    """What `look(path, name)` says of the readable ones among `PROBED` files below `root`, evenly spread.

    Raises MultiviewError when not one of them can be read.
    """
    found, reason = [], "there is none"
    for file in files[:: -(-len(files) // PROBED) or 1]:
        try:
            found.append(look(root / file, printable(file)))
        except BadSample as cause:
            reason = str(cause) if reason == "there is none" else reason
    if not found:
        raise MultiviewError(f"none of the {len(files)} {noun}s below {root} can be read; the first: {reason}.")
    return found


def most_common_of(values: Sequence[T]) -> T:
    """The value that is there most often; of equals, the first."""
    return Counter(values).most_common(1)[0][0]
