"""The job of writing the shards of a store. Any process can write any shard by its number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from multiview.data.source import Plan
from multiview.data.store.shard import BadShardError, Layout, ShardSummary, TooManyRejectsError, check_shard, shard_name
from multiview.data.write.shardwriter import is_readable, write_shard
from multiview.errors import MultiviewError

Tick = Callable[[int, int], None]
"""Called with (samples done, bad samples among them) since the last call."""


@dataclass(frozen=True)
class FinishedShard:
    """A whole shard. reused: an earlier run wrote the shard. note: a sentence for the user."""

    number: int
    summary: ShardSummary
    reused: bool = False
    note: str | None = None


Failure = MultiviewError | TooManyRejectsError


@dataclass(frozen=True)
class ShardJob:
    """Everything that a process needs to write any shard of a store.

    A job can be pickled when the `read` of its plan can. allowed_bad: bad samples per shard.
    """

    plan: Plan
    layout: Layout
    out: Path
    shard_rows: int
    allowed_bad: float

    def shard_numbers(self) -> range:
        """The numbers of all shards of the store."""
        return range(-(-len(self.plan.rows) // self.shard_rows))

    def rows_of(self, number: int) -> range:
        """The planned rows of a shard."""
        start = number * self.shard_rows
        return range(start, min(start + self.shard_rows, len(self.plan.rows)))

    def count_rows(self, numbers: range) -> int:
        """How many planned rows these shards have together."""
        return sum(len(self.rows_of(number)) for number in numbers)

    def write(self, number: int, tick: Tick) -> FinishedShard:
        """Writes a shard, unless an earlier run has already written it whole.

        Raises MultiviewError or TooManyRejectsError.
        """
        path, rows = self.out / shard_name(number), self.rows_of(number)
        note = None
        if path.exists():
            try:
                summary = check_shard(path, self.layout)
            except BadShardError as reason:
                path.unlink()
                note = f"damaged and written again: {reason}."
            else:
                if not self._has_mended_rejects(summary, rows):
                    tick(len(rows), len(summary.rejects))
                    return FinishedShard(number, summary, reused=True)
                note = f"{path.name}: written again, because samples that it lacks can be read now."
        return FinishedShard(number, self._write(path, rows, tick, {}), note=note)

    def _has_mended_rejects(self, summary: ShardSummary, rows: range) -> bool:
        """Whether a sample that was unreadable when the shard was written can be read now."""
        bad = {reject.id for reject in summary.rejects if reject.copy_of is None}
        return any(is_readable(self.plan, number) for number in rows if self.plan.rows[number].id in bad)

    def _write(self, path: Path, rows: range, tick: Tick, copies: Mapping[str, str]) -> ShardSummary:
        return write_shard(path, self.plan, rows, self.layout, self.allowed_bad, tick, copies)

    def rewrite_without(self, shard: FinishedShard, copies: Mapping[str, str]) -> FinishedShard:
        """Writes a shard again without these samples. copies: id -> id of the equal sample."""
        path, rows = self.out / shard_name(shard.number), self.rows_of(shard.number)
        return replace(shard, summary=self._write(path, rows, lambda *_: None, copies))

    def attempt(self, number: int, tick: Tick) -> FinishedShard | Failure:
        """Like `write`, but returns errors, because they must be sent between processes."""
        try:
            return self.write(number, tick)
        except (MultiviewError, TooManyRejectsError) as mistake:
            return mistake
