"""The writing of a store in pieces that any process can take: a shard is a function of its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from multiview.data.source import Plan
from multiview.data.store.shard import BadShardError, Layout, TooManyRejectsError, Written, check_shard, shard_name
from multiview.data.write.shardwriter import readable, write_shard
from multiview.errors import MultiviewError

Tick = Callable[[int, int], None]
"""Told (samples, bad ones among them) since it was last told."""


@dataclass(frozen=True)
class Done:
    """A shard that is whole: its number, what it says about itself, whether an earlier run wrote it, and a sentence for
    the user.
    """

    number: int
    written: Written
    reused: bool = False
    note: str | None = None


Failure = MultiviewError | TooManyRejectsError


@dataclass(frozen=True)
class Work:
    """All that a process must know to write any shard of a store; it is picklable when the source is.

    allowed: bad samples that one shard may meet.
    """

    plan: Plan
    layout: Layout
    out: Path
    shard_rows: int
    allowed: float

    def numbers(self) -> range:
        """The shards there are."""
        return range(-(-len(self.plan.rows) // self.shard_rows))

    def rows(self, number: int) -> range:
        """The planned rows of a shard."""
        start = number * self.shard_rows
        return range(start, min(start + self.shard_rows, len(self.plan.rows)))

    def shard(self, number: int, tick: Tick) -> Done:
        """Writes a shard, unless an earlier run has left it whole. Raises MultiviewError or TooManyRejectsError."""
        path, rows = self.out / shard_name(number), self.rows(number)
        note = None
        if path.exists():
            try:
                found = check_shard(path, self.layout)
            except BadShardError as reason:
                path.unlink()
                note = f"damaged and written again: {reason}."
            else:
                if not self._mended(found, rows):
                    tick(len(rows), len(found.rejects))
                    return Done(number, found, reused=True)
                note = f"{path.name}: written again, since samples that it lacks can be read by now."
        return Done(number, write_shard(path, self.plan, rows, self.layout, self.allowed, tick, {}), note=note)

    def _mended(self, found: Written, rows: range) -> bool:
        """Whether a sample that could not be read when the shard was written can be read now."""
        bad = {reject.id for reject in found.rejects if reject.copy_of is None}
        return any(readable(self.plan, number) for number in rows if self.plan.rows[number].id in bad)

    def rewritten(self, done: Done, copies: Mapping[str, str]) -> Done:
        """A shard without these samples, in the place of the one that has them."""
        path, rows = self.out / shard_name(done.number), self.rows(done.number)
        written = write_shard(path, self.plan, rows, self.layout, self.allowed, lambda *_: None, copies)
        return replace(done, written=written)

    def attempt(self, number: int, tick: Tick) -> Done | Failure:
        """`shard`, whose mistakes are handed back as values, as they must travel between processes."""
        try:
            return self.shard(number, tick)
        except (MultiviewError, TooManyRejectsError) as mistake:
            return mistake
