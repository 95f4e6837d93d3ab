"""A store that is not written: its samples are read from the files of a source."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from multiview.data.files.encoded import LazyImage, decoded, empty_sample
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Source
from multiview.data.store.manifest import NO_SPLIT, Manifest, Provenance
from multiview.data.store.reading import Store
from multiview.data.store.shard import group_dataset
from multiview.data.write.grouping import with_groups
from multiview.data.write.planning import layout_of_plan, make_plan, provenance_of
from multiview.errors import printable

FOLDER = "folder"
"""`folder:PATH` means: read the files below PATH themselves, without a store."""
PROBED = 64
"""How many samples, evenly spread, are read to estimate the memory of all samples."""


class SourceStore(Store):
    """A store whose samples a source reads again at each request.

    A file that cannot be read counts as an absent modality of its sample; standard error names the
    file once. `cached` holds decoded samples. The manifest has no statistics: views measure them.
    """

    def __init__(self, path: Path, plan: Plan, manifest: Manifest) -> None:
        super().__init__(path, manifest)
        self.plan = plan
        self.reported: set[tuple[int, str]] = set()
        self._absent: set[tuple[int, str]] = set()
        self._decoded_samples: dict[str, list[np.ndarray]] = {}

    @classmethod
    def of(cls, source: Source, root: Path, name: str, group: str | None = None) -> SourceStore:
        """The samples that `source` finds at `root`. Raises MultiviewError when there are none."""
        plan = with_groups(make_plan(source, root), group, source, root)
        origin = provenance_of(source, name, root, plan)
        return cls(root, plan, manifest_of_plan(plan, origin))

    def read(
        self, rows: Sequence[int] | np.ndarray, modality: str, decode: bool = True
    ) -> np.ndarray | list[np.ndarray]:
        """See `Store.read`. An unreadable sample is empty in a list, zeros in an array."""
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        if modality in self._decoded_samples and decode:
            samples = [self._decoded_samples[modality][row] for row in wanted]
        else:
            samples = [self._sample(int(row), kind, decode) for row in wanted]
        if kind.ragged:
            return samples
        return np.stack(samples) if samples else np.empty((0, *kind.shape), kind.dtype)

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """See `Store.cached`. Holds decoded samples when they need at most about `limit_bytes`."""
        names = list(dict.fromkeys([*self._decoded_samples, *modalities]))
        if sum(map(self.bytes_of, names)) <= limit_bytes:
            for name in names:
                if name not in self._decoded_samples:
                    self._decoded_samples[name] = list(self.read(self.rows(), name))
        return self

    def bytes_of(self, modality: str) -> int:
        """The approximate size of all decoded samples of a modality, in bytes."""
        places = np.unique(np.linspace(0, len(self) - 1, PROBED).astype(int))
        sizes = [sample.nbytes for sample in self.read(places, modality)]
        return int(np.mean(sizes) * len(self))

    def read_for_crops(self, rows: np.ndarray, modality: str) -> np.ndarray | list[np.ndarray | LazyImage]:
        """See `Store.read_for_crops`."""
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        if modality in self._decoded_samples:
            held = self._decoded_samples[modality]
            return [held[row] for row in wanted]
        if not kind.encoding:
            read = self.read(wanted, modality)
            return read if isinstance(read, np.ndarray) else list(read)
        return [self._picture(self._sample(int(row), kind, decode=False), int(row), kind) for row in wanted]

    def report_damage(self, row: int, modality: str, fault: BadSample) -> None:
        """Prints once per sample which file is left out and why."""
        if (row, modality) not in self.reported:
            self.reported.add((row, modality))
            print(f"left out: {printable(fault)}", file=sys.stderr)

    def was_read(self, rows: np.ndarray, modality: str) -> np.ndarray:
        """See `Store.was_read`."""
        return np.array([(int(row), modality) not in self._absent for row in rows], bool)

    def is_in_memory(self, modality: str) -> bool:
        """See `Store.is_in_memory`."""
        return modality in self._decoded_samples

    @property
    def spec(self) -> str:
        """`folder:` and the absolute path of the folder."""
        return f"{FOLDER}:{self.path.resolve()}"

    def close(self) -> None:
        """Does nothing: no file stays open."""

    def _sample(self, row: int, kind: Modality, decode: bool) -> np.ndarray:
        try:
            given = self.plan.read(row)
            if kind.name in given:
                array = np.asarray(given[kind.name])
                return decoded(kind, array, self.plan.rows[row].id) if kind.encoding and decode else array
        except BadSample as fault:
            self.report_damage(row, kind.name, fault)
        self._absent.add((row, kind.name))
        return empty_sample(kind)

    def _picture(self, piece: np.ndarray, row: int, kind: Modality) -> np.ndarray | LazyImage:
        if piece.size:
            try:
                return LazyImage(kind, piece, self.plan.rows[row].id)
            except BadSample as fault:
                self.report_damage(row, kind.name, fault)
        return empty_sample(kind)

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            self._columns[name] = self._column_of_plan(name)
        return self._columns[name]

    def _column_of_plan(self, name: str) -> np.ndarray:
        rows = self.plan.rows
        if name == "id":
            return np.array([row.id.encode() for row in rows], object)
        if name == "label":
            return np.array(_codes((row.label for row in rows), self.manifest.classes, -1), np.int64)
        if name == "split":
            return np.array(_codes((row.split for row in rows), self.split_names, NO_SPLIT), np.uint8)
        for column, names in self.manifest.groups.items():
            if name == group_dataset(column):
                return np.array(_codes((row.groups.get(column) for row in rows), names, -1), np.int64)
        if name.startswith("factor/"):
            return np.array([row.factors.get(name.removeprefix("factor/"), np.nan) for row in rows])
        return np.ones(len(rows), np.uint8)


def manifest_of_plan(plan: Plan, origin: Provenance) -> Manifest:
    """The manifest of samples that are in no shard; it has no statistics."""
    layout = layout_of_plan(plan, origin.origin())
    return Manifest(
        count=len(plan.rows),
        rejected=0,
        modalities=layout.modalities,
        splits={split: sum(row.split == split for row in plan.rows) for split in layout.splits},
        classes=layout.classes,
        factors=layout.factors,
        groups=layout.groups,
        statistics={},
        shards=(),
        provenance=origin,
    )


def _codes(values: Iterable[str | None], names: Sequence[str], missing: int) -> list[int]:
    """The place of every value among the names, `missing` for a value that is not there."""
    places = {name: place for place, name in enumerate(names)}
    return [missing if value is None else places[value] for value in values]
