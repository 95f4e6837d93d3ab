"""Arrays with one row per sample: tables, images, sounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.columns.array_file import ArrayFile, find_array_file, open_array_file
from multiview.data.columns.array_roles import IDS as IDS
from multiview.data.columns.array_roles import LABELS as LABELS
from multiview.data.columns.array_roles import SPLITS as SPLITS
from multiview.data.columns.array_roles import find_roles, has_role, labels_of_other_length, tells_labels
from multiview.data.columns.file_columns import RAGGED
from multiview.data.columns.time_axis import LOOKED_AT, time_axis
from multiview.data.files.failures import name_failures
from multiview.data.listing import splits
from multiview.data.listing.labels import SEVERAL, repeats
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.values import (
    NAMED,
    ChannelAxis,
    ModalityChoice,
    as_stored,
    channels_first_note,
    channels_last,
    check_channel_axis,
    declare_modality,
    has_channels_first,
    kind_of,
    parse_modalities,
    said_once,
    text_bytes,
)
from multiview.errors import MultiviewError

PICTURE_SIDE = 16
"""Bytes (height, width, 3) with both sides at least this long are a picture, not rows of greys."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Arrays: `.npz`, HDF5 (`.h5`, `.hdf5`, `.mat` version 7.3), or a folder of `.npy` files.

    Every array with one row per sample becomes a modality: rows of numbers become tables; bytes
    with 1 or 3 channels images; matrices points (series with --rate); texts text.
    Arrays `train/NAME`, `train_NAME` or `NAME_train` (val, test) make the splits; a group per
    sample is a sample. Labels never become a modality by themselves. Pickled objects are refused.
    A row of a float array that is all NaN is an absent view; any other value that is not finite
    rejects its sample.

    Args:
        modalities: arrays to read, as [NAME, ...], {NAME: ARRAY} or, to give the kind as well,
            {"NAME:KIND": ARRAY} (null = all).
        id_column: array of ids (null = `id` if it exists, otherwise the number of the row).
        label_column: array of classes, one per row or one-hot (null = `label`, `labels`, `y`,
            `target` or `class`).
        split_column: array of splits (null = `split` or `fold` if it exists, otherwise by a hash of
            the ids).
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where no array does.
        rate: samples per second of series and sounds.
        channel_axis: place of the channels of images, bands, series and the like: `last`, as in
            (height, width, channels) and (times, channels), `first`, as in PyTorch, or `guess`.
    """

    modalities: dict[str, str] | tuple[str, ...] | None = None
    id_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    split: str = "70/10/20"
    rate: float | None = None
    channel_axis: ChannelAxis = "guess"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        splits.parse_shares(self.split)
        parse_modalities(self.modalities or ())
        check_channel_axis(self.channel_axis)

    def plan(self, root: Path | None) -> Plan:
        """Plans one sample per row. Raises MultiviewError when the arrays do not match."""
        assert root is not None
        return self.plan_arrays(open_array_file(find_array_file(root)))

    def plan_arrays(self, file: ArrayFile) -> Plan:
        """Plans one sample per row of arrays that are open, or in memory."""
        given = {"id": self.id_column, "label": self.label_column, "split": self.split_column}
        for name in filter(None, given.values()):
            file.require_role(name)
        chosen, notes = self._chosen(file, {name for name in given.values() if name})
        roles, more = find_roles(file, given, chosen)
        _require_rows(file, chosen, [name for role, name in roles.items() if name and given[role]])
        misfits = {} if roles["label"] else labels_of_other_length(file, chosen)
        if misfits and not self.modalities:
            first = next(iter(misfits.values()))
            raise MultiviewError(f"{first} Give one label per sample, or read the samples {_unlabelled(chosen)}.")
        more = [note for note in more if not any(note.startswith(f"'{name}' looks like") for name in misfits)]
        more += [f"{each} The samples are read without labels." for each in misfits.values()]
        parts = [self._part(file, each) for each in chosen]
        texts = {role: file.texts(name) for role, name in roles.items() if name}
        rows, last = _rows(file, texts, splits.parse_shares(self.split))
        own = said_once((part.modality.name, note) for part in parts for note in part.notes)
        notes += [*more, *file.notes, *own, *last]
        modalities, reader = tuple(part.modality for part in parts), _Reader(file, tuple(parts))
        others = _others(file, len(rows), {name for name in roles.values() if name})
        column = partial(_column, file, len(rows))
        return Plan(rows, modalities, reader, notes=tuple(notes), column=column, others=others)

    def _chosen(self, file: ArrayFile, roles: set[str]) -> tuple[tuple[ModalityChoice, ...], list[str]]:
        if self.modalities:
            return _required(file, parse_modalities(self.modalities)), []
        forms = {name: shape for name, (shape, _) in file.forms.items() if name not in roles}
        classes = {name for name, form in file.forms.items() if _is_text_list(*form) or _are_classes(file, name, *form)}
        left = {name: shape for name, shape in forms.items() if not has_role(name, shape) and name not in classes}
        lengths = [shape[0] for shape in left.values() if shape]
        count = max(set(lengths), key=lambda n: (lengths.count(n), n), default=0)
        names = [name for name, shape in left.items() if shape and shape[0] == count]
        others = ", ".join(sorted(set(left) - set(names)))
        notes = [f"skipped {others}: not an array with {count} rows."] if others else []
        for name in names:
            _refuse_single_picture(file, name)
        return tuple(ModalityChoice(name.replace("/", "_"), None, (name,)) for name in names), notes

    def _part(self, file: ArrayFile, each: ModalityChoice) -> _ArrayPart:
        name = each.where[0]
        (_, *rest), dtype = file.forms[name]
        shape = tuple(rest)
        if declared := file.declared(name):
            return _ArrayPart(name, replace(declared, name=each.name))
        kind = each.kind or kind_of(each.name, shape, dtype, self.rate)
        if kind == "text":
            return _text_part(file, each)
        if kind == "points" and not each.kind and (axis := _time_axis(file, each, shape)) is not None:
            return self._timed_part(each, shape, dtype, axis)
        if ANY in shape:
            return _ragged_part(each, kind, shape, dtype, self.rate)
        return self._even_part(file, each, kind)

    def _timed_part(self, each: ModalityChoice, shape: tuple[int, ...], dtype: np.dtype, axis: int) -> _ArrayPart:
        """Matrices that change smoothly along an axis: a series; without --rate 1 step a second."""
        first = axis == 1 if self.channel_axis == "guess" else self.channel_axis == "first"
        stored = shape[::-1] if first else shape
        note = (
            f"'{each.name}' {shape} is taken for a series of {stored[0]} times and {stored[1]} channels, because its "
            f"values change smoothly along the {stored[0]}, with 1 step per second; give --rate if that matters, and "
            f"the kind, as in '{each.name}:points', if they are points."
        )
        modality = declare_modality(each.name, "series", stored, dtype, self.rate or 1.0)
        return _ArrayPart(each.where[0], modality, first, (note,))

    def _even_part(self, file: ArrayFile, each: ModalityChoice, kind: str) -> _ArrayPart:
        """A part whose samples have one shape."""
        name = each.where[0]
        (_, *rest), dtype = file.forms[name]
        shape = tuple(rest)
        first = has_channels_first(kind, shape, self.channel_axis)
        notes = [channels_first_note(each.name, kind, shape)] if first and self.channel_axis == "guess" else []
        notes += _kind_notes(file, each, kind)
        if first:
            shape = channels_last(kind, np.broadcast_to(np.uint8(0), shape)).shape
        modality = declare_modality(each.name, kind, shape, dtype, self.rate)
        return _ArrayPart(name, modality, first, tuple(notes))


def _column(file: ArrayFile, rows: int, name: str) -> list[str | None]:
    """The texts of an array with one value per sample; None where a number is not finite."""
    file.require_role(name)
    if _holds_lists(file, rows, name):
        return [_joined(file.read(name, row)) if file.has(name, row) else None for row in range(rows)]
    if file.forms[name][0] not in ((rows,), (rows, 1)):
        raise MultiviewError(f"'{name}' in {file.path} has not one value per sample, so it cannot tell groups.")
    return [text or None for text in file.texts(name)]


def _others(file: ArrayFile, rows: int, roles: Collection[str]) -> list[str]:
    """The arrays with one value, or a list of labels, for every sample."""
    single = ((rows,), (rows, 1))
    return [
        name
        for name, (shape, _) in file.forms.items()
        if name not in roles and (shape in single or _holds_lists(file, rows, name))
    ]


def _is_text_list(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether the samples of an array are lists of texts."""
    return dtype.kind == "U" and len(shape) == 2 and shape[1] != 1


