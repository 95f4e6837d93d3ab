"""Keeps results by a key, up to a number of bytes; several threads may ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any


class RecentResults:
    """Results that are computed once; beyond `limit` bytes the least recently used ones go."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self._known: dict[Hashable, tuple[int, Any]] = {}
        self._lock = Lock()

    def once(self, key: Hashable, size: int, make: Callable[[], Any]) -> Any:
        """The kept result of this key, else what `make` gives, of about `size` bytes."""
        with self._lock:
            known = self._known.pop(key, None)
            if known is not None:
                self._known[key] = known
                return known[1]
        made = make()
        with self._lock:
            self.held += 0 if key in self._known else size
            self._known[key] = size, made
            while self.held > self.limit:
                self.held -= self._known.pop(next(iter(self._known)))[0]
        return made
