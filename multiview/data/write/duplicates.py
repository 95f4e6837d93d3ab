"""Samples that are exact copies of an earlier sample, found by a digest of all that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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


def copies_note(listing: Path, count: int, treatment: str) -> str:
    """The sentence that tells the user how many copies there are and what was done with them."""
    if treatment == "drop":
        return f"{_count_text(count)}: left out."
    return f"{_count_text(count)}, listed in {listing}; leave them out with --duplicates drop."


def copies_error(listing: Path, copies: Sequence[Copy]) -> MultiviewError:
    """The error of `--duplicates error`."""
    first = copies[0]
    return MultiviewError(
        f"{_count_text(len(copies))}, the first '{first.id}' of '{first.copy_of}'; all are listed in "
        f"{listing}. Remove them, or use --duplicates drop."
    )
