"""A run folder as the page needs it: the run, its warnings and resumes, and `report/data.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError
from multiview.jsonlines import read_lines
from multiview.measure.files import REPORT_DATA
from multiview.measure.rows import Measure
from multiview.parsing import MALFORMED
from multiview.runs import Run, read
from multiview.train.runfolder import COST, HEALTH, RESUMES

REMEDY = "remove the line that is no JSON object."


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Everything about one run.

    Args:
        name: how the page calls the run.
        run: what `multiview.runs.read` found.
        rows: the measured rows; empty when nothing was evaluated.
        warnings: of health.jsonl: `step`, `symptom`, `of`, `text`.
        resumes: the steps at which the run was continued.
        cost: `seconds`, `memory` (bytes of the main process), `gpu` (bytes); may be empty.
        data: of report/data.json; empty when the run has no such file.
        notes: what could not be read.
    """

    name: str
    run: Run
    rows: tuple[Measure, ...]
    warnings: tuple[dict[str, Any], ...]
    resumes: tuple[int, ...]
    cost: Mapping[str, Any]
    data: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def edges(self) -> dict[str, tuple[str, ...]]:
        """The edges of the graph with their views; without a stored graph, as metrics name them."""
        stored = self.data.get("graph", {}).get("edges", [])
        if stored:
            return {edge["name"]: tuple(edge["views"]) for edge in stored}
        names = dict.fromkeys(
            key.removeprefix("loss/") for line in self.run.metrics for key in line if key[:5] == "loss/"
        )
        return {name: tuple(name.split("-")) for name in names}

    @property
    def views(self) -> tuple[str, ...]:
        """The views of the graph."""
        stored = [view["name"] for view in self.data.get("graph", {}).get("views", [])]
        return tuple(stored or dict.fromkeys(view for views in self.edges.values() for view in views))


def gather(folders: Sequence[Path]) -> list[Gathered]:
    """The runs in folders; raises MultiviewError for a folder that is no run, or a damaged file."""
    names = [folder.resolve().name for folder in folders]
    return [_gathered(f, name if names.count(name) == 1 else str(f)) for f, name in zip(folders, names, strict=True)]


def _gathered(folder: Path, name: str) -> Gathered:
    run = read(folder)
    data, notes = _data(folder / REPORT_DATA)
    resumes = [line["step"] for line in read_lines(folder / RESUMES, REMEDY) if isinstance(line.get("step"), int)]
    warnings = [line for line in read_lines(folder / HEALTH, REMEDY) if isinstance(line.get("text"), str)]
    cost, more = _object(folder / COST)
    rows, steps, said = run.evaluation or (), tuple(dict.fromkeys(resumes)), (*notes, *more)
    warned = tuple(warnings)
    return Gathered(name=name, run=run, rows=rows, warnings=warned, resumes=steps, cost=cost, data=data, notes=said)


def _data(file: Path) -> tuple[dict[str, Any], list[str]]:
    value, notes = _object(file)
    try:
        return checked(value), notes
    except MALFORMED as cause:
        return {}, [f"{file} is damaged ({cause}), so pictures and map are left out."]


def _object(file: Path) -> tuple[dict[str, Any], list[str]]:
    """The object in a JSON file, or nothing and a note that says why."""
    if not file.is_file():
        return {}, []
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except MALFORMED as cause:
        return {}, [f"{file} cannot be read ({cause}), so what it holds is left out."]
    return (value, []) if isinstance(value, dict) else ({}, [f"{file} holds no object, so it is left out."])


def checked(data: dict[str, Any]) -> dict[str, Any]:
    """The content of report/data.json; raises an error of MALFORMED for any other shape."""
    for edge in data.get("graph", {}).get("edges", []):
        float(edge["size"]), edge["name"].strip(), [view.strip() for view in edge["views"]]
    for view in data.get("graph", {}).get("views", []):
        view["name"].strip()
    for heading, text in data.get("store", []):
        heading.strip(), text.strip()
    samples = range(len(data.get("samples", [])))
    for sample in data.get("samples", []):
        sample["id"].strip(), int(sample["label"])
    numbers = [*data.get("table", []), *(each["sample"] for each in data.get("queries", []))]
    numbers += [i for pair in data.get("duplicates", []) for i in (pair["a"], pair["b"])]
    known = {each["sample"] for each in data.get("queries", [])}
    if any(i not in known for of in data.get("orders", {}).values() for i in of):
        raise ValueError("an order names a sample that is no query")
    _check_facts(data)
    if any(number not in samples for number in numbers):
        raise ValueError("it names a sample that it does not hold")
    plane = data.get("map", {})
    for points in [*plane.get("points", {}).values(), *plane.get("centred", {}).get("points", {}).values()]:
        if len(points) != len(samples) or any(point is not None and len(point) != 2 for point in points):
            raise ValueError("its map has other samples")
    return data


def _check_facts(data: Mapping[str, Any]) -> None:
    for names, count in data.get("presence", []):
        [name.strip() for name in names], int(count)
    for name, count in data.get("splits", []):
        name.strip(), int(count)
    rejected = data.get("rejected", {"count": 0, "first": []})
    int(rejected["count"]), [(name.strip(), reason.strip()) for name, reason in rejected["first"]]
    for leak in data.get("leaks", []):
        bool(leak["found"]), leak["text"].strip()


def require_runs(folders: Sequence[Path]) -> None:
    """Raises MultiviewError when no folder is given."""
    if not folders:
        raise MultiviewError("RUN is missing; give one run folder or several, as in: multiview report runs/photos")
