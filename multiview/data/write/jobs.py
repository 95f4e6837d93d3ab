"""Jobs that cannot talk to each other write one store together: each a part, the last one joins."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from multiview import folderlock
from multiview.data.source import Source
from multiview.data.store import manifest
from multiview.data.write import storefolder
from multiview.data.write.finish import Report, report_missing
from multiview.data.write.merge import join_linked
from multiview.data.write.preprocess import preprocess
from multiview.data.write.settings import Part
from multiview.errors import MultiviewError
from multiview.folderlock import LockedError
from multiview.remote.address import is_address

WAIT_SECONDS = 0.5


def write_together(source: Source, root: Path | None, out: Path | str, *, shard: str | None, **options: Any) -> Report:
    """Writes part `shard` of the store `out`; when all parts are there, makes the store of them.

    Give all jobs the same `out`, in a folder that all see. The store has the bytes of one undivided
    run. A job that was lost is given again and continues. options: of `preprocess`.
    """
    part = Part.of(shard)
    if part is None:
        raise MultiviewError("--merge joins what several jobs write: give each job its --shard, such as 2/8, too.")
    if isinstance(out, str) and is_address(out):
        return preprocess(source, root, out, shard=shard, **options)
    out = Path(out)
    storefolder.refuse_other_folder(out)
    if (out / manifest.NAME).exists() and not options.get("overwrite"):
        return preprocess(source, root, out, **options)  # whole already, or the store of another command
    written = preprocess(source, root, _folder(out, part), shard=shard, **options)
    return _joined(out, part, written, bool(options.get("overwrite")))


def _folder(out: Path, part: Part) -> Path:
    return out / storefolder.PARTS / f"{part.number}-of-{part.count}"


def _missing(folders: list[Path]) -> list[int]:
    return [number for number, each in enumerate(folders, 1) if not (each / manifest.NAME).exists()]


def _joined(out: Path, part: Part, written: Report, overwrite: bool) -> Report:
    """The report on the store, or on this part while others are missing."""
    while True:
        try:
            with folderlock.locked(out):  # check, join and removal: no other job sees half of them
                return _joined_alone(out, part, written, overwrite)
        except LockedError:  # another job is at it
            time.sleep(WAIT_SECONDS)


def _joined_alone(out: Path, part: Part, written: Report, overwrite: bool) -> Report:
    """See `_joined`; this process holds the lock of `out`."""
    folders = [_folder(out, Part(number, part.count)) for number in range(1, part.count + 1)]
    missing = _missing(folders)
    if missing and _is_joined(out, folders):
        return _report_joined(out, written)
    if missing:
        return report_missing(out, written, part, missing)
    report = join_linked(out, folders, overwrite)
    shutil.rmtree(out / storefolder.PARTS, ignore_errors=True)
    return report


def _is_joined(out: Path, folders: list[Path]) -> bool:
    """Whether another job has joined the parts in the meantime, and removed them."""
    return (out / manifest.NAME).exists() and not any(each.exists() for each in folders)


def _report_joined(out: Path, written: Report) -> Report:
    """The report of a job whose part another job has joined."""
    return replace(written, out=out, already=True, notes=(f"{out} is whole: another job has joined the parts.",))
