"""A small run with its page, and copies of it whose names are hostile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import many_kinds
import pytest
from small_runs import FAST

from multiview import plugins
from multiview.gallery.held_out import held_out
from multiview.gallery.write import content
from multiview.launch import exit_code
from multiview.measure.files import REPORT_DATA, to_json
from multiview.measure.rows import Measure
from multiview.report.gather import gather

HOSTILE = (
    "<script>window.hurt=1</script>",
    "</script><script>window.hurt=1</script>",
    '"><img src=x onerror=window.hurt=1>',
    "' onmouseover='window.hurt=1",
    "{{ 7*7 }}${alert(1)}",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe\u2066",
    "n" * 300,
    "__proto__",
    "constructor",
    "{% for x in ''.__class__.__mro__ %}{{ x }}{% endfor %}\u200f\u2028",
)

SOUND = "data:audio/mpeg;base64,SUQz"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two views on a few scenes, evaluated, with the page that it made itself."""
    folder = tmp_path_factory.mktemp("report")
    words = [word for word in FAST if word not in ("--evaluate", "false")]
    data = ["--data", "scenes:64", "--cache", str(folder / "cache"), "--out", str(folder / "run")]
    assert exit_code(plugins.load("recipes", "cmc_lab"), [*words, *data]) == 0
    return folder / "run"


def copied(folder: Path, to: Path) -> Path:
    """A run folder without its checkpoints."""
    return Path(shutil.copytree(folder, to / "copy", ignore=shutil.ignore_patterns("checkpoints", "tensorboard")))


def hostile_run(trained: Path, tmp_path: Path, name: str) -> Path:
    """A run whose views, edges, classes, samples, texts and options are all called `name`."""
    copy = copied(trained, tmp_path)
    other, edge = f"{name}2", f"{name}-{name}2"
    for file in ("metrics.jsonl", "health.jsonl"):
        lines = [json.loads(line) for line in (trained / file).read_text("utf8").splitlines()]
        renamed = [
            {k.replace("L-ab", edge).replace("/L", f"/{name}").replace("/ab", f"/{other}"): v for k, v in line.items()}
            for line in lines
        ]
        (copy / file).write_text("".join(json.dumps(line) + "\n" for line in renamed))
    (copy / "health.jsonl").write_text(json.dumps({"step": 2, "symptom": name, "of": edge, "text": name}) + "\n")
    data = json.loads((copy / REPORT_DATA).read_text("utf8"))
    views = {"L": name, "ab": other}
    data["views"] = list(views.values())
    data["classes"] = [f"{name}{i}" for i in range(len(data["classes"]))]
    for sample in data["samples"]:
        sample["id"] = name
    for key in ("views", "encoders"):
        for each in data["graph"][key]:
            each.update({"name": views[each["name"]], **{field: name for field in ("reads", "kind") if field in each}})
            each.update({"views": [views[view] for view in each["views"]]} if "views" in each else {})
    data["graph"]["edges"][0].update(name=edge, views=list(views.values()), objective=name, options=name)
    data["store"] = [[name, name]]
    for plane in (data["map"], data["map"]["centred"]):
        plane["points"] = {views[view]: points for view, points in plane["points"].items()}
    data["pictures"] = {name: dict.fromkeys(data["pictures"]["L"], name), other: data["pictures"]["ab"]}
    for query in data["queries"]:
        query["found"] = {views[a]: {views[b]: of for b, of in found.items()} for a, found in query["found"].items()}
    for pair in data["failures"]:
        pair.update(query=views[pair["query"]], gallery=views[pair["gallery"]])
    data |= {"presence": [[[name, other], 3]], "splits": [[name, 3]], "leaks": [{"found": True, "text": name}]}
    data["rejected"] = {"count": 1, "first": [[name, name]]}
    data["sounds"] = {name: {"0": name, "1": SOUND}, other: name}
    data["numbers"] = {
        other: {"columns": [name, other], "more": 2, "rows": {i: [1.5, None] for i in data["pictures"][name]}}
    }
    data["duplicates"] = [{"a": 0, "b": 1, "alike": 0.999}]
    (copy / REPORT_DATA).write_text(json.dumps(data))
    rows = [
        Measure(
            **{
                **{f: getattr(row, f) for f in row.__dataclass_fields__},
                "views": tuple(views[v] for v in row.views),
                "group": " -> ".join(views[v] for v in row.views)
                if "->" in row.group
                else row.group.replace("L", name),
            }
        )
        for row in gather([trained])[0].rows
    ]
    (copy / "evaluation.json").write_text(to_json(rows))
    (copy / "config.yaml").write_text(json.dumps({"data": name, "seed": 0}))
    facts = json.loads((copy / "environment.json").read_text("utf8"))
    (copy / "environment.json").write_text(json.dumps({**facts, "command": [name], "platform": name, "git": name}))
    return copy


def run_of_every_kind(trained: Path, tmp_path: Path) -> Path:
    """A run whose page shows sound, series, a table, a text, and two nearly equal samples."""
    store = many_kinds.make(tmp_path / "store", many_kinds.Leaky())
    of = many_kinds.of_names(store, "rgb", "logmel", "series", "table", "text")
    copy = copied(trained, tmp_path)
    (copy / REPORT_DATA).write_text(json.dumps(content(of, held_out(of))))
    return copy
