"""Reading a store: columns and samples by row number, lazily, in any process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files.encoded import LazyImage, decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.data.store import manifest as manifests
from multiview.data.store.manifest import Manifest
from multiview.data.store.shardfiles import ShardFiles, check_size
from multiview.errors import MultiviewError, unknown_name


class Store:
    """A prepared dataset on disk. Rows are numbered from 0 over all shards.

    Cheap to open and to pickle: its files are opened on first use in each process, few at a time.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._memory: dict[str, np.ndarray] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._laid_out: dict[str, np.ndarray] = {}
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self.files = ShardFiles(path, manifest.shards)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Opens the store in folder `path`. Raises MultiviewError when it is none, is unfinished, too new, or lacks a
        shard.
        """
        path = Path(path)
        file = path / manifests.NAME
        if not file.is_file():
            raise no_store(path)
        manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
        for shard in manifest.shards:
            check_size(path / shard.name, shard.size)
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names of the splits, `train` first."""
        return tuple(self.manifest.splits)

    @property
    def ids(self) -> list[str]:
        """The id of every row."""
        return [each.decode() for each in self._column("id").tolist()]

    @property
    def labels(self) -> np.ndarray:
        """The class of every row, int64 (count,), an index into `manifest.classes`; -1 = unlabelled."""
        return self._column("label")

    def rows(self, split: str | None = None) -> np.ndarray:
        """The row numbers of a split, int64, ascending; None = all rows."""
        if split is None:
            return np.arange(len(self))
        if split not in self.split_names:
            raise unknown_name("split of this store", split, self.split_names)
        return np.flatnonzero(self._column("split") == self.split_names.index(split))

    def present(self, modality: str) -> np.ndarray:
        """Which rows have a modality, bool (count,)."""
        return self._column(f"present/{self.modality(modality).name}").astype(bool)

    def factor(self, name: str) -> np.ndarray:
        """A named number of every row, float64 (count,); NaN where there is none."""
        if name not in self.manifest.factors:
            raise unknown_name("factor of this store", name, self.manifest.factors)
        return self._column(f"factor/{name}")

    def modality(self, name: str) -> Modality:
        """What is stored under a name."""
        for each in self.manifest.modalities:
            if each.name == name:
                return each
        raise unknown_name("modality of this store", name, (each.name for each in self.manifest.modalities))

    def read(
        self, rows: Sequence[int] | np.ndarray, modality: str, decode: bool = True
    ) -> np.ndarray | list[np.ndarray]:
        """Samples of a modality in the stored dtype, in the order asked; rows may repeat.

        An array (len(rows), *shape), 0 in absent rows; of a modality whose samples differ in length a list of arrays,
        empty ones in absent rows; encoded ones are decoded (unless decode=False), a single black pixel in absent rows. Raises IndexError for a
        row that does not exist, MultiviewError naming shard and row when the checksum does not match.
        """
        kind, wanted = self.modality(modality), self.checked(rows)
        if kind.ragged:
            pieces = self._pieces(wanted, kind)
            return self._decoded(pieces, wanted, kind) if kind.encoding and decode else pieces
        if modality in self._memory:
            return self._memory[modality][wanted]
        out = np.empty((len(wanted), *kind.shape), dtype=kind.dtype)
        for shard, places, local in self._by_shard(wanted):
            self._gather(out, places, local, shard, modality)
        return out

    def samples(self, rows: np.ndarray, modality: str) -> np.ndarray | list[np.ndarray | LazyImage]:
        """What `read` gives, as it is best cut: a list of the arrays themselves, not to be written to, where they are in
        memory; encoded images not decoded yet.
        """
        kind, wanted = self.modality(modality), self.checked(rows)
        if kind.encoding:
            return [
                self._picture(piece, row, kind) for piece, row in zip(self._pieces(wanted, kind), wanted, strict=True)
            ]
        if modality in self._memory and not kind.ragged:
            return [self._memory[modality][row] for row in wanted]
        read = self.read(wanted, modality)
        return read if isinstance(read, np.ndarray) else list(read)

    def blame(self, row: int, modality: str, fault: BadSample) -> None:
        """Takes note of a sample that could not be decoded. Raises MultiviewError: what a store holds was whole once."""
        shard = int(np.searchsorted(self._starts, row, side="right") - 1)
        raise self.files.damaged(shard, f"/{modality} cannot be decoded: {fault}") from fault

    def checked(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Row numbers as int64 (n,). Raises IndexError for one that does not exist."""
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} asked of a store with rows 0 to {len(self) - 1}")
        return wanted

    def holds(self, modality: str) -> bool:
        """Whether samples of a modality are in memory, ready to be cut."""
        return modality in self._memory and not self.modality(modality).encoding

    @property
    def spec(self) -> str:
        """What `open_data` opens as this store, from anywhere."""
        return str(self.path.resolve())

    def bytes_of(self, modality: str) -> int:
        """What all samples of a modality need in memory, as they are stored."""
        kind = self.modality(modality)
        each = int(np.prod(kind.shape[1:] if kind.ragged else kind.shape)) * np.dtype(kind.dtype).itemsize
        return each * (int(self._ends(modality)[-1]) if kind.ragged else len(self))

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """This store, which from now on holds these modalities in memory, for all who use it; each is read once.

        It holds no more than it did when all together would need more than `limit_bytes`.
        """
        names = list(dict.fromkeys([*self._memory, *modalities]))
        if sum(map(self.bytes_of, names)) <= limit_bytes:
            for name in names:
                if name not in self._memory:
                    self._memory[name] = self._everything(name)
        return self

    def close(self) -> None:
        """Closes this process's files; the store stays usable."""
        self.files.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_columns": {}, "_laid_out": {}}

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            parts = [self.files.column(shard, name) for shard in range(len(self.manifest.shards))]
            self._columns[name] = np.concatenate(parts)
        return self._columns[name]

    def _ends(self, modality: str) -> np.ndarray:
        """Where each row of a ragged modality ends when all are laid end to end, int64 (count + 1,), 0 first."""
        if modality not in self._laid_out:
            lengths = self._column(f"length/{modality}")
            if len(lengths) and lengths.min() < 0:
                shard = int(np.searchsorted(self._starts, lengths.argmin(), side="right") - 1)
                raise self.files.damaged(shard, f"/length/{modality} holds a length below 0")
            self._laid_out[modality] = np.concatenate([[0], np.cumsum(lengths)])
        return self._laid_out[modality]

    def _by_shard(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each shard that is asked: its number, the places in `wanted`, and its own rows."""
        shard_of = np.searchsorted(self._starts, wanted, side="right") - 1
        for shard in np.unique(shard_of):
            places = np.flatnonzero(shard_of == shard)
            yield int(shard), places, wanted[places] - self._starts[shard]

    def _everything(self, modality: str) -> np.ndarray:
        """All samples as one array; those of a ragged modality end to end."""
        if not self.modality(modality).ragged:
            return np.asarray(self.read(self.rows(), modality))
        return np.concatenate([self._flat(shard, modality)[()] for shard in range(len(self.manifest.shards))])

    def _flat(self, shard: int, modality: str) -> Any:
        """The samples of a ragged modality that a shard holds, end to end."""
        ends = self._ends(modality)
        total = ends[self._starts[shard + 1]] - ends[self._starts[shard]]
        return self.files.dataset(shard, modality, rows=int(total))

    def _pieces(self, wanted: np.ndarray, kind: Modality) -> list[np.ndarray]:
        ends = self._ends(kind.name)
        if kind.name in self._memory:
            return [self._memory[kind.name][ends[row] : ends[row + 1]] for row in wanted]
        out: list[np.ndarray] = [np.empty(0)] * len(wanted)
        for shard, places, local in self._by_shard(wanted):
            flat, first = self._flat(shard, kind.name), int(self._starts[shard])
            for place, row in zip(places.tolist(), local.tolist(), strict=True):
                start, stop = ends[first + row : first + row + 2] - ends[first]
                try:
                    out[place] = flat[start:stop]
                except OSError as cause:
                    raise self.files.bad_checksum(shard, kind.name, row, first) from cause
        return out

    def _decoded(self, pieces: list[np.ndarray], wanted: np.ndarray, kind: Modality) -> list[np.ndarray]:
        out = []
        for piece, row in zip(pieces, wanted.tolist(), strict=True):
            try:
                out.append(decoded(kind, piece, f"row {row}") if len(piece) else np.zeros((1, 1, 3), "uint8"))
            except BadSample as fault:
                self.blame(row, kind.name, fault)
        return out

    def _picture(self, piece: np.ndarray, row: int, kind: Modality) -> np.ndarray | LazyImage:
        if len(piece):
            try:
                return LazyImage(kind, piece, f"row {row}")
            except BadSample as fault:
                self.blame(row, kind.name, fault)
        return np.zeros((1, 1, 3), "uint8")

    def _gather(self, out: np.ndarray, places: np.ndarray, local: np.ndarray, shard: int, modality: str) -> None:
        """Fills `out[places]` with rows `local` of one shard: neighbours in one read, repeated rows once."""
        dataset = self.files.dataset(shard, modality)
        order = np.argsort(local, kind="stable")
        places, local = places[order], local[order]
        for run in np.split(np.arange(len(local)), np.flatnonzero(np.diff(local) > 1) + 1):
            first, last = int(local[run[0]]), int(local[run[-1]])
            try:
                out[places[run]] = dataset[first : last + 1][local[run] - first]
            except OSError as cause:
                raise self._bad_row(dataset, shard, modality, range(first, last + 1)) from cause

    def _bad_row(self, dataset: Any, shard: int, modality: str, rows: range) -> MultiviewError:
        for row in rows:
            try:
                dataset[row]
            except OSError:
                return self.files.bad_checksum(shard, modality, row, int(self._starts[shard]))
        return self.files.damaged(shard, f"/{modality} could not be read")


def no_store(path: Path) -> MultiviewError:
    """What to say of a folder that is no store."""
    if not path.exists():
        return MultiviewError(f"{path} does not exist; make a store with `multiview preprocess SOURCE INPUT {path}`.")
    if (path / ".unfinished").exists():
        return MultiviewError(
            f"{path} is an unfinished store: give the `multiview preprocess` command again, it goes on from there."
        )
    return MultiviewError(
        f"{path} is no store (no {manifests.NAME}); make one with `multiview preprocess SOURCE INPUT OUT`."
    )
