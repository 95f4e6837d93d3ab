"""Reads a store: columns and samples by row number, in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files.encoded import LazyImage, black_pixel, decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.data.store import manifest as manifests
from multiview.data.store.columns import ColumnParts, Columns, SplitRows, is_large
from multiview.data.store.fetched import fetched
from multiview.data.store.grouped import places_of
from multiview.data.store.manifest import Manifest, not_a_store
from multiview.data.store.named_columns import NamedColumns
from multiview.data.store.shardfiles import ShardFiles, check_size
from multiview.data.store.statistics import Statistics
from multiview.data.store.structure import HDF5_ERRORS, unwritten
from multiview.errors import MultiviewError, unknown_name
from multiview.remote.address import is_address
from multiview.remote.cache import ShardCache


class Store(NamedColumns):
    """A prepared dataset on disk. Rows are numbered from 0 over all shards.

    Cheap to open and to pickle: each process opens the files when it first reads from them.

    >>> from pathlib import Path
    >>> import multiview as mv
    >>> from multiview.data.sources.scenes import Scenes
    >>> from multiview.data.write.preprocess import preprocess
    >>> report = preprocess(Scenes(count=10), None, Path("ten-scenes"))
    >>> store = mv.Store.open("ten-scenes")
    >>> len(store), store.read([3], "image").shape
    (10, (1, 64, 64, 3))
    """

    def __init__(self, path: Path, manifest: Manifest, cache: ShardCache | None = None) -> None:
        self.path = path
        self.cache = cache
        self.manifest = manifest
        self._memory: dict[str, np.ndarray] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._end_positions: dict[str, np.ndarray] = {}
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)])
        self.files = ShardFiles(path, manifest.shards, cache)
        self._stored_columns = Columns(manifest, self.files)
        self.parts = ColumnParts(self._stored_columns, self._starts)

    @classmethod
    def open(cls, path: str | Path, cache_size: str | int | None = None) -> Store:
        """Opens the store in folder `path`, or at an address such as `s3://bucket/photos`.

        The shards of an address are fetched when they are read. cache_size: most bytes of fetched
        stores on the local disk, such as `20GB` (None = $MULTIVIEW_CACHE_SIZE, else 20 GB).

        Raises MultiviewError when there is no store, when it is unfinished or of a newer schema, or
        when a shard is missing.
        """
        if isinstance(path, str) and is_address(path):
            cache, manifest = fetched(path, cache_size)
            return cls(cache.folder, manifest, cache)
        path = Path(path)
        file = path / manifests.NAME
        if not file.is_file():
            raise not_a_store(path)
        manifest = Manifest.read(file)
        for shard in manifest.shards:
            check_size(path / shard.name, shard.size)
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def is_large(self) -> bool:
        """Whether columns of all rows are too much to hold: they are read shard by shard."""
        return is_large(self.manifest)

    @property
    def split_names(self) -> tuple[str, ...]:
        """The names of the splits, `train` first."""
        return tuple(self.manifest.splits)

    @property
    def statistics(self) -> Mapping[str, Statistics]:
        """Per modality and channel, over the training split."""
        return self.manifest.statistics

    @property
    def view_statistics(self) -> Mapping[str, Statistics]:
        """Of the installed views that were measured, by name."""
        return self.manifest.views

    @property
    def ids(self) -> list[str]:
        """The id of every row."""
        try:
            return [each.decode() for each in self._column("id").tolist()]
        except UnicodeDecodeError as cause:
            raise MultiviewError(f"{self.name} is damaged: an id is not UTF-8 text. {manifests.REMEDY}") from cause

    @property
    def digests(self) -> np.ndarray:
        """A digest of the values of every row, uint8 (count, bytes); equal for equal samples."""
        return self._column("digest")

    @property
    def labels(self) -> np.ndarray:
        """The class of every row, int64 (count,), of `manifest.classes`; -1 = unlabelled."""
        labels = self._column("label")
        if len(labels) and not -1 <= labels.min() <= labels.max() < len(self.manifest.classes):
            raise MultiviewError(
                f"{self.name} is damaged: its labels go from {labels.min()} to {labels.max()}, of "
                f"{len(self.manifest.classes)} classes. {manifests.REMEDY}"
            )
        return labels

    def rows(self, split: str | None = None) -> np.ndarray:
        """The row numbers of a split, int64, ascending; None = all rows."""
        if split is None:
            return np.arange(len(self))
        return np.flatnonzero(self._column("split") == self._split_code(split))

    def _split_code(self, split: str) -> int:
        if split not in self.split_names:
            raise unknown_name("split of this store", split, self.split_names)
        return self.split_names.index(split)

    def split_rows(self, split: str | None = None) -> np.ndarray | SplitRows:
        """Like `rows`; of a large store, rows that are computed when they are asked for."""
        if not self.is_large:
            return self.rows(split)
        if split is None:
            return SplitRows(self.parts, None, len(self))
        return SplitRows(self.parts, self._split_code(split), self.count(split))

    def count(self, split: str) -> int:
        """The number of samples of a split; of a large store as its manifest says."""
        return int(self.manifest.splits[split]) if self.is_large else len(self.rows(split))

    def values(self, column: str, rows: np.ndarray) -> np.ndarray:
        """What a column (`label`, `id`, `present/NAME`) holds in some rows."""
        return self.parts.at(column, rows) if self.is_large else self._column(column)[rows]

    def present(self, modality: str) -> np.ndarray:
        """Which rows have a modality, bool (count,)."""
        return self._column(f"present/{self.modality(modality).name}").astype(bool)

    def modality(self, name: str) -> Modality:
        """The description of a stored modality. Raises MultiviewError for an unknown name."""
        for each in self.manifest.modalities:
            if each.name == name:
                return each
        raise unknown_name("modality of this store", name, (each.name for each in self.manifest.modalities))

    def read(
        self, rows: Sequence[int] | np.ndarray, modality: str, decode: bool = True
    ) -> np.ndarray | list[np.ndarray]:
        """Samples of a modality in the stored dtype, in the order of `rows`, which may repeat.

        Returns:
            An array (len(rows), *shape) with 0 in absent rows. If the samples differ in length, a
            list of arrays, empty in absent rows. For encoded images, a list of decoded images (of
            files with decode=False), one black pixel in absent rows.

        Raises:
            IndexError: for a row that does not exist.
            MultiviewError: names shard and row when a checksum does not match.
        """
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        if kind.ragged:
            pieces = self._pieces(wanted, kind)
            return self._decoded(pieces, wanted, kind) if kind.encoding and decode else pieces
        if modality in self._memory:
            return self._memory[modality][wanted]
        parts = list(self._by_shard(wanted))
        for shard, *_ in parts:  # no memory is taken before the shards are found to hold such samples
            self._dataset(shard, kind)
        out = np.empty((len(wanted), *kind.shape), dtype=kind.dtype)
        for shard, places, local in parts:
            self._read_into(out, places, local, shard, modality)
        self.files.rest()
        return out

    def read_for_crops(self, rows: np.ndarray, modality: str) -> np.ndarray | list[np.ndarray | LazyImage]:
        """Like `read`, without copies and decoding, as `CropTransform` takes samples.

        Samples in memory come as a list of the arrays themselves: do not write into them.
        """
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        if kind.encoding:
            return [
                self._picture(piece, row, kind) for piece, row in zip(self._pieces(wanted, kind), wanted, strict=True)
            ]
        if modality in self._memory and not kind.ragged:
            return [self._memory[modality][row] for row in wanted]
        read = self.read(wanted, modality)
        return read if isinstance(read, np.ndarray) else list(read)

    def report_damage(self, row: int, modality: str, fault: BadSample) -> None:
        """Raises MultiviewError: a stored sample can no longer be decoded."""
        shard = int(np.searchsorted(self._starts, row, side="right") - 1)
        raise self.files.damaged(shard, f"/{modality} cannot be decoded: {fault}") from fault

    def was_read(self, rows: np.ndarray, modality: str) -> np.ndarray:  # noqa: ARG002
        """Which of these rows had a value when they were read; their presence is another matter."""
        return np.ones(len(rows), bool)

    def checked_rows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Row numbers as int64 (n,). Raises IndexError when a row does not exist."""
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(
                f"rows {wanted.min()} to {wanted.max()} were asked for; the store has rows 0 to {len(self) - 1}"
            )
        return wanted

    def is_in_memory(self, modality: str) -> bool:
        """Whether the samples of a modality are in memory, decoded."""
        return modality in self._memory and not self.modality(modality).encoding

    @property
    def spec(self) -> str:
        """The words with which `open_data` opens this store from any working folder."""
        return self.cache.address if self.cache else str(self.path.resolve())

    @property
    def place(self) -> str:
        """Where the data are, for the record of a run: an address, or the path of a folder."""
        return self.cache.address if self.cache else str(self.path.resolve())

    @property
    def ratio(self) -> tuple[int, ...] | None:
        """The parts of several stores in a batch; None without `--mix`."""
        return None

    def measured(self, measure: Callable[[Store], Mapping[str, Statistics]]) -> dict[str, Statistics]:
        """Statistics that `measure` finds in a store; of several stores, those over all of them."""
        return dict(measure(self))

    @property
    def name(self) -> str:
        """The store in messages: its address, else its folder as it was given."""
        return self.cache.address if self.cache else str(self.path)

    def bytes_of(self, modality: str) -> int:
        """Bytes of all samples of a modality, as stored."""
        kind = self.modality(modality)
        each = int(np.prod(kind.shape[1:] if kind.ragged else kind.shape)) * np.dtype(kind.dtype).itemsize
        return each * (int(self._ends(modality)[-1]) if kind.ragged else len(self))

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """Reads these modalities into memory, for all users of this store, and returns the store.

        Reads nothing when all modalities in memory would then need more than `limit_bytes`, and no
        modality of a large store whose samples differ in length.
        """
        names = list(dict.fromkeys([*self._memory, *modalities]))
        if self.is_large and any(self.modality(name).ragged for name in names):
            return self
        if sum(map(self.bytes_of, names)) <= limit_bytes:
            for name in names:
                if name not in self._memory:
                    self._memory[name] = self._read_all(name)
        return self

    def close(self) -> None:
        """Closes this process's files; the store stays usable."""
        self.files.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_columns": {}, "_end_positions": {}}

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            self._columns[name] = self._stored_columns.read(name)
        return self._columns[name]

    def _ends(self, modality: str) -> np.ndarray:
        """Where each row ends in the concatenation of all rows, int64 (count + 1,), 0 first."""
        if modality not in self._end_positions:
            lengths = self._column(f"length/{modality}")
            shard = int(np.searchsorted(self._starts, lengths.argmin(), side="right") - 1) if len(lengths) else 0
            self._require_lengths(lengths, shard, modality)
            self._end_positions[modality] = np.concatenate([[0], np.cumsum(lengths)])
        return self._end_positions[modality]

    def _require_lengths(self, lengths: np.ndarray, shard: int, modality: str) -> None:
        if len(lengths) and lengths.min() < 0:
            raise self.files.damaged(shard, f"/length/{modality} holds a length below 0")

    def _by_shard(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Per shard: its number, the places in `wanted`, and the row numbers in the shard."""
        for shard, places in places_of(np.searchsorted(self._starts, wanted, side="right") - 1):
            yield shard, places, wanted[places] - self._starts[shard]

    def _read_all(self, modality: str) -> np.ndarray:
        """All samples as one array; the samples of a ragged modality are concatenated."""
        if not self.modality(modality).ragged:
            return np.asarray(self.read(self.rows(), modality))
        return np.concatenate([self._whole(shard, modality) for shard in range(len(self.manifest.shards))])

    def _whole(self, shard: int, modality: str) -> np.ndarray:
        """The concatenated samples of a ragged modality in a shard, read at once."""
        flat = self._flat(shard, modality, int(self._shard_ends(shard, modality)[-1]))
        with self.files.damage(shard, f"the checksum of /{modality} does not match"):
            values: np.ndarray = flat[()]
            if len(values) and unwritten(flat, values, 0):
                raise self.files.damaged(shard, f"/{modality} lacks parts that its index lists")
        return values

    def _flat(self, shard: int, modality: str, total: int) -> Any:
        """The concatenated samples of a ragged modality in a shard, `total` values in all."""
        kind = self.modality(modality)
        return self.files.dataset(shard, modality, kind.dtype, (total, *kind.shape[1:]))

    def _shard_ends(self, shard: int, modality: str) -> np.ndarray:
        """Where each row of a shard ends in the concatenation of its rows, 0 first."""
        if not self.is_large:
            ends = self._ends(modality)[self._starts[shard] : self._starts[shard + 1] + 1]
            return ends - ends[0]
        lengths = self.parts.of_shard(f"length/{modality}", shard)
        self._require_lengths(lengths, shard, modality)
        return np.concatenate([[0], np.cumsum(lengths)])

    def _pieces(self, wanted: np.ndarray, kind: Modality) -> list[np.ndarray]:
        if kind.name in self._memory:
            ends = self._ends(kind.name)
            return [self._memory[kind.name][ends[row] : ends[row + 1]] for row in wanted]
        out: list[np.ndarray] = [np.empty(0)] * len(wanted)
        for shard, places, local in self._by_shard(wanted):
            ends = self._shard_ends(shard, kind.name)
            flat, first = self._flat(shard, kind.name, int(ends[-1])), int(self._starts[shard])
            for place, row in zip(places.tolist(), local.tolist(), strict=True):
                start, stop = ends[row : row + 2]
                try:
                    out[place] = flat[start:stop]
                    if stop > start and unwritten(flat, out[place], int(start)):
                        raise OSError("a part is missing")
                except HDF5_ERRORS as cause:
                    raise self.files.bad_checksum(shard, kind.name, row, first, cause) from cause
        self.files.rest()
        return out

    def _decoded(self, pieces: list[np.ndarray], wanted: np.ndarray, kind: Modality) -> list[np.ndarray]:
        out = []
        for piece, row in zip(pieces, wanted.tolist(), strict=True):
            try:
                out.append(decoded(kind, piece, f"row {row}") if len(piece) else black_pixel())
            except BadSample as fault:
                self.report_damage(row, kind.name, fault)
        return out

    def _picture(self, piece: np.ndarray, row: int, kind: Modality) -> np.ndarray | LazyImage:
        if len(piece):
            try:
                return LazyImage(kind, piece, f"row {row}")
            except BadSample as fault:
                self.report_damage(row, kind.name, fault)
        return black_pixel()

    def _read_into(self, out: np.ndarray, places: np.ndarray, local: np.ndarray, shard: int, modality: str) -> None:
        """Fills `out[places]` with rows `local` of a shard; adjacent rows are one read."""
        dataset = self._dataset(shard, self.modality(modality))
        order = np.argsort(local, kind="stable")
        places, local = places[order], local[order]
        for run in np.split(np.arange(len(local)), np.flatnonzero(np.diff(local) > 1) + 1):
            first, last = int(local[run[0]]), int(local[run[-1]])
            try:
                values = dataset[first : last + 1]
                if lost := unwritten(dataset, values, first):
                    there = self.values(f"present/{modality}", self._starts[shard] + np.asarray(lost))
                    lost = [row for row, is_there in zip(lost, there, strict=True) if is_there]
            except HDF5_ERRORS as cause:
                raise self._bad_row(dataset, shard, modality, range(first, last + 1)) from cause
            if lost:
                raise self.files.damaged(shard, f"/{modality} lacks the sample of its row {lost[0]}")
            out[places[run]] = values[local[run] - first]

    def _dataset(self, shard: int, kind: Modality) -> Any:
        """The samples of a modality in a shard, all of one shape."""
        return self.files.dataset(shard, kind.name, kind.dtype, (self.manifest.shards[shard].rows, *kind.shape))

    def _bad_row(self, dataset: Any, shard: int, modality: str, rows: range) -> MultiviewError:
        for row in rows:
            try:
                dataset[row]
            except HDF5_ERRORS as cause:
                return self.files.bad_checksum(shard, modality, row, int(self._starts[shard]), cause)
        return self.files.damaged(shard, f"/{modality} could not be read")
