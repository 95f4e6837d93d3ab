"""The commands that turn data into vectors, and search among them."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.commands.embed_options import Embed as Embed
from multiview.commands.embed_options import Search as Search
from multiview.commands.models import model_of, run_of
from multiview.errors import MultiviewError, printable
from multiview.exits import DONE
from multiview.plurals import counted
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.embed.gallery import Gallery
    from multiview.embed.late_fusion import LateFusion
    from multiview.portable.model import PortableModel


def embed(options: Embed) -> int:
    """multiview embed MODEL INPUT OUT [options]."""
    _require_readable(options.input)
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
    for sentence in opened.left_out:
        say(sentence)
    return DONE


def _require_readable(spec: str) -> None:
    """Raises MultiviewError for an INPUT that is no data, before a model is read.

    A CSV file is left to the source of the model's own data.
    """
    from multiview.data.load.detect_source import detect_source
    from multiview.data.load.open_data import require_there

    require_there(spec)
    if Path(spec).is_file() and Path(spec).suffix.lower() not in (".csv", ".tsv"):
        detect_source(Path(spec))


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
    late = _late_fusion(options, gallery, model) if options.late_fusion else None
    view = late.query if late else options.view
    found = answers(gallery, words, model, view, options.within, options.k, late)
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


def _late_fusion(options: Search, gallery: Gallery, model: PortableModel | None) -> LateFusion:
    """The linear model that is fitted to the data of a run; a note says which it is."""
    from multiview.embed.late_fusion import LateFusion
    from multiview.embed.own_data import store_of_run
    from multiview.runs import environment

    run = run_of(Path(options.gallery))
    if run is None or model is None:
        raise MultiviewError(
            f"--late_fusion fits a linear model to the training samples of a run, and {options.gallery} is a file of "
            "vectors; give the run as GALLERY."
        )
    query = options.view or gallery.views[0]
    late = LateFusion(model, store_of_run(environment(run)["data"]), query, options.within or query, gallery.ids)
    print(f"note: {late.words}", file=sys.stderr)
    return late


def _one_line(text: str) -> str:
    """The text with its line ends and tabs written as codes; file names may hold them."""
    return text.replace("\n", "\\n").replace("\t", "\\t")
