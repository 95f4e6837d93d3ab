"""Sources that read stores: one store with other splits, or several stores one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.listing.groups import groups_by_id
from multiview.data.listing.labels import read_table
from multiview.data.listing.splits import NAMES, parse_shares, split_by_hash
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, unknown_name


@dataclass(frozen=True, kw_only=True)
class Resplit:
    """The samples of a store in new splits; the fields are the options of `multiview split`.

    `of` is the hash of the manifest of the store.
    """

    store: str
    split: str = "70/10/20"
    by: str = "id"
    of: str = field(init=False)

    needs_input: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", Store.open(self.store).manifest.hash)

    def plan(self, root: Path | None) -> Plan:
        """Plans all rows of the store, in its order. Raises MultiviewError for an unknown `by`."""
        del root
        store = Store.open(self.store)
        rows = _rows_of(store)
        names = self._split_names(store, rows)
        rows = [replace(row, split=name) for row, name in zip(rows, names, strict=True)]
        return Plan(rows, store.manifest.modalities, _Reader((store,)), classes=store.manifest.classes)

    def _split_names(self, store: Store, rows: Sequence[Row]) -> list[str | None]:
        shares = parse_shares(self.split)
        if self.by == "id":
            return [split_by_hash(row.id, shares) for row in rows]
        if self.by == "class":
            return _split_classes(rows, shares)
        if self.by in store.manifest.factors:
            return [split_by_hash(f"{self.by}={value!r}", shares) for value in store.factor(self.by).tolist()]
        by_id = groups_by_id(self.by, [row.id for row in rows])
        if self.by in store.group_names or by_id is not None:
            groups = by_id or store.group(self.by)
            keys = [f"{self.by}={name}" if name else row.id for row, name in zip(rows, groups, strict=True)]
            return [split_by_hash(key, shares) for key in keys]
        if Path(self.by).is_file():
            return _splits_from_table(Path(self.by), rows)
        raise unknown_name(
            "way to split", self.by, ("id", "class", *store.group_names, *store.manifest.factors), "Or give a CSV file."
        )


def _splits_from_table(csv: Path, rows: Sequence[Row]) -> list[str | None]:
    table = read_table(csv, "id")
    entries = table.entries(None, table.require_column("split", "split_column"))
    known = {row.id for row in rows}
    if not known & entries.keys():
        raise MultiviewError(f"no id of {csv} is in the store; the ids of the store look like '{rows[0].id}'.")
    return [entries[row.id].split if row.id in entries else None for row in rows]


def _split_classes(rows: Sequence[Row], shares: Sequence[float]) -> list[str | None]:
    """Splits every class in the same shares, by hashed ids; the error is at most one sample."""
    by_class: dict[str | None, list[int]] = {}
    for number, row in enumerate(rows):
        by_class.setdefault(row.label, []).append(number)
    names: list[str | None] = [None] * len(rows)
    bounds = np.cumsum(shares) / 100
    for members in by_class.values():
        members.sort(key=lambda number: _hash_id(rows[number].id))
        for place, number in enumerate(members):
            reached = (place + 0.5) / len(members) >= bounds[:-1]
            names[number] = NAMES[len(shares)][int(reached.sum())]
    return names


def _hash_id(identity: str) -> bytes:
    """A sort key that depends on the id alone."""
    import hashlib

    return hashlib.sha256(identity.encode()).digest()


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The samples of several stores one after another. `of`: the hashes of their manifests."""

    stores: tuple[str, ...]
    of: tuple[str, ...] = field(init=False)

    needs_input: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", tuple(Store.open(store).manifest.hash for store in self.stores))

    def plan(self, root: Path | None) -> Plan:
        """Plans all rows. Raises MultiviewError when an id repeats or modalities differ."""
        del root
        stores = tuple(Store.open(store) for store in self.stores)
        modalities: dict[str, Modality] = {}
        classes: dict[str, None] = {}
        seen: dict[str, Path] = {}
        rows = []
        for store in stores:
            _add_modalities(modalities, store)
            classes |= dict.fromkeys(store.manifest.classes)
            rows += _rows_of(store)
            _add_ids(seen, store)
        return Plan(rows, tuple(modalities.values()), _Reader(stores), classes=tuple(classes))


def _add_modalities(known: dict[str, Modality], store: Store) -> None:
    for modality in store.manifest.modalities:
        first = known.setdefault(modality.name, modality)
        if first != modality:
            raise MultiviewError(
                f"{store.path} holds {modality.name} as {modality.dtype}{modality.shape} {modality.unit}, "
                f"another store as {first.dtype}{first.shape} {first.unit}; make the stores "
                "alike first, for example with --size."
            )


def _add_ids(seen: dict[str, Path], store: Store) -> None:
    for name in store.ids:
        if name in seen:
            raise MultiviewError(f"both {seen[name]} and {store.path} hold a sample '{name}'; ids must be unique.")
        seen[name] = store.path


def _splits_of(store: Store) -> list[str | None]:
    """The split of every row."""
    splits: list[str | None] = [None] * len(store)
    for name in store.split_names:
        for row in store.rows(name).tolist():
            splits[row] = name
    return splits


def _rows_of(store: Store) -> list[Row]:
    classes, names, splits = store.manifest.classes, store.manifest.factors, _splits_of(store)
    factors = {name: store.factor(name) for name in names}
    groups = {name: store.group(name) for name in store.manifest.groups}
    return [
        Row(
            identity,
            label=classes[label] if label >= 0 else None,
            split=split,
            factors={name: float(factors[name][row]) for name in names if np.isfinite(factors[name][row])},
            groups={name: group for name, values in groups.items() if (group := values[row])},
        )
        for row, (identity, label, split) in enumerate(zip(store.ids, store.labels.tolist(), splits, strict=True))
    ]


@dataclass(frozen=True)
class _Reader:
    stores: tuple[Store, ...]

    def __call__(self, number: int) -> Mapping[str, np.ndarray]:
        row = number
        for store in self.stores:
            if row < len(store):
                break
            row -= len(store)
        names = [each.name for each in store.manifest.modalities if store.present(each.name)[row]]
        return {name: store.read([row], name, decode=False)[0] for name in names}
