"""The section of the evidence about `auto` and the recipes on every set of real data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from _auto_record import Record, read
from _auto_table import tables

HEAD = """## Any data by one command

Made by `python benchmarks/auto_on_data.py FOLDER --threads 1 --record`: `multiview train auto --data SET`, and the
recipes that fit the set, with their own defaults. R@1 is the mean of all ordered pairs of views, the probe is that of
all views together; both of test samples. *random*: the same encoders before training. *ridge*, *cca*: linear
regression and canonical correlation of the raw values. *fused*: the summed similarities of the encoders and of the
better of these two. *raw*, *statistics*: probes of the raw values, and of moments, spectra or histograms. The
columns that begin with *over* are means over seeds of trained minus control, with the 95 % t interval over seeds; bold
where all of it lies above 0. The first table names the measures in which both intervals lie above 0. The interval does
not hold the chance of the test samples, which are few in some sets. CPU minutes are of training and evaluation.

A recipe stands with the sets that hold its views. No set has pictures with sounds (`image_sound`); only `scenes` and
the rendered furniture have depth (`cmc_rgbd`, `mixed`, `comm`). `spoken_letters` takes pairs of recordings, which
`multiview preprocess pairs` makes of class folders. On any other set a recipe says which of its views is missing.
"""


def section_of_data(folder: Path) -> str:
    """The tables of the records below `folder`, and what `notes.yaml` says about each set."""
    records = read(folder)
    if not records:
        return ""
    notes = yaml.safe_load((folder / "notes.yaml").read_text("utf-8"))
    order = {name: place for place, name in enumerate(notes)}
    records.sort(key=lambda record: (order.get(record.data, len(order)), record.graph))
    named = [f"### {name.replace('_', ' ').capitalize()}\n\n{_about(name, notes, records)}" for name in notes]
    return "\n".join([HEAD, tables(records), "", *named])


def _about(name: str, notes: Mapping[str, Mapping[str, str]], records: list[Record]) -> str:
    """What a set is, what was found on it and tried, and the commands of its runs."""
    texts = [text for key in ("about", "found") if (text := notes[name].get(key, "").strip())]
    commands = [
        f"- `{each.command}`: commit {each.commit}, {each.date}, seeds {', '.join(map(str, each.seeds))}"
        for each in records
        if each.data == name
    ]
    return "\n\n".join([*texts, *(["\n".join(commands)] if commands else [])]) + "\n"
