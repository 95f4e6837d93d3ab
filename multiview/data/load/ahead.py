"""Fetches the shards of coming batches into the local cache, while earlier batches are used."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Condition, Thread

import numpy as np

from multiview.data.store.shardfiles import ShardFiles
from multiview.errors import MultiviewError

STREAMS = 4
"""Shards of one process that are fetched at a time, each in one stream."""
SHARE = 0.5
"""Largest share of the cache that shards of coming batches take."""


class Ahead:
    """Threads that fetch what the coming steps of an epoch read, in the order of the steps.

    They stay at most half a cache ahead of the step that is used. A fault ends them quietly: the
    reader meets the same fault and says so.

    Args:
        files: the shards of a store at an address.
        rows: the rows of the store that each step reads. They are computed in the threads, in one
            at a time: with nothing that the reader uses too.
    """

    def __init__(self, files: ShardFiles, rows: Iterable[np.ndarray]) -> None:
        assert files.cache is not None
        self.files, self.cache = files, files.cache
        self._starts = np.cumsum([0, *(shard.rows for shard in files.shards)])
        largest = max((shard.size for shard in files.shards), default=1)
        self.room = max(1, int(SHARE * self.cache.limit / largest))
        self._wanted = self._shards(rows)
        self._recent: OrderedDict[int, None] = OrderedDict()
        self._pending: deque[int] = deque()
        self._used, self._over = 0, False
        self._change = Condition()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(min(STREAMS, self.room))]
        for thread in self._threads:
            thread.start()

    def used(self) -> None:
        """A further step was used: the shards that it alone needed may go."""
        with self._change:
            self._used += 1
            while self._pending and self._pending[0] < self._used:
                self._pending.popleft()
            self._change.notify_all()

    def stop(self) -> None:
        """Ends the threads; one that waits for the network ends when its file is there."""
        with self._change:
            self._over = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _shards(self, rows: Iterable[np.ndarray]) -> Iterator[tuple[int, int]]:
        """Every step with every shard that it reads."""
        for step, wanted in enumerate(rows):
            for shard in np.unique(np.searchsorted(self._starts, wanted, side="right") - 1):
                yield step, int(shard)

    def _work(self) -> None:
        with suppress(MultiviewError, OSError):
            while (shard := self._next()) is not None:
                self.cache.hold(self.files.shards[shard]).release()

    def _next(self) -> int | None:
        """The next shard to fetch; waits while enough is ahead. None at the end."""
        with self._change:
            while not self._over:
                if len(self._pending) >= self.room:
                    self._change.wait()
                    continue
                step, shard = next(self._wanted, (0, None))
                if shard is None:
                    return None
                if self._is_new(shard):
                    self._pending.append(step)
                    return shard
        return None

    def _is_new(self, shard: int) -> bool:
        """Whether a shard was not asked for lately."""
        known = shard in self._recent
        self._recent[shard] = None
        self._recent.move_to_end(shard)
        if len(self._recent) > self.room:
            self._recent.popitem(last=False)
        return not known
