"""Embeds data in parts, so that a killed command continues where it stopped."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.load.identity import ids_digest
from multiview.embed.tables import table_names, write_table
from multiview.errors import MultiviewError
from multiview.files import in_full, replace_bytes, replace_text
from multiview.folderlock import locked
from multiview.parsing import parsing, read_json
from multiview.portable.model import FUSED_HEAD
from multiview.portable.opening import BATCH, Opened
from multiview.portable.vectors import Rejected, Vectors, blocks, joined

JOB = "job.json"
LISTS = ("ids", "paths", "splits", "labels")
Progress = Callable[[int, int, int], None]


def parts_folder(out: Path) -> Path:
    """The folder beside `out` that holds the finished parts until the file is whole."""
    return out.with_name(f"{out.name}.parts")


def embed_into(
    out: Path, opened: Opened, about: dict[str, Any], *, every: int, workers: int, progress: Progress
) -> tuple[int, int]:
    """Writes the vectors of all samples to `out`; returns how many rows and rejected files.

    A command that was killed continues behind its last whole part. Files that cannot be read are
    listed in `OUT.rejected.csv`.

    Args:
        out: the file; its ending chooses the format.
        opened: data and model.
        about: what the file notes about itself.
        every: samples of a part, rounded up to whole batches.
        workers: processes that read the data.
        progress: called with the numbers of samples done, of all samples, and of rejected files.
    """
    folder = parts_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _claim(folder, out, about | {"ids": ids_digest(opened.store.ids), "every": every})
        _write_parts(folder, opened, -(-every // BATCH), workers, progress)

        def parts() -> Iterator[Vectors]:
            return (_read(path, opened) for path in _paths(folder))

        rejected = [each for part in parts() for each in part.rejected]
        _write_rejected(out, rejected)
        count = write_table(out, parts, opened.columns, opened.shown, about)
    shutil.rmtree(folder, ignore_errors=True)
    return count, len(rejected)


def _claim(folder: Path, out: Path, job: dict[str, Any]) -> None:
    """Notes what is embedded; raises MultiviewError when the parts are of something else."""
    file, wanted = folder / JOB, same_job(job)
    if file.is_file() and _paths(folder) and same_job(read_json(file, f"Remove {folder}.")) != wanted:
        raise MultiviewError(
            f"{folder} holds parts of another command (other data, model or options). Give that command again to "
            f"finish it, give --overwrite to start anew, or choose another OUT than {out}."
        )
    replace_text(file, json.dumps(wanted, sort_keys=True))


def same_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job as JSON has it; a relative and an absolute path of the same data are equal."""
    return json.loads(json.dumps({name: in_full(x) if name == "data" else x for name, x in job.items()}))


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.npz"))


def _write_parts(folder: Path, opened: Opened, size: int, workers: int, progress: Progress) -> None:
    """Writes the parts that are not there yet, each of `size` batches and as a whole."""
    first = len(_paths(folder)) * size
    done = sum(map(len, opened.batches[:first]))
    rejected, held = 0, list[Vectors]()
    for number, block in enumerate(blocks(opened, workers, first), first + 1):
        held.append(block)
        done, rejected = done + len(opened.batches[number - 1]), rejected + len(block.rejected)
        progress(done, opened.count, rejected)
        if number % size == 0 or number == len(opened.batches):
            replace_bytes(folder / f"part-{(number - 1) // size:08d}.npz", _packed(joined(held, opened)))
            held = []


def _packed(part: Vectors) -> bytes:
    lists = {name: getattr(part, name) for name in LISTS} | {"rejected": part.rejected}
    arrays: dict[str, Any] = {f"v{n}": part.values[column] for n, column in enumerate(part.columns)}
    arrays |= {f"p{n}": there for n, there in enumerate(part.present.values())}
    arrays |= {f"f{n}": values for n, values in enumerate(part.factors.values())}
    arrays["lists"] = np.frombuffer(json.dumps(lists).encode(), np.uint8)
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _read(path: Path, opened: Opened) -> Vectors:
    with parsing(str(path), "Remove this file, and give the same command again."), np.load(path) as arrays:
        lists = json.loads(arrays["lists"].tobytes())
        rejected = tuple(Rejected(*each) for each in lists.pop("rejected"))
        return Vectors(
            columns=opened.columns,
            values={column: arrays[f"v{n}"] for n, column in enumerate(opened.columns)},
            present={view: arrays[f"p{n}"] for n, view in enumerate(opened.shown)},
            factors={name: arrays[f"f{n}"] for n, name in enumerate(opened.store.manifest.factors)},
            rejected=rejected,
            **lists,
        )


def _write_rejected(out: Path, rejected: list[Rejected]) -> None:
    """Writes `OUT.rejected.csv`, or removes an older one when every file could be read."""
    file = out.with_name(f"{out.name}.rejected.csv")
    if not rejected:
        file.unlink(missing_ok=True)
        return
    text = StringIO()
    csv.writer(text).writerows([Rejected._fields, *rejected])
    replace_text(file, text.getvalue())


def about_job(opened: Opened, spec: str, what: str, dtype: str) -> dict[str, Any]:
    """What a file of vectors notes about itself."""
    names, parts = table_names(opened.columns), opened.model.parts

    def edges(view: str) -> Iterable[tuple[str, str]]:
        if view in opened.model.fusions:
            return ((edge, FUSED_HEAD) for edge in opened.model.layout.fusions[view]["edges"])
        return parts[view].edges.items()

    columns = [
        {**each._asdict(), "name": names[each], "edges": [edge for edge, head in edges(each.view) if head == each.head]}
        for each in opened.columns
    ]
    about: dict[str, Any] = {"schema": 1, "model": opened.model.digest, "what": what, "dtype": dtype}
    return about | {"data": spec, "columns": columns}
