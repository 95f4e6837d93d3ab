"""Several stores as one: their rows follow one another, and each keeps the modalities it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiview.data.files.encoded import LazyImage, black_pixel, empty_sample
from multiview.data.load.mixing import PLUS
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.data.store.grouped import places_of
from multiview.data.store.manifest import NO_SPLIT, Manifest, Provenance, digest
from multiview.data.store.reading import Store
from multiview.data.store.shard import group_dataset
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.files import size_text
from multiview.remote.address import last_name


@dataclass(frozen=True)
class Mix:
    """The stores of a run, their names, and their parts of a batch; None = by their sizes."""

    stores: tuple[Store, ...]
    names: tuple[str, ...]
    ratio: tuple[int, ...] | None

    @property
    def weights(self) -> tuple[float, ...]:
        """The share of each store in what is trained on; they sum to 1."""
        parts = self.ratio or tuple(training_rows(store) for store in self.stores)
        return tuple(part / max(sum(parts), 1) for part in parts)

    def joined(self, found: Sequence[Statistics | None]) -> Statistics | None:
        """Statistics over the mix, from those of the stores; None where a store has none."""
        pairs = [(w, s) for w, s in zip(self.weights, found, strict=True) if s is not None]
        if not pairs:
            return None
        weights = np.array([w for w, _ in pairs]) / sum(w for w, _ in pairs)
        mean, std = (np.array([getattr(s, name) for _, s in pairs]) for name in ("mean", "std"))
        whole = weights @ mean
        spread = np.sqrt(weights @ (std**2 + (mean - whole) ** 2))
        low = np.min([s.low for _, s in pairs], axis=0)
        high = np.max([s.high for _, s in pairs], axis=0)
        numbers = [tuple(map(float, each)) for each in (whole, spread, low, high)]
        return Statistics(sum(s.count for _, s in pairs), *numbers)


class MixedStore(Store):
    """The rows of several stores, one store after the other. Ids begin with the store's name.

    A row lacks the modalities that its store does not have. Classes, splits, groups and factors of
    one name are the same in all stores.
    """

    def __init__(self, mix: Mix) -> None:
        super().__init__(Path(PLUS.join(store.name for store in mix.stores)), _manifest(mix))
        self.mix = mix
        self.first_rows = np.cumsum([0, *map(len, mix.stores)])

    @property
    def spec(self) -> str:
        """See `Store.spec`: the words of all stores, joined by a plus."""
        return PLUS.join(store.spec for store in self.mix.stores)

    @property
    def place(self) -> str:
        """See `Store.place`: those of all stores."""
        return self.spec

    @property
    def ratio(self) -> tuple[int, ...] | None:
        """See `Store.ratio`."""
        return self.mix.ratio

    def measured(self, measure: Callable[[Store], Mapping[str, Statistics]]) -> dict[str, Statistics]:
        """See `Store.measured`."""
        return _joined_by_name(self.mix, [measure(store) for store in self.mix.stores])

    @property
    def name(self) -> str:
        """See `Store.name`."""
        return f" {PLUS} ".join(store.name for store in self.mix.stores)

    def read(
        self, rows: Sequence[int] | np.ndarray, modality: str, decode: bool = True
    ) -> np.ndarray | list[np.ndarray]:
        """See `Store.read`."""
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        if kind.ragged:
            empty = black_pixel() if kind.encoding and decode else empty_sample(kind, stored=True)
            out: list[np.ndarray] = [empty] * len(wanted)
        else:
            out = np.zeros((len(wanted), *kind.shape), kind.dtype)  # type: ignore[assignment]
        for store, places, local in self._by_store(wanted, modality):
            for place, sample in zip(places, store.read(local, modality, decode), strict=True):
                out[place] = sample
        return out

    def read_for_crops(self, rows: np.ndarray, modality: str) -> np.ndarray | list[np.ndarray | LazyImage]:
        """See `Store.read_for_crops`."""
        kind, wanted = self.modality(modality), self.checked_rows(rows)
        out: list[np.ndarray | LazyImage] = [empty_sample(kind)] * len(wanted)
        for store, places, local in self._by_store(wanted, modality):
            for place, sample in zip(places, store.read_for_crops(local, modality), strict=True):
                out[place] = sample
        return out

    def was_read(self, rows: np.ndarray, modality: str) -> np.ndarray:
        """See `Store.was_read`."""
        out = np.zeros(len(rows), bool)
        for store, places, local in self._by_store(rows, modality):
            out[places] = store.was_read(local, modality)
        return out

    def report_damage(self, row: int, modality: str, fault: BadSample) -> None:
        """See `Store.report_damage`."""
        number = int(np.searchsorted(self.first_rows, row, side="right") - 1)
        self.mix.stores[number].report_damage(row - int(self.first_rows[number]), modality, fault)

    def is_in_memory(self, modality: str) -> bool:
        """See `Store.is_in_memory`."""
        return all(store.is_in_memory(modality) for store in self._with(modality))

    def bytes_of(self, modality: str) -> int:
        """See `Store.bytes_of`."""
        return sum(store.bytes_of(modality) for store in self._with(modality))

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> Store:
        """See `Store.cached`."""
        if sum(map(self.bytes_of, modalities)) <= limit_bytes:
            for store in self.mix.stores:
                held = {each.name for each in store.manifest.modalities}
                store.cached([name for name in modalities if name in held], limit_bytes)
        return self

    def close(self) -> None:
        """See `Store.close`."""
        for store in self.mix.stores:
            store.close()

    def _with(self, modality: str) -> list[Store]:
        return [store for store in self.mix.stores if _has(store, modality)]

    def _by_store(self, wanted: np.ndarray, modality: str) -> Iterator[tuple[Store, np.ndarray, np.ndarray]]:
        """Per store that has the modality: the places in `wanted`, and the rows of the store."""
        for n, places in places_of(np.searchsorted(self.first_rows, wanted, side="right") - 1):
            store = self.mix.stores[n]
            if _has(store, modality):
                yield store, places, wanted[places] - self.first_rows[n]

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            pairs = zip(self.mix.stores, self.mix.names, strict=True)
            self._columns[name] = np.concatenate([self._part(store, called, name) for store, called in pairs])
        return self._columns[name]

    def _part(self, store: Store, called: str, name: str) -> np.ndarray:
        """A column of one store, in the numbers of the whole."""
        kind, _, column = name.partition("/")
        if name == "id":
            return np.array([f"{called}/".encode() + each for each in store._column(name).tolist()], object)
        if name == "label":
            return _renumbered(store.labels, store.manifest.classes, self.manifest.classes, -1)
        if name == "split":
            return _renumbered(store._column(name), store.split_names, self.split_names, NO_SPLIT).astype(np.uint8)
        if kind in ("present", "length") and not _has(store, column):
            return np.zeros(len(store), np.uint8 if kind == "present" else np.int64)
        if kind == "factor" and column not in store.manifest.factors:
            return np.full(len(store), np.nan)
        if kind == "group":
            return self._group_part(store, name)
        return store._column(name)

    def _group_part(self, store: Store, name: str) -> np.ndarray:
        column = next(each for each in self.manifest.groups if group_dataset(each) == name)
        if column not in store.manifest.groups:
            return np.full(len(store), -1)
        return _renumbered(store._column(name), store.manifest.groups[column], self.manifest.groups[column], -1)


def mixed(stores: Sequence[Store], ratio: tuple[int, ...] | None) -> MixedStore:
    """Several stores as one. Raises MultiviewError when a modality is not of one form in all."""
    return MixedStore(Mix(tuple(stores), _names(stores), ratio))


def cache_note(store: Store) -> str | None:
    """A sentence when the local cache cannot hold the whole store, whose samples are shuffled."""
    total = sum(shard.size for shard in store.manifest.shards)
    if not store.cache or total <= store.cache.limit:
        return None
    return (
        f"Note: {store.name} has {size_text(total)} and the local cache holds {size_text(store.cache.limit)}: an order "
        "that shuffles all samples fetches shards again and again. Give --train.order window, which shuffles 64 shards "
        "at a time, or a larger --cache_size where the disk allows it."
    )


def _has(store: Store, modality: str) -> bool:
    return any(each.name == modality for each in store.manifest.modalities)


def training_rows(store: Store) -> int:
    """How many training samples a store has."""
    return store.manifest.splits.get("train", 0)


def _names(stores: Sequence[Store]) -> tuple[str, ...]:
    """A short name of each store: the last part of its place, with a number where two are equal."""
    names: list[str] = []
    for store in stores:
        plain = last_name(store.name)
        same = sum(name == plain or name.startswith(f"{plain}#") for name in names)
        names.append(f"{plain}#{same + 1}" if same else plain)
    return tuple(names)


def _renumbered(codes: np.ndarray, own: Sequence[str], all_names: Sequence[str], none: int) -> np.ndarray:
    """Codes of names of one store as codes of the names of all stores."""
    places = np.array([*(all_names.index(name) for name in own), none], np.int64)
    return places[np.where(codes == none, len(own), codes).astype(np.int64)]


def _manifest(mix: Mix) -> Manifest:
    manifests = [store.manifest for store in mix.stores]
    splits = {name: 0 for each in manifests for name in each.splits}
    for each in manifests:
        for name, count in each.splits.items():
            splits[name] += count
    groups = _union_of_groups(manifests)
    return Manifest(
        count=sum(each.count for each in manifests),
        rejected=sum(each.rejected for each in manifests),
        modalities=_modalities(mix),
        splits=splits,
        classes=_union(each.classes for each in manifests),
        factors=_union(each.factors for each in manifests),
        statistics=_joined_by_name(mix, [store.statistics for store in mix.stores]),
        shards=(),
        provenance=_provenance(mix),
        views=_joined_views(mix),
        groups=groups,
        schema=2 if groups else 1,
    )


def _provenance(mix: Mix) -> Provenance:
    hashes = [store.manifest.hash for store in mix.stores]
    options = {"stores": hashes, "ratio": list(mix.ratio) if mix.ratio else None}
    return Provenance(source="mix", options=options, input=None, plan=digest(hashes), shard_rows=0, versions={})


def _union(lists: Iterator[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))


def _union_of_groups(manifests: Sequence[Manifest]) -> dict[str, tuple[str, ...]]:
    columns = _union(tuple(each.groups) for each in manifests)
    return {column: _union(each.groups.get(column, ()) for each in manifests) for column in columns}


def _modalities(mix: Mix) -> tuple[Modality, ...]:
    """Every modality once. Raises MultiviewError when two stores hold different forms of one."""
    found: dict[str, tuple[Modality, Store]] = {}
    for store in mix.stores:
        for each in store.manifest.modalities:
            first, where = found.setdefault(each.name, (each, store))
            if first != each:
                raise MultiviewError(
                    f"{where.name} and {store.name} cannot be mixed: they hold {each.name} as {_form(first)} and "
                    f"{_form(each)}. Prepare both with the same options of `multiview preprocess`."
                )
    return tuple(each for each, _ in found.values())


def _form(kind: Modality) -> str:
    rate = f" at {kind.rate:g} Hz" if kind.rate else ""
    return f"{kind.encoding or kind.dtype}{list(kind.shape)} {kind.unit}{rate}".rstrip()


def _joined_by_name(mix: Mix, each: Sequence[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    names = dict.fromkeys(name for found in each for name in found)
    joined = {name: mix.joined([found.get(name) for found in each]) for name in names}
    return {name: found for name, found in joined.items() if found is not None}


def _joined_views(mix: Mix) -> dict[str, Statistics]:
    """Of views that were measured in every store; the others are measured when they are needed."""
    each = [store.view_statistics for store in mix.stores]
    common = [name for name in each[0] if all(name in found for found in each)]
    return _joined_by_name(mix, [{name: found[name] for name in common} for found in each])
