"""The folder that a store is written to: whose it is, how far it got, and how it becomes whole."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from multiview.data.store import manifest
from multiview.data.store.manifest import SHARD_NAME, Manifest, Provenance
from multiview.data.store.shard import Reject, reject_line
from multiview.data.write import lock
from multiview.data.write.duplicates import Copy
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, replace_text

REJECTS = "rejects.jsonl"
DUPLICATES = "duplicates.jsonl"
JOURNAL = ".unfinished"
_WHOLE = "|".join([SHARD_NAME.pattern, *map(re.escape, (manifest.NAME, REJECTS, DUPLICATES, JOURNAL))])
OWNED = re.compile(rf"({_WHOLE})((\.[\w.-]+)?{re.escape(PARTIAL)})?")


class OccupiedError(MultiviewError):
    """The output folder holds another store, or what is left of one."""


def refuse_strangers(out: Path) -> None:
    """Raises MultiviewError when `out` is a file, or a folder with something in it that no store has put there."""
    if out.exists() and not out.is_dir():
        raise MultiviewError(f"{out} is a file; give a folder that does not exist yet.")
    if not out.is_dir() or (out / manifest.NAME).exists() or (out / JOURNAL).exists():
        return
    strange = sorted(path.name for path in out.iterdir() if not _ours(path))
    if strange:
        raise MultiviewError(
            f"{out} is not empty and is no store (it holds {strange[0]}); nothing was touched. "
            "Choose another OUT, a folder that does not exist yet."
        )


def _ours(path: Path) -> bool:
    return bool(OWNED.fullmatch(path.name)) or path.name.startswith(lock.NAME)


def make(out: Path) -> None:
    """Makes the folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise MultiviewError(f"{out} cannot be made: {cause}. Choose another OUT.") from cause


def begin(out: Path, origin: Provenance, overwrite: bool) -> Manifest | None:
    """Readies the locked folder `out` for a store of this origin; returns the manifest when that store is whole
    already.

    What an earlier run of the same origin finished stays. Raises MultiviewError when another store is there and
    `overwrite` is not set.
    """
    sweep(out)
    if overwrite:
        _clear(out)
    elif (out / manifest.NAME).exists():
        whole = _same_store(out, origin)
        if whole:
            (out / JOURNAL).unlink(missing_ok=True)
            return whole
    elif (out / JOURNAL).exists():
        if (out / JOURNAL).read_text() != _journal(origin):
            raise _occupied(out, "an unfinished store of another command, or of an input that has changed since")
    elif any(_ours(path) and not path.name.startswith(lock.NAME) for path in out.iterdir()):
        raise _occupied(out, "shards without a manifest")
    publish(out / JOURNAL, _journal(origin))
    (out / manifest.NAME).unlink(missing_ok=True)
    return None


def sweep(out: Path) -> None:
    """Removes what is left of files that were being written: the shard in hand of a run that was killed."""
    for left in out.glob(f"*{PARTIAL}"):
        if OWNED.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _journal(origin: Provenance) -> str:
    return f"{origin.origin()} {origin.part or ''}".strip() + "\n"


def _same_store(out: Path, origin: Provenance) -> Manifest | None:
    """The manifest of a whole store of this origin; None when its shards have suffered and must be looked at one by
    one.
    """
    found = Manifest.from_json((out / manifest.NAME).read_text(encoding="utf-8"))
    if found.provenance.origin() != origin.origin() or found.provenance.part != origin.part:
        raise _occupied(out, f"another store: {_difference(found.provenance, origin)}")
    sizes = {path.name: path.stat().st_size for path in out.glob("shard-*.h5")}
    return found if all(sizes.get(shard.name) == shard.size for shard in found.shards) else None


def _difference(there: Provenance, wanted: Provenance) -> str:
    old, new = asdict(there), asdict(wanted)
    for name in ("source", "input", "shard_rows", "duplicates", "part"):
        if old[name] != new[name]:
            return f"its {name} is {old[name]}, not {new[name]}"
    for name, value in new["options"].items():
        if old["options"].get(name) != value:
            return f"it was made with {name}={old['options'].get(name)}, not {value}"
    return "the files of the input have changed since it was made"


def _occupied(out: Path, what: str) -> OccupiedError:
    return OccupiedError(f"{out} holds {what}. Replace it with --overwrite, or choose another OUT.")


def _clear(out: Path) -> None:
    # The manifest goes first: whatever is left after a kill is no store.
    owned = sorted(
        (path for path in out.iterdir() if OWNED.fullmatch(path.name)), key=lambda path: path.name != manifest.NAME
    )
    for path in owned:
        path.unlink()


def write_rejects(out: Path, rejects: Sequence[Reject]) -> None:
    """Writes `rejects.jsonl`, one line a sample; there is no such file when nothing was rejected."""
    _write_lines(out / REJECTS, [reject_line(each) for each in rejects])


def write_duplicates(out: Path, copies: Sequence[Copy]) -> None:
    """Writes `duplicates.jsonl`, one line a sample that is an exact copy of another; no file when there is none."""
    _write_lines(out / DUPLICATES, [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in copies])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    if lines:
        publish(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def finish(out: Path, whole: Manifest, rejects: Sequence[Reject], copies: Sequence[Copy]) -> None:
    """Makes the folder a store: the manifest comes last."""
    write_rejects(out, rejects)
    write_duplicates(out, copies)
    publish(out / manifest.NAME, whole.to_json())
    (out / JOURNAL).unlink(missing_ok=True)


def publish(path: Path, text: str) -> None:
    """Writes a small file so that its name never stands for a part of it."""
    try:
        replace_text(path, text)
    except OSError as cause:
        raise MultiviewError(f"{path} cannot be written: {cause}. Mend that and run the same command again.") from cause
