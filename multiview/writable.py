"""Whether a folder can be made and written, asked before hours of work."""

from __future__ import annotations

import os
from pathlib import Path

from multiview.errors import MultiviewError


def refuse_unwritable(folder: Path, remedy: str) -> None:
    """Raises MultiviewError when `folder` cannot be made, or cannot be written.

    remedy: the last words of the message, such as `give another --out`.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        if not there.is_dir():
            kind = "a link to nothing" if there.is_symlink() and not there.exists() else "a file"
            raise MultiviewError(f"{there} is {kind}, so that {_use(folder, there)}; {remedy}.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise MultiviewError(f"{there} may not be written by this user, so that {_use(folder, there)}; {remedy}.")
    except OSError as cause:
        raise MultiviewError(f"{folder} cannot be used: {cause.strerror or cause}; {remedy}.") from cause


def _use(folder: Path, there: Path) -> str:
    return "nothing can be written there" if folder == there else f"the folder {folder} cannot be made"
