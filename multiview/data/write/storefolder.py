"""The folder that a store is written to: what it may hold before, and how it becomes a store."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from multiview import folderlock
from multiview.data.store import columnfile, manifest
from multiview.data.store.columnfile import ColumnsOf
from multiview.data.store.manifest import SHARD_NAME, Manifest, Provenance
from multiview.data.store.shard import Reject, reject_line
from multiview.data.write.duplicates import Copy
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, replace_text
from multiview.parsing import read_text

REJECTS = "rejects.jsonl"
DUPLICATES = "duplicates.jsonl"
JOURNAL = ".unfinished"
PARTS = ".parts"
"""The folder, within that of a store, of the parts that jobs write until they are joined."""
_WHOLE = "|".join([SHARD_NAME.pattern, *map(re.escape, (manifest.NAME, columnfile.NAME, REJECTS, DUPLICATES, JOURNAL))])
OWNED = re.compile(rf"({_WHOLE})((\.[\w.-]+)?{re.escape(PARTIAL)})?")


class OccupiedError(MultiviewError):
    """The output folder holds another store, or remains of one."""


@contextmanager
def opened(out: Path, origin: Provenance, overwrite: bool) -> Iterator[Manifest | None]:
    """Makes, locks and prepares the folder `out` for a store of this origin.

    Yields the manifest when that store is whole already. Raises MultiviewError when `out` holds
    anything else that may not be replaced.
    """
    refuse_other_folder(out)
    make_folder(out)
    with folderlock.locked(out):
        yield begin(out, origin, overwrite)


def refuse_other_folder(out: Path) -> None:
    """Raises MultiviewError for a file, and for a folder with files that belong to no store."""
    if out.exists() and not out.is_dir():
        raise MultiviewError(f"{out} is a file; give a folder that does not exist yet.")
    if not out.is_dir() or (out / manifest.NAME).exists() or (out / JOURNAL).exists():
        return
    foreign = sorted(path.name for path in out.iterdir() if not _is_store_file(path) and path.name != PARTS)
    if foreign:
        raise MultiviewError(
            f"{out} is not empty and is no store (it holds {foreign[0]}); nothing was touched. "
            "Choose another OUT, a folder that does not exist yet."
        )


def _is_store_file(path: Path) -> bool:
    return bool(OWNED.fullmatch(path.name)) or path.name.startswith(folderlock.NAME)


def make_folder(out: Path) -> None:
    """Makes the folder. Raises MultiviewError when the disk refuses."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise MultiviewError(f"{out} cannot be made: {cause}. Choose another OUT.") from cause


def begin(out: Path, origin: Provenance, overwrite: bool) -> Manifest | None:
    """Prepares the locked folder; returns the manifest when the store is whole already.

    Shards that an earlier run of the same origin finished stay. Raises MultiviewError when another
    store is there and `overwrite` is not set.
    """
    remove_partial_files(out)
    if overwrite:
        _remove_store(out)
    elif (out / manifest.NAME).exists():
        whole = _whole_store(out, origin)
        if whole:
            (out / JOURNAL).unlink(missing_ok=True)
            return whole
    elif (out / JOURNAL).exists():
        if not _continues(out, origin):
            raise occupied(out, "an unfinished store of another command, or of an input that has changed since")
    elif any(_is_store_file(path) and not path.name.startswith(folderlock.NAME) for path in out.iterdir()):
        raise occupied(out, "shards without a manifest")
    publish_text(out / JOURNAL, journal_text(origin))
    (out / manifest.NAME).unlink(missing_ok=True)
    return None


def remove_partial_files(out: Path) -> None:
    """Removes unfinished files, such as the last shard of a run that was killed."""
    for file in out.glob(f"*{PARTIAL}"):
        if OWNED.fullmatch(file.name):
            file.unlink(missing_ok=True)


def journal_text(origin: Provenance) -> str:
    """The text that tells of which command the unfinished store is."""
    return f"{origin.origin()} {origin.part or ''}".strip() + f"\n{origin.files or ''}".rstrip() + "\n"


def _continues(out: Path, origin: Provenance) -> bool:
    """Whether the unfinished store is of this origin; older versions wrote no second line.

    A run that ended with too many rejects left a list of them, and asked to mend the files: these
    files may have changed. A whole shard that lacks samples is then written again.
    """
    lines = read_text(out / JOURNAL, "Delete it to begin again.").splitlines()
    wanted = journal_text(origin).splitlines()
    return lines in (wanted, wanted[:1]) or (lines[:1] == wanted[:1] and (out / REJECTS).exists())


def _whole_store(out: Path, origin: Provenance) -> Manifest | None:
    """The manifest of the store of this origin; None when a shard is missing or has a wrong size.

    Raises OccupiedError for a store of another origin.
    """
    found = Manifest.read(out / manifest.NAME)
    if found.provenance.origin() != origin.origin() or found.provenance.part != origin.part:
        raise occupied(out, f"another store: {describe_difference(found.provenance, origin)}")
    if None not in (found.provenance.files, origin.files) and found.provenance.files != origin.files:
        raise occupied(out, f"an older store of {origin.input}: its files have other sizes or times today")
    sizes = {path.name: path.stat().st_size for path in out.glob("shard-*.h5")}
    return found if all(sizes.get(shard.name) == shard.size for shard in found.shards) else None


def describe_difference(there: Provenance, wanted: Provenance) -> str:
    """How the command that made a store differs from another one."""
    old, new = asdict(there), asdict(wanted)
    for name in ("source", "input", "shard_rows", "duplicates", "part"):
        if old[name] != new[name]:
            return f"its {name} is {old[name]}, not {new[name]}"
    for name, value in new["options"].items():
        if old["options"].get(name) != value:
            return f"it was made with {name}={old['options'].get(name)}, not {value}"
    return "the files of the input have changed since it was made"


def occupied(out: Path | str, content: str) -> OccupiedError:
    """The error for a place that holds something else."""
    return OccupiedError(f"{out} holds {content}. Replace it with --overwrite, or choose another OUT.")


def _remove_store(out: Path) -> None:
    # The manifest goes first: after a kill, the remaining files are no store.
    owned = sorted(
        (path for path in out.iterdir() if OWNED.fullmatch(path.name)), key=lambda path: path.name != manifest.NAME
    )
    for path in owned:
        path.unlink()


def write_rejects(out: Path, rejects: Sequence[Reject]) -> None:
    """Writes `rejects.jsonl`, one line per rejected sample; writes no file when there is none."""
    _write_lines(out / REJECTS, [reject_line(each) for each in rejects])


def write_duplicates(out: Path, copies: Sequence[Copy]) -> None:
    """Writes `duplicates.jsonl`, one line per exact copy; writes no file when there is none."""
    _write_lines(out / DUPLICATES, [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in copies])


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    if lines:
        publish_text(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def finish(
    out: Path, whole: Manifest, rejects: Sequence[Reject], copies: Sequence[Copy], columns: ColumnsOf | None = None
) -> None:
    """Makes the folder a store. The manifest is written last. columns: see `write_columns`."""
    write_rejects(out, rejects)
    write_duplicates(out, copies)
    with _publishing(out / columnfile.NAME):
        columnfile.write_columns(out, whole, columns=columns)
    publish_text(out / manifest.NAME, whole.to_json())
    (out / JOURNAL).unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Writes a small file at once: its name never stands for half of the text."""
    with _publishing(path):
        replace_text(path, text)


@contextmanager
def _publishing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise MultiviewError(
            f"{path} cannot be written: {cause}. Mend the cause and run the same command again."
        ) from cause
