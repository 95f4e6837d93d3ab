"""Data in memory as a store: arrays, a data frame, or a dataset of PyTorch or Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from multiview import terminal
from multiview.data.columns.held_arrays import HeldColumn
from multiview.data.files.encoded import decoded, empty_sample
from multiview.data.load.memory_columns import check_data, planned
from multiview.data.load.sourcestore import SourceStore, manifest_of_plan
from multiview.data.load.viewstatistics import CROP, measure_views
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Source
from multiview.data.store.statistics import Moments, Statistics, channels, moments_of
from multiview.data.write.grouping import with_groups
from multiview.data.write.planning import make_plan, provenance_of
from multiview.errors import MultiviewError
from multiview.plugins import installed
from multiview.plurals import counted
from multiview.view import make_view

SPEC = "memory:"
"""What a run notes as its data when the data was in memory."""
SHARD_ROWS = 1000
"""Samples whose moments are joined first, as in a shard, so that statistics agree in every bit."""
IN_PYTHON = {
    r"; choose with --split or a CSV file\.": "; a key `split` decides otherwise.",
    r" needs --rate, in samples per second, or the kind, as in '(\w+):series'\.": r" needs the key `rate`, in samples "
    r"per second, and the name '\1:series'.",
    r" give --rate, in samples per second\.": " give the key `rate`, in samples per second.",
    r"; if that is wrong, give --channel_axis last\.": "; if that is wrong, move the axes before.",
    r" Try bands, as in --modalities '.*'\.": " Give uint8, or name the key NAME:bands for floating-point numbers.",
    r" Give another kind, as in --modalities '.*'\.": " Name the key NAME:KIND for another kind, such as NAME:table.",
    r"; use it with --label_column '[^']*', or read it with --modalities\.": "; name it `label` to use it.",
    r"; choose another with --label_column\.": "; name another one `label` to use it.",
    r" Choose arrays with --modalities\.": "",
    r"--group ": "group ",
}
"""Words of the command line in messages, and those for Python."""


def open_memory(data: Any, say: Callable[[str], None] = terminal.say, group: str | None = None) -> MemoryStore:
    """The samples of data in memory as a store; reads the samples of a dataset once.

    say: called with each note for the user. group: key that says which samples belong together.
    Raises MultiviewError when the data cannot be read.
    """
    plan, source = _planned(data, group)
    store = MemoryStore(Path("the data"), plan, manifest_of_plan(plan, provenance_of(source, "memory", None, plan)))
    store.there = {kind.name: _present(column, kind) for kind, column in _columns(plan)}
    for note in (*plan.notes, *_absent_notes(plan)):
        say(in_python(note))
    return store


def _planned(data: Any, group: str | None) -> tuple[Plan, Source]:
    check_data(data)
    try:
        made, source = planned(data)
        return with_groups(make_plan(_Given(made), None), group, source, None), source
    except MultiviewError as error:
        raise MultiviewError(in_python(str(error))) from error


def in_python(text: str) -> str:
    """A message with the words for Python in place of options of the command line."""
    for pattern, words in IN_PYTHON.items():
        text = re.sub(pattern, words, text)
    return text


def _columns(plan: Plan) -> Iterator[tuple[Modality, HeldColumn]]:
    reader: Any = plan.read
    for part in reader.parts:
        yield part.modality, reader.file.columns[part.array]


def _present(column: HeldColumn, modality: Modality) -> np.ndarray:
    """Which samples have a value that can be stored; depth that is not finite is not measured."""
    return column.present if modality.kind == "depth" else column.present & column.finite


def _absent_notes(plan: Plan) -> Iterator[str]:
    for modality, column in _columns(plan):
        bad = int((column.present & ~_present(column, modality)).sum())
        if bad:
            yield f"{counted(bad, 'sample')} of '{modality.name}' with numbers that are not finite: absent."


@dataclass(frozen=True)
class _Given:
    """A source whose plan is made."""

    made: Plan
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:  # noqa: ARG002
        return self.made


class MemoryStore(SourceStore):
    """A store whose samples are in memory, or come from a dataset at each request.

    The statistics are those of a written store of the same samples, and are measured when they are
    asked for. there: which samples have each modality.
    """

    there: dict[str, np.ndarray]

    @property
    def spec(self) -> str:
        """`memory:`, which no other process can open."""
        return SPEC

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        """See `Store.statistics`; of modalities of floating-point numbers."""
        kinds = [each for each in self.manifest.modalities if each.dtype.startswith("float")]
        return _Measured({kind.name: kind for kind in kinds}, self._modality_statistics)

    @property
    def view_statistics(self) -> Mapping[str, Statistics]:
        """See `Store.view_statistics`."""
        return _Measured({plugin.name: plugin for plugin in installed("views")}, self._view_statistics)

    def report_damage(self, row: int, modality: str, fault: BadSample) -> None:
        """Raises MultiviewError, but leaves out an image file that cannot be decoded."""
        if self.modality(modality).encoding:
            return super().report_damage(row, modality, fault)
        raise MultiviewError(
            f"sample {row} of '{modality}' cannot be used: {fault}. A dataset must return the same sample each time."
        ) from fault

    def _modality_statistics(self, name: str) -> Statistics | None:
        kind, splits = self.modality(name), self.split_names
        measured = set(self.rows("train" if "train" in splits else None).tolist())
        total = Moments.none(channels(kind))
        for start in range(0, len(self), SHARD_ROWS):
            moments = Moments.none(channels(kind))
            for row in range(start, min(start + SHARD_ROWS, len(self))):
                if row in measured and self.there[name][row]:
                    moments = moments.joined(moments_of(kind, self._sample(row, kind, True)))
            total = total.joined(moments)
        return total.statistics()

    def _view_statistics(self, name: str) -> Statistics | None:
        return measure_views(self, {name: make_view(name, CROP)}).get(name)

    def _sample(self, row: int, kind: Modality, decode: bool) -> np.ndarray:
        if not self.there[kind.name][row]:
            return empty_sample(kind)
        try:
            value = self.plan.read.one(row, kind.name)  # type: ignore[attr-defined]
            return decoded(kind, value, self.plan.rows[row].id) if kind.encoding and decode else value
        except BadSample as fault:
            self.report_damage(row, kind.name, fault)
        return empty_sample(kind)

    def _column_of_plan(self, name: str) -> np.ndarray:
        if name.startswith("present/"):
            return self.there[name.removeprefix("present/")].astype(np.uint8)
        return super()._column_of_plan(name)


class _Measured(Mapping[str, Statistics]):
    """Statistics that are measured when they are first asked for."""

    def __init__(self, known: Mapping[str, Any], measure: Callable[[str], Statistics | None]) -> None:
        self.known, self.measure = known, measure

    def __getitem__(self, name: str) -> Statistics:
        found = self.measure(name) if name in self.known else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)