def _are_classes(file: ArrayFile, name: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether an array of texts holds names that repeat, and is not called a text."""
    single = dtype.kind in "US" and len(shape) <= 2 and shape[1:] in ((), (1,))
    return single and NAMED.get(name.rpartition("/")[2].casefold()) != "text" and repeats(file.texts(name))


def _holds_lists(file: ArrayFile, rows: int, name: str) -> bool:
    """Whether an array has a list of labels for every sample: texts, or a yes or no for each."""
    shape, dtype = file.forms[name]
    if shape[:1] != (rows,) or len(shape) != 2 or shape[1] == 1:
        return False
    yes_or_no = dtype.kind in "buif" and shape[1] != ANY and tells_labels(name, shape)
    return _is_text_list(shape, dtype) or (yes_or_no and bool(np.isin(file.read_all(name), (0, 1)).all()))


def _joined(cell: np.ndarray) -> str:
    """A list of texts, or the places of the ones, as one text."""
    names = cell.tolist() if cell.dtype.kind == "U" else np.flatnonzero(cell).tolist()
    return SEVERAL.join(map(str, names)) or SEVERAL


def _required(file: ArrayFile, chosen: tuple[ModalityChoice, ...]) -> tuple[ModalityChoice, ...]:
    for each in chosen:
        file.require_array(each.where[0])
    return chosen


def _ragged_part(
    each: ModalityChoice, kind: str, shape: tuple[int, ...], dtype: np.dtype, rate: float | None
) -> _ArrayPart:
    """A part whose samples differ in the first axis, or in the last of two: channels are first."""
    if kind not in RAGGED:
        raise MultiviewError(
            f"the samples of '{each.name}' differ in length, which {kind} samples cannot; bring all to one shape, or "
            f"give another kind, as in '{each.name}:series' or '{each.name}:points'."
        )
    first = len(shape) == 2 and shape[1] == ANY
    modality = declare_modality(each.name, kind, shape[::-1] if first else shape, dtype, rate)
    return _ArrayPart(each.where[0], modality, first)


def _text_part(file: ArrayFile, each: ModalityChoice) -> _ArrayPart:
    name = each.where[0]
    longest = max((len(text.encode()) for text in file.read_all(name).ravel().tolist()), default=1)
    return _ArrayPart(name, declare_modality(each.name, "text", (max(longest, 1),), np.dtype("U")))


def _time_axis(file: ArrayFile, each: ModalityChoice, shape: tuple[int, ...]) -> int | None:
    """The axis along which matrices change smoothly; None for matrices that their name explains."""
    if len(shape) != 2 or ANY in shape or each.name.casefold() in NAMED:
        return None
    count, name = sum(part.count for part in file.parts), each.where[0]
    rows = [row for row in np.unique(np.linspace(0, count - 1, LOOKED_AT).astype(int)).tolist() if file.has(name, row)]
    return time_axis(np.stack([file.read(name, row) for row in rows])) if rows else None


def _kind_notes(file: ArrayFile, each: ModalityChoice, kind: str) -> list[str]:
    """Notes on what an array of this kind may mean otherwise."""
    shape, dtype = file.forms[each.where[0]]
    if not each.kind and kind == "points" and each.name.casefold() not in NAMED:
        return [_points_note(each.name, shape[1:])]
    if kind == "depth" and dtype.kind in "ui":
        return [f"'{each.name}' holds whole numbers, which are read as metres; convert other units first."]
    return file.loud_note(each.name, each.where[0]) if kind == "audio" and dtype.kind == "f" else []


def _points_note(name: str, shape: tuple[int, ...]) -> str:
    return (
        f"'{name}' {shape} is taken for points; a series of (times, channels) needs --rate, in samples per second, "
        f"or the kind, as in '{name}:series'."
    )


def _refuse_single_picture(file: ArrayFile, name: str) -> None:
    shape, dtype = file.forms[name]
    if dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and min(shape[:2]) >= PICTURE_SIDE:
        raise MultiviewError(
            f"'{name}' in {file.path} is one picture {shape}, not a row per sample; save all pictures as one array "
            "(samples, height, width, 3), or put every sample in a group of its own."
        )


def _unlabelled(chosen: Sequence[ModalityChoice]) -> str:
    return f"without labels: --modalities '[{', '.join(each.where[0] for each in chosen)}]'"


def _require_rows(file: ArrayFile, chosen: Sequence[ModalityChoice], roles: Sequence[str]) -> None:
    if not chosen:
        raise MultiviewError(f"{file.path} holds no array for a modality; it has: {', '.join(file.forms) or 'none'}.")
    lengths = {name: (file.forms[name][0] or (0,))[0] for name in [*(each.where[0] for each in chosen), *roles]}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise MultiviewError(
            f"the arrays of {file.path} differ in their numbers of rows: {listing}. Choose arrays with --modalities."
        )


def _rows(file: ArrayFile, texts: Mapping[str, Sequence[str]], shares: Sequence[float]) -> tuple[list[Row], list[str]]:
    """A row per sample, and a note where a hash of the ids decides the splits."""
    count = sum(part.count for part in file.parts)
    width = len(str(max(count - 1, 0)))
    ids = texts.get("id") or [f"{number:0{width}d}" for number in range(count)]
    if file.parts[0].whole and "id" not in texts:
        ids = [part.pattern.format("").rstrip("/") for part in file.parts]
    labels = texts.get("label") or [""] * count
    by_part = [part.split for part in file.parts for _ in range(part.count)]
    named = [splits.canonical_split(name) or None for name in texts["split"]] if "split" in texts else by_part
    given = "split" in texts or any(by_part)
    return [
        Row(name, label=label or None, split=split if given else splits.split_by_hash(name, shares))
        for name, label, split in zip(ids, labels, named, strict=True)
    ], [] if given else [splits.hash_split_note(shares)]


@dataclass(frozen=True)
class _ArrayPart:
    """An array, its modality, whether its channels are first, and notes for the user."""

    array: str
    modality: Modality
    channels_first: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reader:
    file: ArrayFile
    parts: tuple[_ArrayPart, ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        with name_failures(f"{self.file.path.name}, row {number}"):
            found = [(part, self.file.value(part.array, number)) for part in self.parts]
            return {part.modality.name: self._value(part, value) for part, value in found if value is not None}

    def one(self, number: int, modality: str) -> np.ndarray:
        """One modality of a sample that has it. Raises BadSample."""
        with name_failures(f"{self.file.path.name}, row {number}"):
            part = next(part for part in self.parts if part.modality.name == modality)
            return self._value(part, self.file.read(part.array, number))

    def _value(self, part: _ArrayPart, value: np.ndarray) -> np.ndarray:
        modality = part.modality
        if modality.kind == "text":
            text = value.item()
            return text_bytes(text.decode() if isinstance(text, bytes) else str(text), modality.shape[0])
        return as_stored(modality, channels_last(modality.kind, value) if part.channels_first else value)
