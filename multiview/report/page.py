"""Renders the page: one HTML file that holds its style, script and pictures and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from multiview.errors import MultiviewError, printable
from multiview.files import replace_text
from multiview.report.curves import figures
from multiview.report.data_facts import data_facts, store_lines
from multiview.report.drawing import svg
from multiview.report.further_cards import further_cards
from multiview.report.gather import Gathered, gather, require_runs
from multiview.report.matrix import compared, matrix
from multiview.report.measured import legend, tables
from multiview.report.reproduce import reproduce
from multiview.report.several import several
from multiview.report.upset import upsets
from multiview.report.verdict import Card, cards, subsets

NAME = "report.html"
MOST_BYTES = 5_000_000
LETTERS = 200
"""Most characters of the name of a sample."""
GALLERY = (
    "split",
    "views",
    "classes",
    "samples",
    "table",
    "queries",
    "orders",
    "duplicates",
    "failures",
    "map",
    "pictures",
    "sounds",
    "numbers",
)
"""The parts of report/data.json that the script of the page reads."""
DATA = re.compile(r"data:(image/jpeg|audio/mpeg);base64,[A-Za-z0-9+/=]+\Z")
"""Pictures and sounds, which need no check of every character."""
NO_PICTURES = "The pictures and sounds are left out, because the page would be larger than 5 MB with them."
SCRIPTS = ("page.js", "curves.js", "samples.js", "gallery.js", "map.js", "filter.js")
"""The parts of the script of the page, in order."""


def write_page(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the page of one run or of several, and returns its path.

    Args:
        folders: run folders.
        out: the file (None = report.html in the folder of a single run, else in the working
            folder).

    Raises MultiviewError for a folder that is no run, and when the file cannot be written.
    """
    require_runs(folders)
    runs = gather(folders)
    file = out or (folders[0] / NAME if len(folders) == 1 else Path(NAME))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, html_of(runs))
    except OSError as cause:
        raise MultiviewError(f"{file} cannot be written: {cause.strerror or cause}; give another --out.") from cause
    return file


def write_page_with(runs: Sequence[Gathered], title: str, own: Sequence[Card], file: Path) -> None:
    """Writes the page of several runs with a title and a verdict of its own.

    Args:
        runs: what `gather` found; two or more.
        title: of the page.
        own: the cards of the verdict.
        file: where to.
    """
    context = _of_several(runs)
    both = replace(context["several"], tests=[])
    replace_text(file, _html({**context, "title": title, "cards": own, "several": both}))


def html_of(runs: Sequence[Gathered]) -> str:
    """The text of the page; without pictures when it would be too large."""
    text = _rendered(runs, pictures=True)
    return text if len(text.encode("utf-8", "replace")) <= MOST_BYTES else _rendered(runs, pictures=False)


def _rendered(runs: Sequence[Gathered], *, pictures: bool) -> str:
    return _html(_of_one(runs[0], pictures) if len(runs) == 1 else _of_several(runs))


def _html(context: Mapping[str, Any]) -> str:
    """The template with its style and scripts."""
    plotly = _asset("plotly-basic.min.js")
    script = "\n".join(['"use strict";', "(() => {", *(_asset(name) for name in SCRIPTS), "})();"])
    page = environment().from_string(_asset("page.html.j2"))
    return page.render(
        **{**context, "data": Markup(_as_json(context["data"]))},
        style=Markup(_asset("style.css")),
        plotly=Markup(plotly),
        script=Markup(script),
        policy=Markup(" ".join(f"'sha256-{_digest(text)}'" for text in (plotly, script))),
    )


def _of_one(run: Gathered, pictures: bool) -> dict[str, Any]:
    gallery = {key: run.data[key] for key in GALLERY if key in run.data}
    if "samples" in gallery:
        gallery["samples"] = [{**each, "id": each["id"][:LETTERS]} for each in gallery["samples"]]
    if not pictures:
        gallery |= {"pictures": {}, "sounds": {}}
    notes = [*run.notes, *([] if pictures else [NO_PICTURES])]
    drawn, sets, views = figures([run], [0]), upsets(run.rows), compared(run.rows, run.views)
    return {
        "title": run.name,
        "single": True,
        "run": run,
        "cards": [*cards(run), *further_cards(run)],
        "legend": legend(run.rows),
        "notes": notes,
        "graph": svg(run) if run.views else "",
        "matrix": matrix(run.rows, views),
        "views": views,
        "figures": drawn,
        "tables": tables(run.rows),
        "subsets": subsets(run),
        "upsets": sets,
        "samples": gallery.get("samples", []),
        "store": store_lines(run),
        "facts": data_facts(run),
        "reproduce": [reproduce(run)],
        "data": {"figures": drawn, "upsets": sets, "gallery": gallery, "several": False},
    }


def _of_several(runs: Sequence[Gathered]) -> dict[str, Any]:
    both = several(runs)
    colours = [both.colour_of(run.name) for run in runs]
    drawn = figures(runs, colours)
    shown = [(run, compared(run.rows, run.views)) for run in runs]
    return {
        "title": f"{len(runs)} runs",
        "single": False,
        "runs": list(zip(runs, [cards(run) for run in runs], strict=True)),
        "several": both,
        "cards": [both.card],
        "legend": legend([row for run in runs for row in run.rows]),
        "notes": [note for run in runs for note in run.notes],
        "matrices": [(run.name, views, matrix(run.rows, views)) for run, views in shown],
        "figures": drawn,
        "reproduce": [reproduce(run) for run in runs],
        "data": {"figures": drawn, "upsets": [], "gallery": {}, "several": True},
    }


def environment() -> Environment:
    """Jinja that escapes every value, also control characters, and refuses unknown names."""

    def shown(value: Any) -> Any:
        return value if isinstance(value, Markup) else printable(value) if isinstance(value, str) else value

    jinja = Environment(
        autoescape=True, finalize=shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters["listed"] = lambda names: json.dumps([printable(name) for name in names])
    return jinja


def _asset(name: str) -> str:
    return files("multiview.report").joinpath("page", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _as_json(value: Any) -> str:
    """JSON for a script element: no `<`, `>` or `&`, no NaN, no control characters in texts."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {printable(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return value if DATA.match(value) else printable(value)
    return value
