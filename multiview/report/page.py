"""Renders the page: one HTML file that holds its style, script and pictures and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from multiview.errors import MultiviewError, printable
from multiview.files import replace_text, size_text
from multiview.report.curves import figures
from multiview.report.drawing import svg
from multiview.report.gather import Gathered, gather, require_runs
from multiview.report.matrix import matrix
from multiview.report.several import several
from multiview.report.verdict import cards, subsets

NAME = "report.html"
MOST_BYTES = 5_000_000
LETTERS = 200
"""Most characters of the name of a sample."""
GALLERY = ("split", "views", "classes", "samples", "table", "queries", "failures", "map", "pictures")
"""The parts of report/data.json that the script of the page reads."""
NO_PICTURES = "The pictures are left out, because the page would be larger than 5 MB with them."


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


def html_of(runs: Sequence[Gathered]) -> str:
    """The text of the page; without pictures when it would be too large."""
    text = _rendered(runs, pictures=True)
    return text if len(text.encode("utf-8", "replace")) <= MOST_BYTES else _rendered(runs, pictures=False)


def _rendered(runs: Sequence[Gathered], *, pictures: bool) -> str:
    context = _of_one(runs[0], pictures) if len(runs) == 1 else _of_several(runs)
    plotly, script = (_asset(name) for name in ("plotly-basic.min.js", "page.js"))
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
        gallery["pictures"] = {}
    notes = [*run.notes, *([] if pictures else [NO_PICTURES])]
    drawn = figures([run], [0])
    return {
        "title": run.name,
        "single": True,
        "run": run,
        "cards": cards(run),
        "notes": notes,
        "graph": svg(run) if run.views else "",
        "matrix": matrix(run.rows, run.views),
        "views": run.views,
        "figures": drawn,
        "subsets": subsets(run),
        "samples": gallery.get("samples", []),
        "store": _store(run),
        "reproduce": [_reproduce(run)],
        "data": {"figures": drawn, "gallery": gallery, "several": False},
    }


def _of_several(runs: Sequence[Gathered]) -> dict[str, Any]:
    both = several(runs)
    colours = [both.colour_of(run.name) for run in runs]
    drawn = figures(runs, colours)
    return {
        "title": f"{len(runs)} runs",
        "single": False,
        "runs": list(zip(runs, [cards(run) for run in runs], strict=True)),
        "several": both,
        "cards": [both.card],
        "notes": [note for run in runs for note in run.notes],
        "matrices": [(run.name, run.views, matrix(run.rows, run.views)) for run in runs],
        "figures": drawn,
        "reproduce": [_reproduce(run) for run in runs],
        "data": {"figures": drawn, "gallery": {}, "several": True},
    }


def _store(run: Gathered) -> list[tuple[str, str]]:
    """What the data holds, in words; of the measured views only those of the run."""
    lines = [(str(heading), str(text)) for heading, text in run.data.get("store", [])]
    return [line for line in lines if not line[0].startswith("view ") or line[0][5:] in run.views]


def _reproduce(run: Gathered) -> dict[str, Any]:
    """How to make the run again, and what it took."""
    facts, cost = run.run.environment, run.cost
    took = []
    if isinstance(cost.get("seconds"), int | float):
        took.append(f"{cost['seconds']:.0f} s of training and evaluation (since the run was last started)")
    took += [
        f"at most {size_text(cost[key])} of {name}"
        for key, name in (("memory", "memory"), ("gpu", "GPU memory"))
        if isinstance(cost.get(key), int | float)
    ]
    packages = facts.get("packages") or {}
    return {
        "name": run.name,
        "folder": str(run.run.folder),
        "seed": run.run.config.get("seed"),
        "command": " ".join(map(str, facts.get("command") or [])),
        "versions": ", ".join(
            f"{name} {version}" for name, version in {"python": facts.get("python"), **packages}.items() if version
        ),
        "platform": facts.get("platform"),
        "git": facts.get("git"),
        "manifest": (facts.get("data") or {}).get("manifest"),
        "took": ", ".join(took),
        "config": yaml.safe_dump(run.run.config, sort_keys=False, allow_unicode=True),
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
        return value if value.startswith("data:image/jpeg;base64,") and value.isascii() else printable(value)
    return value
