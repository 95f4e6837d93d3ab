"""The vectors of the data that a run was trained on, kept beside the run for `multiview search`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.load.memory import SPEC as MEMORY
from multiview.data.write.progress import progress_bar
from multiview.embed.gallery import Gallery, read_gallery
from multiview.embed.parts import JOB, about_job, embed_into, parts_folder, same_job
from multiview.embed.tables import METADATA
from multiview.embed.texts import is_text
from multiview.errors import MultiviewError, printable
from multiview.parsing import parsing, read_json
from multiview.portable.model import PortableModel
from multiview.portable.opening import Opened, open_for

EVERY = 8192
"""Samples between two saved parts."""


def gallery_of_run(
    run: Path, data: Mapping[str, Any], model: PortableModel, words: Sequence[str], within: str | None
) -> Gallery:
    """The vectors of all samples of a run: those that an earlier search left, or made now.

    Embeddings z are taken when a text is searched or `within` names a view, else features h. The
    file is `RUN/vectors-h.npz` or `RUN/vectors-z.npz`. It is made again after the model or the
    data have changed.

    Args:
        run: the run folder.
        data: what its environment.json says about the data.
        model: the model of the run.
        words: the queries.
        within: the view that is searched, if one is named.
    """
    spec = _place(data)
    opened = open_for(model, spec)
    for sentence in opened.left_out:
        print(f"note: {printable(sentence)}", file=sys.stderr)
    ids = set(opened.store.ids)
    if within is not None or any(word not in ids and _is_missing_text(word) for word in words):
        opened = open_for(model, spec, what="z")
        return _made(run / "vectors-z.npz", opened, "z", spec)
    return _made(run / "vectors-h.npz", opened, "h", spec)


def own_samples(gallery: Gallery, words: Sequence[str]) -> list[str]:
    """The queries, with a file of the run's data as the id of its sample."""
    rows = {Path(path).absolute(): row for row, path in enumerate(gallery.paths) if path}
    return [gallery.ids[rows[place]] if (place := Path(word).absolute()) in rows else word for word in words]


def _place(data: Mapping[str, Any]) -> str:
    """The files that --data named, whose names the answers show, or else the store made of them."""
    spec, path = str(data["spec"]), str(data.get("path", ""))
    if spec == MEMORY:
        raise MultiviewError(
            "the run was trained on data in memory, which no file holds: write its vectors to a file and search that: "
            "`multiview embed RUN/model STORE vectors.npz`, where STORE holds the same modalities."
        )
    return path if Path(path).exists() and not Path(spec).exists() else spec


def store_of_run(data: Mapping[str, Any]) -> str:
    """The store that was made of the data of a run; else the data that --data named."""
    path = str(data.get("path", ""))
    return path if path and Path(path).exists() else _place(data)


def _is_missing_text(word: str) -> bool:
    return is_text(word) and not Path(word).exists()


def _made(file: Path, opened: Opened, what: str, spec: str) -> Gallery:
    about = about_job(opened, spec, what, "float32") | {"manifest": opened.store.manifest.hash}
    if not _is_of(file, about):
        file.unlink(missing_ok=True)
        _drop_parts_of_others(parts_folder(file), about)
        with progress_bar(f"embedding {spec}") as progress:
            embed_into(file, opened, about, every=EVERY, workers=0, progress=progress)
    return read_gallery(file)


def _drop_parts_of_others(folder: Path, about: Mapping[str, Any]) -> None:
    """Removes the parts of a killed search that read other data or another model."""
    job = folder / JOB
    if job.is_file() and not same_job(about).items() <= same_job(read_json(job, f"Remove {folder}.")).items():
        shutil.rmtree(folder)


def _is_of(file: Path, about: Mapping[str, Any]) -> bool:
    """Whether a whole file holds these vectors."""
    if not file.is_file() or parts_folder(file).exists():
        return False
    with parsing(str(file), "Remove it, and give the same command again."), np.load(file) as arrays:
        noted = json.loads(str(arrays[METADATA]))
    return bool(noted == json.loads(json.dumps(about)))
