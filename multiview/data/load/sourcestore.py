"""Samples straight from the files of a source: a store that is not written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from multiview.data.files.encoded import LazyImage, decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Source
from multiview.data.store.manifest import NO_SPLIT, Manifest, Provenance
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import layout_of_plan, planned, provenance_of

FOLDER = "folder"
"""Before the path of a tree of images, `folder:PATH`, it means: read the files themselves."""
PROBED = 64
"""Samples, evenly spread, from which the memory that all need is estimated."""


class SourceStore(Store):
    """A store whose samples a source reads each time they are asked for.

    A file that cannot be read counts as a missing modality of its sample from then on; it is named once, on standard
    error. `cached` holds decoded samples. There are no statistics: views that need them measure them.
    """

    def __init__(self, path: Path, plan: Plan, manifest: Manifest) -> None:
        super().__init__(path, manifest)
        self.plan = plan
        self.bad: set[tuple[int, str]] = set()
        self._held: dict[str, list[np.ndarray]] = {}

    @classmethod
    def of(cls, source: Source, root: Path, name: str) -> SourceStore:
        """The samples that `source` finds at `root`. Raises MultiviewError when there is none."""
        plan = planned(source, root)
        origin = provenance_of(source, name, root, plan)
        return cls(root, plan, _manifest(plan, origin))

    def read(
        self, rows: Sequence[int] | np.ndarray, modality: str, decode: bool = True
    ) -> np.ndarray | list[np.ndarray]:
        """See `Store.read`; what cannot be read is an empty array in a list, and zeros in an array."""
        kind, wanted = self.modality(modality), self.checked(rows)
        if modality in self._held and decode:
            samples = [self._held[modality][row] for row in wanted]
        else:
            samples = [self._sample(int(row), kind, decode) for row in wanted]
        if kind.ragged:
            return samples
        return np.stack(samples) if samples else np.empty((0, *kind.shape), kind.dtype)

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """This store, which from now on holds these modalities decoded in memory, when they need no more than about
        `limit_bytes`.
        """
        names = list(dict.fromkeys([*self._held, *modalities]))
        if sum(map(self.bytes_of, names)) <= limit_bytes:
            for name in names:
                if name not in self._held:
                    self._held[name] = list(self.read(self.rows(), name))
        return self

    def bytes_of(self, modality: str) -> int:
        """About what all samples of a modality need in memory, decoded."""
        places = np.unique(np.linspace(0, len(self) - 1, PROBED).astype(int))
        found = [sample.nbytes for sample in self.read(places, modality)]
        return int(np.mean(found) * len(self))

    def samples(self, rows: np.ndarray, modality: str) -> np.ndarray | list[np.ndarray | LazyImage]:
        """See `Store.samples`."""
        kind, wanted = self.modality(modality), self.checked(rows)
        if modality in self._held or not kind.encoding:
            read = self.read(wanted, modality)
            return read if isinstance(read, np.ndarray) else list(read)
        return [self._picture(self._sample(int(row), kind, decode=False), int(row), kind) for row in wanted]

    def blame(self, row: int, modality: str, fault: BadSample) -> None:
        """Says, once, which file is left out, and why."""
        if (row, modality) not in self.bad:
            self.bad.add((row, modality))
            print(f"left out: {fault}", file=sys.stderr)

    def holds(self, modality: str) -> bool:
        """See `Store.holds`."""
        return modality in self._held

    @property
    def spec(self) -> str:
        """`folder:` and the absolute path."""
        return f"{FOLDER}:{self.path.resolve()}"

    def close(self) -> None:
        """There is nothing to close."""

    def _sample(self, row: int, kind: Modality, decode: bool) -> np.ndarray:
        try:
            given = self.plan.read(row)
            if kind.name in given:
                array = np.asarray(given[kind.name])
                return decoded(kind, array, self.plan.rows[row].id) if kind.encoding and decode else array
        except BadSample as fault:
            self.blame(row, kind.name, fault)
        return _nothing(kind)

    def _picture(self, piece: np.ndarray, row: int, kind: Modality) -> np.ndarray | LazyImage:
        if piece.size:
            try:
                return LazyImage(kind, piece, self.plan.rows[row].id)
            except BadSample as fault:
                self.blame(row, kind.name, fault)
        return _nothing(kind)

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            self._columns[name] = self._made(name)
        return self._columns[name]

    def _made(self, name: str) -> np.ndarray:
        rows = self.plan.rows
        if name == "id":
            return np.array([row.id.encode() for row in rows], object)
        if name == "label":
            numbers = {label: place for place, label in enumerate(self.manifest.classes)}
            return np.array([-1 if row.label is None else numbers[row.label] for row in rows], np.int64)
        if name == "split":
            numbers = {split: place for place, split in enumerate(self.split_names)}
            return np.array([NO_SPLIT if row.split is None else numbers[row.split] for row in rows], np.uint8)
        if name.startswith("factor/"):
            return np.array([row.factors.get(name.removeprefix("factor/"), np.nan) for row in rows])
        return np.ones(len(rows), np.uint8)


def _nothing(kind: Modality) -> np.ndarray:
    if kind.encoding:
        return np.zeros((0, 0, 3), "uint8")
    return np.zeros((0, *kind.shape[1:]) if kind.ragged else kind.shape, kind.dtype)


def _manifest(plan: Plan, origin: Provenance) -> Manifest:
    layout = layout_of_plan(plan, origin.origin())
    counts = {split: sum(row.split == split for row in plan.rows) for split in layout.splits}
    return Manifest(
        count=len(plan.rows),
        rejected=0,
        modalities=layout.modalities,
        splits=counts,
        classes=layout.classes,
        factors=layout.factors,
        statistics={},
        shards=(),
        provenance=origin,
    )
