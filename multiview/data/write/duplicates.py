"""Samples that are exact copies of an earlier sample, found by a digest of all that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.store.manifest import NO_SPLIT
from multiview.data.store.shard import ShardSummary
from multiview.data.write.shardjob import FinishedShard, ShardJob
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True)
class Copy:
    """The id of a sample, and the id of the earlier sample that it equals."""

    id: str
    copy_of: str


def find_copies(shards: Sequence[ShardSummary]) -> list[Copy]:
    """Every sample that equals an earlier one, in the order of the rows."""
    first: dict[bytes, str] = {}
    copies = []
    for shard in shards:
        for name, digest in zip(shard.ids, shard.digests, strict=True):
            if first.setdefault(digest, name) != name:
                copies.append(Copy(name, first[digest]))
    return copies


def drop_copies(job: ShardJob, shards: Sequence[FinishedShard], copies: Sequence[Copy]) -> list[FinishedShard]:
    """The shards without these copies. A shard that holds a copy is written again."""
    originals = {copy.id: copy.copy_of for copy in copies}
    kept = []
    for shard in shards:
        dropped = {name: originals[name] for name in shard.summary.ids if name in originals}
        # Copies that an earlier, interrupted run has left out of this shard stay left out.
        dropped |= {reject.id: reject.copy_of for reject in shard.summary.rejects if reject.copy_of}
        kept.append(job.rewrite_without(shard, dropped) if originals.keys() & dropped.keys() else shard)
    return kept


def _count_text(count: int) -> str:
    return counted(count, "sample is an exact copy of another", "samples are exact copies of others")


def count_across(shards: Sequence[ShardSummary], copies: Sequence[Copy]) -> int:
    """How many of these copies lie in another split than the earlier sample that they equal.

    A sample without a split is in none.
    """
    split_of = {name: split for shard in shards for name, split in zip(shard.ids, shard.splits, strict=True)}
    pairs = [(split_of[copy.id], split_of[copy.copy_of]) for copy in copies]
    return sum(a != b and NO_SPLIT not in (a, b) for a, b in pairs)


def _count_with_splits(count: int, across: int) -> str:
    """The number of copies, and how many of them are in another split than the original."""
    many = f" ({across:,} of them in another split than the sample that they equal)"
    one = " (in another split)"
    return _count_text(count) + ("" if not across else one if count == 1 else many)


def copies_note(listing: Path, count: int, treatment: str, across: int = 0) -> str:
    """The sentence that tells the user how many copies there are and what was done with them.

    across: how many are in another split than their original: test samples that are trained on.
    """
    if treatment == "drop":
        return f"{_count_text(count)}: left out."
    return f"{_count_with_splits(count, across)}, listed in {listing}; leave them out with --duplicates drop."


def copies_error(listing: Path, copies: Sequence[Copy], across: int = 0) -> MultiviewError:
    """The error of `--duplicates error`. across: see `copies_note`."""
    first = copies[0]
    return MultiviewError(
        f"{_count_with_splits(len(copies), across)}, the first '{first.id}' of '{first.copy_of}'; all are listed in "
        f"{listing}. Remove them, or use --duplicates drop."
    )
