"""The files that a store is made from, and their fingerprint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from multiview.data.listing.filetree import as_unicode, walk_entries
from multiview.data.source import Plan


def input_files(plan: Plan, root: Path) -> Iterator[Path]:
    """The files that a plan for `root` reads.

    The `read` of a plan may list them (`input_files()`). Otherwise they are `root`, or the files
    below the folder `root`, without what this program wrote there.
    """
    listed = getattr(plan.read, "input_files", None)
    if callable(listed):
        yield from listed()
    elif root.is_dir():
        yield from (root / name for name, kind in walk_entries(root, links=True) if kind == "file")
    else:
        yield root


def fingerprint(plan: Plan, root: Path | None) -> str | None:
    """sha256 of path, size and time of every file that the plan reads; None without an input."""
    if root is None:
        return None
    digest, top = hashlib.sha256(), root if root.is_dir() else root.parent
    for path in sorted(set(input_files(plan, root))):
        try:
            facts = path.stat()
        except OSError:  # a missing file is a bad sample
            continue
        name = as_unicode(os.path.relpath(path, top))
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
