"""Arrays with one row per sample: tables, images, sounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.files import arrayfiles
from multiview.data.files.failures import name_failures
from multiview.data.listing import splits
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.values import ModalityChoice, as_stored, declare_modality, kind_of, parse_modalities, text_bytes
from multiview.errors import MultiviewError, suggestion, unknown_name

IDS = ("id", "ids")
LABELS = ("label", "labels", "y", "target", "targets", "class")
SPLITS = ("split", "splits", "fold")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Arrays: `.npz`, HDF5 (`.h5`, `.hdf5`, `.mat` version 7.3), or a folder of `.npy` files.

    Every array with one row per sample becomes a modality: rows of numbers become tables; bytes
    with 1 or 3 channels images; matrices points (series with --rate); texts text.
    Pickled objects are refused. A sample that is not finite is rejected.

    Args:
        modalities: arrays to read, as [NAME, ...], {NAME: ARRAY} or, to give the kind as well,
            {"NAME:KIND": ARRAY} (null = all).
        id_column: array of ids (null = `id` if it exists, otherwise the number of the row).
        label_column: array of classes (null = `label`, `labels`, `y`, `target` or `class`).
        split_column: array of splits (null = `split` or `fold` if it exists, otherwise by a hash of
            the ids).
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where no array does.
        rate: samples per second of series and sounds.
    """

    modalities: dict[str, str] | tuple[str, ...] | None = None
    id_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    split: str = "70/10/20"
    rate: float | None = None

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        splits.parse_shares(self.split)
        parse_modalities(self.modalities or ())

    def plan(self, root: Path | None) -> Plan:
        """Plans one sample per row. Raises MultiviewError when the arrays do not match."""
        assert root is not None
        path = _file(root)
        forms = arrayfiles.headers(path)
        roles = {
            "id": _role(path, forms, self.id_column, IDS),
            "label": _role(path, forms, self.label_column, LABELS),
            "split": _role(path, forms, self.split_column, SPLITS),
        }
        chosen, notes = self._chosen(path, forms, set(roles.values()))
        count = _count(path, forms, chosen, [name for name in roles.values() if name])
        parts = [_modality(path, each, forms[each.where[0]], self.rate) for each in chosen]
        rows = _rows(path, count, roles, splits.parse_shares(self.split))
        notes += [] if roles["split"] else [splits.hash_split_note(splits.parse_shares(self.split))]
        reader = _Reader(path, tuple(each.where[0] for each in chosen), tuple(parts))
        return Plan(rows, tuple(parts), reader, notes=tuple(notes))

    def _chosen(
        self, path: Path, forms: dict[str, arrayfiles.ArrayHeader], taken: set[str | None]
    ) -> tuple[tuple[ModalityChoice, ...], list[str]]:
        if self.modalities:
            chosen = parse_modalities(self.modalities)
            for each in chosen:
                if each.where[0] not in forms:
                    raise unknown_name(f"array of {path}", each.where[0], forms)
            return chosen, []
        left = {name: shape for name, (shape, _) in forms.items() if name not in taken}
        lengths = [shape[0] for shape in left.values() if shape]
        count = max(set(lengths), key=lambda n: (lengths.count(n), n), default=0)
        names = [name for name, shape in left.items() if shape and shape[0] == count]
        others = sorted(set(left) - set(names))
        notes = [f"skipped {', '.join(others)}: not {count} rows."] if others else []
        return tuple(ModalityChoice(name.replace("/", "_"), None, (name,)) for name in names), notes


def _file(root: Path) -> Path:
    """The file to read: `root`, or the only file of arrays in it if there are no `.npy` files."""
    if not root.is_dir() or any(root.glob("*.npy")):
        return root
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in arrayfiles.ENDINGS)
    if len(files) != 1:
        there = ", ".join(path.name for path in files) or "none"
        raise MultiviewError(
            f"{root} should hold .npy files or exactly one file of arrays, it holds: {there}. Give the file itself."
        )
    return files[0]


def _role(path: Path, forms: dict[str, arrayfiles.ArrayHeader], given: str | None, usual: Sequence[str]) -> str | None:
    if given is not None and given not in forms:
        near = suggestion(given, forms)
        raise MultiviewError(f"{path} has no array '{given}'; it has: {', '.join(forms)}.{near}")
    return given or next((name for name in usual if name in forms and len(forms[name][0]) == 1), None)


def _count(
    path: Path, forms: dict[str, arrayfiles.ArrayHeader], chosen: Sequence[ModalityChoice], roles: Sequence[str]
) -> int:
    if not chosen:
        raise MultiviewError(f"{path} holds no array for a modality; it has: {', '.join(forms) or 'none'}.")
    lengths = {name: (forms[name][0] or (0,))[0] for name in [*(each.where[0] for each in chosen), *roles]}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise MultiviewError(
            f"the arrays of {path} differ in their numbers of rows: {listing}. Choose arrays with --modalities."
        )
    return lengths[chosen[0].where[0]]


def _modality(path: Path, each: ModalityChoice, form: arrayfiles.ArrayHeader, rate: float | None) -> Modality:
    (_, *shape), dtype = form
    kind = each.kind or kind_of(each.name, tuple(shape), dtype, rate)
    if kind == "text":
        texts = arrayfiles.read_array(path, each.where[0]).tolist()
        longest = max((len(text.encode()) for text in texts), default=1)
        return declare_modality(each.name, kind, (max(longest, 1),), np.dtype("U"))
    return declare_modality(each.name, kind, tuple(shape), dtype, rate)


def _rows(path: Path, count: int, roles: dict[str, str | None], shares: Sequence[float]) -> list[Row]:
    texts = {role: _texts(path, name) for role, name in roles.items() if name}
    width = len(str(max(count - 1, 0)))
    ids = texts.get("id") or [f"{number:0{width}d}" for number in range(count)]
    labels = texts.get("label") or [""] * count
    named = [splits.canonical_split(name) or None for name in texts["split"]] if "split" in texts else None
    return [
        Row(name, label=label or None, split=named[number] if named else splits.split_by_hash(name, shares))
        for number, (name, label) in enumerate(zip(ids, labels, strict=True))
    ]


def _texts(path: Path, name: str) -> list[str]:
    """The texts of an array of ids, classes or splits; empty for a number that is not finite."""
    array = arrayfiles.read_array(path, name)
    if array.dtype.kind == "f":
        return ["" if not np.isfinite(value) else f"{value:g}" for value in array.tolist()]
    return [str(value) for value in array.tolist()]


@dataclass(frozen=True)
class _Reader:
    path: Path
    arrays: tuple[str, ...]
    modalities: tuple[Modality, ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        with name_failures(f"{self.path.name}, row {number}"):
            return {
                modality.name: self._value(modality, arrayfiles.read_row(self.path, name, number))
                for name, modality in zip(self.arrays, self.modalities, strict=True)
            }

    def _value(self, modality: Modality, value: np.ndarray) -> np.ndarray:
        if modality.kind == "text":
            text = value.item()
            return text_bytes(text.decode() if isinstance(text, bytes) else str(text), modality.shape[0])
        return as_stored(modality, value)
