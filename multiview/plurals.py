"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, what: str, many: str | None = None) -> str:
    """`1 shard`, `2,000 shards`; `many` is an irregular plural."""
    return f"{count:,} {what if count == 1 else many or what + 's'}"
