"""Samples that are exact copies of an earlier one: found by a digest of all that is stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.store.shard import Written
from multiview.data.write.shardjob import Done, Work
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True)
class Copy:
    """The id of a sample and the id of the earlier one that it is a copy of."""

    id: str
    copy_of: str


def found(written: Sequence[Written]) -> list[Copy]:
    """Every sample that has an equal one before it, in the order of the rows."""
    first: dict[bytes, str] = {}
    copies = []
    for shard in written:
        for name, digest in zip(shard.ids, shard.digests, strict=True):
            if first.setdefault(digest, name) != name:
                copies.append(Copy(name, first[digest]))
    return copies


def dropped(work: Work, done: Sequence[Done], copies: Sequence[Copy]) -> list[Done]:
    """The shards without the copies: those that hold one are written once more."""
    left_out = {copy.id: copy.copy_of for copy in copies}
    again = []
    for each in done:
        here = {name: left_out[name] for name in each.written.ids if name in left_out}
        # What an earlier, broken-off run has left out of this shard stays out.
        here |= {reject.id: reject.copy_of for reject in each.written.rejects if reject.copy_of}
        again.append(work.rewritten(each, here) if left_out.keys() & here.keys() else each)
    return again


def _copies(count: int) -> str:
    return counted(count, "sample is an exact copy of another", "samples are exact copies of others")


def note(listing: Path, count: int, treatment: str) -> str:
    """The sentence that tells the user."""
    what = _copies(count)
    if treatment == "drop":
        return f"{what}: left out."
    return f"{what}, listed in {listing}; leave them out with --duplicates drop."


def refused(listing: Path, copies: Sequence[Copy]) -> MultiviewError:
    """The error of `--duplicates error`."""
    first = copies[0]
    return MultiviewError(
        f"{_copies(len(copies))}, the first '{first.id}' of '{first.copy_of}'; all are listed in "
        f"{listing}. Remove them, or use --duplicates drop."
    )
