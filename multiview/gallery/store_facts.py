"""What the page says about the data: presence, splits, rejected samples, leaks between splits."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multiview.data.inspect.presence import count_patterns
from multiview.errors import MultiviewError
from multiview.plurals import counted

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

LISTED = 10
"""Most rejected samples, patterns and copies that are listed one by one."""
REJECTS = "rejects.jsonl"


def store_facts(store: Store) -> dict[str, Any]:
    """The keys `splits`, `presence`, `rejected` and `leaks` of the data of a page."""
    split_of = _split_of_rows(store)
    outside = int((split_of < 0).sum())
    splits = [[name, int((split_of == i).sum())] for i, name in enumerate(store.split_names)]
    return {
        "splits": splits + [["in no split", outside]] * (outside > 0),
        "presence": [[list(names), count] for names, count in list(count_patterns(store).items())[:LISTED]],
        "rejected": {"count": store.manifest.rejected, "first": rejected(Path(store.path))},
        "leaks": leaks(store, split_of),
    }


def rejected(folder: Path) -> list[list[str]]:
    """The first samples that were left out when the store was made: id and reason."""
    file = folder / REJECTS
    if not file.is_file():
        return []
    with file.open(encoding="utf-8") as lines:
        return [_reject(json.loads(line)) for line, _ in zip(lines, range(LISTED), strict=False)]


def _reject(line: dict[str, Any]) -> list[str]:
    return [str(line.get("id", "?")), str(line.get("reason", ""))]


def leaks(store: Store, split_of: np.ndarray) -> list[dict[str, Any]]:
    """Sentences on what splits share. `found`: whether it is a leak; None = not checked."""
    if len(store.split_names) < 2:
        return [{"found": None, "text": "There is one split, so nothing can leak between splits."}]
    made = [_groups(store, column, split_of) for column in store.group_names]
    if not made:
        made = [{"found": None, "text": "The store keeps no groups (preprocess --group COLUMN), so none was compared."}]
    return [*made, *_copies(store, split_of)]


def _groups(store: Store, column: str, split_of: np.ndarray) -> dict[str, Any]:
    splits = _splits_of(store.group(column), split_of)
    shared = [name for name, each in splits.items() if len(each) > 1]
    text = f"{counted(len(splits), 'group')} by {column}: "
    if not shared:
        return {"found": False, "text": f"{text}no group is in two splits."}
    several = f"{len(shared)} of them are in more than one split, such as {', '.join(shared[:3])}"
    return {"found": True, "text": f"{text}{several}. A held-out sample whose group was trained on is no fair test."}


def _copies(store: Store, split_of: np.ndarray) -> list[dict[str, Any]]:
    """Whether rows of two splits hold exactly the same values."""
    digests = _digests(store)
    if digests is None:
        return []
    splits = _splits_of([row.tobytes() for row in digests], split_of)
    shared = sum(len(each) > 1 for each in splits.values())
    text = f"{counted(shared, 'sample')} with exact copies in another split." if shared else ""
    return [{"found": bool(shared), "text": text or "No sample has an exact copy in another split."}]


def _splits_of(keys: Iterable[Any], split_of: np.ndarray) -> dict[Any, set[int]]:
    """Key -> the splits of its rows; rows without key or split are left out."""
    splits: dict[Any, set[int]] = defaultdict(set)
    for key, split in zip(keys, split_of.tolist(), strict=True):
        if key is not None and split >= 0:
            splits[key].add(split)
    return splits


def _digests(store: Store) -> np.ndarray | None:
    """The digest of every row; None for data that is not stored."""
    try:
        return getattr(store, "digests", None)
    except (KeyError, MultiviewError):
        return None


def _split_of_rows(store: Store) -> np.ndarray:
    """The position of every row's split, -1 = in none."""
    split_of = np.full(len(store), -1)
    for i, name in enumerate(store.split_names):
        split_of[store.rows(name)] = i
    return split_of
