"""`multiview report`: the page of one run, or of several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multiview.errors import MultiviewError
from multiview.exits import DONE
from multiview.terminal import say


@dataclass(frozen=True, kw_only=True)
class Report:
    """Writes the page of a run as one HTML file that opens offline.

    The page shows the verdict, the graph, every view against every view, the curves, a gallery, a
    map, the data, and how to make the run again. With several runs, it shows the options that
    differ, the curves over each other, and intervals over seeds.

    Args:
        run: run folders.
        out: the file, also as -o (null = report.html in the folder of a single run, else in the
            working folder).
        gallery: first compute the pictures, neighbours and map again from the data and the newest
            checkpoint. Training does so at its end.
        trust_code: with --gallery, run the Python file that the run names as its recipe, although
            you have never trained with that file here. Read the file first.
    """

    run: tuple[str, ...]
    out: str | None = None
    gallery: bool = False
    trust_code: bool = False


def report(options: Report) -> int:
    """multiview report RUN [RUN ...] [-o page.html]."""
    from multiview.report.page import write_page

    folders = [Path(folder) for folder in options.run]
    if options.gallery:
        _write_galleries(folders, options.trust_code)
    say(f"written: {write_page(folders, Path(options.out) if options.out else None)}")
    return DONE


def _write_galleries(folders: list[Path], trust_code: bool) -> None:
    from multiview.gallery.write import write_gallery
    from multiview.load_run import load

    for folder in folders:
        try:
            write_gallery(load(folder, trust_code=trust_code))
        except OSError as cause:
            raise MultiviewError(f"{folder} cannot be written: {cause}. Make room, or leave out --gallery.") from cause
