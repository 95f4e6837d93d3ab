"""The commands that turn data into vectors, and search among them."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from multiview.commands.models import model_of, run_of
from multiview.errors import MultiviewError, printable
from multiview.exits import DONE
from multiview.plurals import counted
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.embed.gallery import Gallery
    from multiview.portable.model import PortableModel


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Writes the vectors of every sample of INPUT to OUT: a Parquet file, .npz or .csv.

    Each row has id, path, split, label and factors of a sample, and a vector for every view of the
    model. A killed command continues when it is given again. Files that cannot be read are listed
    in OUT.rejected.csv.

    Args:
        model: a model folder, or a run.
        input: a store, a folder of files, a manifest, or scenes:COUNT. Files are read like those of
            the training.
        out: the file to write; its ending chooses the format.
        what: h (features, for probes and clustering) or z (the embedding that was trained, for
            finding one view by another).
        dtype: float32 or float16.
        split: one split (null = all samples).
        views: some of the views (null = all whose modality INPUT holds).
        workers: processes that read the data, 0 = none beside this one.
        device: where the encoders run, such as cuda (null = a GPU when there is one).
        save_every: samples between two saved parts.
        overwrite: replace OUT and its unfinished parts.
    """

    model: str
    input: str
    out: str
    what: Literal["h", "z"] = "h"
    dtype: Literal["float32", "float16"] = "float32"
    split: str | None = None
    views: tuple[str, ...] | None = None
    workers: int = 0
    device: str | None = None
    save_every: int = 8192
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Search:
    """Finds the samples of GALLERY that are most similar to each QUERY.

    Similarity is the cosine of two vectors. The search compares with every sample of the gallery.

    Args:
        gallery: a run, whose own data are searched, or a file that `multiview embed` wrote. The
            first search of a run embeds its data and keeps the vectors in the run's folder.
        query: ids of the gallery, files, folders or stores. Any other words are a text, which a
            view of texts of the model reads.
        model: the model of the gallery; needed for files and texts, but not for a run.
        view: the view of the queries (null = the first view of the gallery that they have).
        within: the view that is searched; `--in` means the same (null = the view of the query; for
            a text the first view that holds no texts). Another view needs a gallery of z; a run has
            one.
        k: how many samples to show.
        sheet: file of a picture of queries and found samples, for galleries of picture files.
    """

    gallery: str
    query: tuple[str, ...]
    model: str | None = None
    view: str | None = None
    within: str | None = None
    k: int = 10
    sheet: str | None = None

    aliases: ClassVar[Mapping[str, str]] = {"--in": "--within"}


def embed(options: Embed) -> int:
    """multiview embed MODEL INPUT OUT [options]."""
    from multiview.data.write.progress import progress_bar
    from multiview.embed.parts import about_job, embed_into
    from multiview.embed.tables import require_writer
    from multiview.portable.opening import open_for

    out = Path(options.out)
    require_writer(out)
    _clear(out, options.overwrite)
    model = model_of(Path(options.model)).to(_device(options.device))
    opened = open_for(model, options.input, what=options.what, split=options.split, views=options.views)
    about = about_job(opened, options.input, options.what, options.dtype)
    with progress_bar(f"embedding {options.input}") as progress:
        count, rejected = embed_into(
            out, opened, about, every=options.save_every, workers=options.workers, progress=progress
        )
    if not count and rejected:
        out.unlink()
        raise MultiviewError(_nothing_read(out))
    bad = f" {counted(rejected, 'file')} could not be read: {out}.rejected.csv." if rejected else ""
    say(f"wrote {counted(count, 'row')} of {', '.join(each['name'] for each in about['columns'])} to {out}.{bad}")
    return DONE


def _nothing_read(out: Path) -> str:
    with Path(f"{out}.rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first, samples = rows[0], {row["id"] for row in rows}
    why = f"{counted(len(samples), 'sample')} rejected, the first because {printable(first['reason'])}"
    return f"nothing could be read: {why}. All are listed in {out}.rejected.csv."


def _device(name: str | None) -> str:
    import torch

    try:
        return str(torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu")))
    except RuntimeError as cause:
        raise MultiviewError(f"'{name}' is no device; give cpu, cuda, or cuda:1.") from cause


def _clear(out: Path, overwrite: bool) -> None:
    """Removes an older result with --overwrite; raises MultiviewError when there is one without."""
    from multiview.embed.parts import parts_folder

    if overwrite:
        out.unlink(missing_ok=True)
        shutil.rmtree(parts_folder(out), ignore_errors=True)
    elif out.exists() and not parts_folder(out).exists():  # parts: a kill came just before they were removed
        raise MultiviewError(f"{out} exists already; give --overwrite to replace it, or choose another OUT.")


def search(options: Search) -> int:
    """multiview search GALLERY QUERY... [options]."""
    from multiview.embed.queries import answers

    gallery, model, words = _searched(options)
    found = answers(gallery, words, model, options.view, options.within, options.k)
    for answer in found:
        say(_one_line(f"{answer.name} ({answer.view} in {answer.within})"))
        for similarity, row in zip(answer.similarities, answer.rows, strict=True):
            path = f"  {gallery.paths[row]}" if gallery.paths[row] else ""
            say(_one_line(f"  {similarity:.4f}  {gallery.ids[row]}{path}"))
    if options.sheet:
        from multiview.embed.sheet import draw_sheet

        print(f"drawn: {draw_sheet(Path(options.sheet), gallery, found)}", file=sys.stderr)
    return DONE


def _searched(options: Search) -> tuple[Gallery, PortableModel | None, Sequence[str]]:
    """The gallery, the model that reads queries, and the queries; a run is its own model."""
    from multiview.embed.gallery import read_gallery
    from multiview.runs import environment

    run = run_of(Path(options.gallery))
    model = model_of(Path(options.model)) if options.model else model_of(run) if run else None
    if run is None or model is None:
        return read_gallery(Path(options.gallery)), model, options.query
    from multiview.embed.own_data import gallery_of_run, own_samples

    gallery = gallery_of_run(run, environment(run)["data"], model, options.query, options.within)
    return gallery, model, own_samples(gallery, options.query)


def _one_line(text: str) -> str:
    """The text with its line ends and tabs written as codes; file names may hold them."""
    return text.replace("\n", "\\n").replace("\t", "\\t")
