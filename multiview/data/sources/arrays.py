"""Arrays with one row per sample: tables, images, sounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.files import arrayfiles
from multiview.data.files.failures import name_failures
from multiview.data.listing import splits
from multiview.data.listing.labels import OTHER_LABELS, is_label_like
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.values import (
    FULL_SCALE,
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
    loud_sound_note,
    number_text,
    parse_modalities,
    text_bytes,
)
from multiview.errors import MultiviewError, suggestion, unknown_name

IDS = ("id", "ids")
LABELS = ("label", "labels", "y", "target", "targets", "class", *OTHER_LABELS)
SPLITS = ("split", "splits", "fold")
PICTURE_SIDE = 16
"""Bytes (height, width, 3) with both sides at least this long are a picture, not rows of greys."""
MANY_GROUPS = 16
"""So many groups with arrays of the same names are samples."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Arrays: `.npz`, HDF5 (`.h5`, `.hdf5`, `.mat` version 7.3), or a folder of `.npy` files.

    Every array with one row per sample becomes a modality: rows of numbers become tables; bytes
    with 1 or 3 channels images; matrices points (series with --rate); texts text.
    Arrays `train/NAME`, `train_NAME` or `NAME_train` (val, test) make the splits; a group per
    sample is a sample. Labels never become a modality by themselves. Pickled objects are refused.
    A sample that is not finite is rejected.

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
        file = _open(_file(root))
        given = {"id": self.id_column, "label": self.label_column, "split": self.split_column}
        for name in filter(None, given.values()):
            file.require_role(name)
        chosen, notes = self._chosen(file, {name for name in given.values() if name})
        roles, more = _roles(file, given, chosen)
        _require_rows(file, chosen, [name for role, name in roles.items() if name and given[role]])
        parts = [self._part(file, each) for each in chosen]
        texts = {role: file.texts(name) for role, name in roles.items() if name}
        rows = _rows(file, texts, splits.parse_shares(self.split))
        notes += [*more, *file.notes, *(note for part in parts for note in part.notes)]
        if "split" not in texts and not any(part.split for part in file.parts):
            notes.append(splits.hash_split_note(splits.parse_shares(self.split)))
        return Plan(rows, tuple(part.modality for part in parts), _Reader(file, tuple(parts)), notes=tuple(notes))

    def _chosen(self, file: _File, roles: set[str]) -> tuple[tuple[ModalityChoice, ...], list[str]]:
        if self.modalities:
            chosen = parse_modalities(self.modalities)
            for each in chosen:
                file.require_array(each.where[0])
            return chosen, []
        labels = [name for name, (shape, _) in file.forms.items() if name not in roles and _tells_labels(name, shape)]
        usual = (*IDS, *SPLITS)
        left = {
            name: shape
            for name, (shape, _) in file.forms.items()
            if name not in roles and name not in labels and not (_last(name) in usual and len(shape) == 1)
        }
        lengths = [shape[0] for shape in left.values() if shape]
        count = max(set(lengths), key=lambda n: (lengths.count(n), n), default=0)
        names = [name for name, shape in left.items() if shape and shape[0] == count]
        others = sorted(set(left) - set(names))
        notes = [f"skipped {', '.join(others)}: not an array with {count} rows."] if others else []
        for name in names:
            _refuse_single_picture(file, name)
        return tuple(ModalityChoice(name.replace("/", "_"), None, (name,)) for name in names), notes

    def _part(self, file: _File, each: ModalityChoice) -> _ArrayPart:
        name = each.where[0]
        (_, *rest), dtype = file.forms[name]
        shape = tuple(rest)
        kind = each.kind or kind_of(each.name, shape, dtype, self.rate)
        if kind == "text":
            longest = max((len(text.encode()) for text in file.read_all(name).ravel().tolist()), default=1)
            return _ArrayPart(name, declare_modality(each.name, kind, (max(longest, 1),), np.dtype("U")))
        first = has_channels_first(kind, shape, self.channel_axis)
        notes = [channels_first_note(each.name, kind, shape)] if first and self.channel_axis == "guess" else []
        if not each.kind and kind == "points" and each.name.casefold() not in NAMED:
            notes.append(_points_note(each.name, shape))
        if kind == "depth" and dtype.kind in "ui":
            notes.append(f"'{each.name}' holds whole numbers, which are read as metres; convert other units first.")
        if kind == "audio" and dtype.kind == "f":
            notes += file.loud_note(each.name, name)
        if first:
            shape = channels_last(kind, np.broadcast_to(np.uint8(0), shape)).shape
        modality = declare_modality(each.name, kind, shape, dtype, self.rate)
        return _ArrayPart(name, modality, first, tuple(notes))


def _points_note(name: str, shape: tuple[int, ...]) -> str:
    return (
        f"'{name}' {shape} is taken for points; a series of (times, channels) needs --rate, in samples per second, "
        f"or the kind, as in '{name}:series'."
    )


def _last(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _tells_labels(name: str, shape: tuple[int, ...]) -> bool:
    """Whether an array holds labels by its name; a picture or a mask may be called as it likes."""
    return is_label_like(name) and (len(shape) <= 2 or _last(name) in LABELS)


def _refuse_single_picture(file: _File, name: str) -> None:
    shape, dtype = file.forms[name]
    if dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and min(shape[:2]) >= PICTURE_SIDE:
        raise MultiviewError(
            f"'{name}' in {file.path} is one picture {shape}, not a row per sample; save all pictures as one array "
            "(samples, height, width, 3), or put every sample in a group of its own."
        )


def _file(root: Path) -> Path:
    """The file to read: `root`, or the only file of arrays in it if there are no `.npy` files."""
    if not root.is_dir() or any(root.glob("*.npy")):
        return root
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in arrayfiles.ENDINGS)
    if len(files) != 1:
        there = ", ".join(path.name for path in files) or "none"
        raise MultiviewError(
            f"{root} should hold .npy files or exactly one file of arrays, but it holds: {there}. "
            "Give the path of the file itself."
        )
    return files[0]


@dataclass(frozen=True)
class _Share:
    """Samples that lie together: `pattern` makes the name of an array from its name in the share.

    whole: each array is one sample, not one sample per row.
    """

    pattern: str
    count: int
    split: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class _File:
    """A file of arrays, with one name for the arrays of all shares; forms count all samples."""

    path: Path
    parts: tuple[_Share, ...]
    forms: dict[str, arrayfiles.ArrayHeader]
    refused: dict[str, str]
    notes: tuple[str, ...]

    def require_array(self, name: str) -> None:
        """Raises MultiviewError unless the array can be read."""
        if name in self.refused:
            raise MultiviewError(self.refused[name])
        if name not in self.forms:
            raise unknown_name(f"array of {self.path}", name, self.forms)

    def require_role(self, name: str) -> None:
        """Raises MultiviewError unless the array of ids, labels or splits can be read."""
        if name not in self.forms and name not in self.refused:
            near = suggestion(name, self.forms)
            raise MultiviewError(f"{self.path} has no array '{name}'; it has: {', '.join(self.forms)}.{near}")
        self.require_array(name)

    def read(self, name: str, number: int) -> np.ndarray:
        """One sample of an array."""
        for part in self.parts:
            if number < part.count:
                break
            number -= part.count
        return arrayfiles.read_row(self.path, part.pattern.format(name), () if part.whole else number)

    def read_all(self, name: str) -> np.ndarray:
        """All samples of an array."""
        arrays = [arrayfiles.read_array(self.path, part.pattern.format(name)) for part in self.parts]
        if self.parts[0].whole:
            return np.stack(arrays)
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def texts(self, name: str) -> list[str]:
        """The texts of an array of ids, classes or splits; empty where a number is not finite."""
        array = self.read_all(name)
        if array.ndim == 2:
            array = array[:, 0] if array.shape[1] == 1 else _columns_of_one_hot(array)
        return [number_text(value) for value in array] if array.dtype.kind == "f" else [str(x) for x in array.tolist()]

    def loud_note(self, modality: str, name: str) -> list[str]:
        """A note if some of the sounds in an array are louder than full scale."""
        count = self.forms[name][0][0]
        loudest = max(
            (float(np.abs(self.read(name, n)).max(initial=0)) for n in range(0, count, -(-count // 8))), default=0
        )
        return [loud_sound_note(f"'{modality}'", loudest)] if np.isfinite(loudest) and loudest > FULL_SCALE else []


def _columns_of_one_hot(array: np.ndarray) -> np.ndarray:
    """The column number of each row of a one-hot array, as text; empty for a row of zeros."""
    number = array.argmax(axis=1)
    return np.where(array.any(axis=1), number.astype(str), "")


def _is_one_hot(array: np.ndarray) -> bool:
    return array.dtype.kind in "buif" and bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) <= 1).all())


def _open(path: Path) -> _File:
    """The arrays of a file, where shares named after splits, or groups of samples, are joined."""
    forms, refused = arrayfiles.headers(path)
    notes = [f"skipped {reason}" for reason in refused.values()]
    shares = _split_shares(forms) or _group_shares(forms)
    if not shares:
        return _File(path, (_Share("{}", _rows_of(forms)),), forms, refused, tuple(notes))
    total = sum(share.count for share in shares)
    joined: dict[str, arrayfiles.ArrayHeader] = {}
    for name in _names_in(forms, shares[0].pattern):
        found = [forms.get(share.pattern.format(name)) for share in shares]
        shapes = {form[0] if share.whole else form[0][1:] for share, form in zip(shares, found, strict=True) if form}
        if None in found or len(shapes) > 1:
            notes.append(f"skipped '{name}': not every group has this array with the same shape.")
        else:
            joined[name] = (total, *shapes.pop()), found[0][1]  # type: ignore[index]
    unused = set(forms) - {share.pattern.format(name) for share in shares for name in _names_in(forms, share.pattern)}
    if unused:
        notes.append(
            f"skipped {', '.join(sorted(unused))}: in none of the {'groups' if shares[0].whole else 'splits'}."
        )
    return _File(path, tuple(shares), joined, refused, tuple(notes))


def _rows_of(forms: Mapping[str, arrayfiles.ArrayHeader]) -> int:
    return max((shape[0] for shape, _ in forms.values() if shape), default=0)


def _names_in(forms: Iterable[str], pattern: str) -> list[str]:
    before, _, after = pattern.partition("{}")
    fits = [name for name in forms if name.startswith(before) and name.endswith(after)]
    return [name[len(before) : len(name) - len(after)] for name in fits if len(name) > len(pattern) - 2]


def _split_shares(forms: Mapping[str, arrayfiles.ArrayHeader]) -> list[_Share]:
    """The shares of `train/x` and `test/x`, `x_train` and `x_test`, or `train_x` and `test_x`."""
    for form in ("{split}/{{}}", "{{}}_{split}", "{split}_{{}}"):
        named = {name: form.format(split=name).replace("{{}}", "{}") for name in _split_names(forms, form)}
        inner = {name: set(_names_in(forms, pattern)) for name, pattern in named.items()}
        common = set.intersection(*inner.values()) if len(inner) > 1 else set()
        if common and not all(is_label_like(name) for name in common):
            return [
                _Share(pattern, _rows_of({n: forms[pattern.format(n)] for n in common}), splits.canonical_split(name))
                for name, pattern in named.items()
            ]
    return []


def _split_names(forms: Iterable[str], form: str) -> list[str]:
    """The spellings of splits in the names of arrays, in the order of the splits."""
    cut = {"{split}/{{}}": ("/", 0), "{{}}_{split}": ("_", -1), "{split}_{{}}": ("_", 0)}[form]
    heads = {name.split(cut[0])[cut[1]] for name in forms if cut[0] in name}
    return sorted((name for name in heads if name.casefold() in splits.ALIASES), key=_split_order)


def _split_order(name: str) -> int:
    return ("train", "val", "test").index(splits.canonical_split(name))


def _group_shares(forms: Mapping[str, arrayfiles.ArrayHeader]) -> list[_Share]:
    """One share per group when every group of an HDF5 file holds the arrays of one sample."""
    inner: dict[str, dict[str, arrayfiles.ArrayHeader]] = {}
    for name, form in forms.items():
        group, slash, rest = name.partition("/")
        if not slash:
            return []
        inner.setdefault(group, {})[rest] = form
    first = next(iter(inner.values()), {})
    if len(inner) < 2 or any(set(arrays) != set(first) for arrays in inner.values()):
        return []
    lengths = [{shape[0] if shape else None for shape, _ in arrays.values()} for arrays in inner.values()]
    apart = any(None in group or len(group) > 1 for group in lengths)
    pictures = any(dtype == np.uint8 and len(shape) == 3 and shape[-1] == 3 for shape, dtype in first.values())
    if not (apart or pictures or len(inner) > MANY_GROUPS):
        return []
    return [_Share(group.replace("{", "{{").replace("}", "}}") + "/{}", 1, whole=True) for group in inner]


def _roles(
    file: _File, given: Mapping[str, str | None], chosen: Sequence[ModalityChoice]
) -> tuple[dict[str, str | None], list[str]]:
    """The arrays of ids, labels and splits, and notes about arrays that only look like one."""
    taken = {each.where[0] for each in chosen}
    count = file.forms[chosen[0].where[0]][0][:1] if chosen else ()
    groups = {each.where[0].rpartition("/")[0] for each in chosen}
    roles = dict(given)
    for role, usual in (("id", IDS), ("label", LABELS), ("split", SPLITS)):
        likely = [name for word in usual for name in file.forms if _last(name) == word and name not in taken]
        if role == "label":
            likely += [name for name in file.forms if name not in (*taken, *likely) and is_label_like(name)]
        likely.sort(key=lambda name: name.rpartition("/")[0] not in {"", *groups})
        if roles[role] is None:
            roles[role] = next((name for name in likely if _serves(file, role, name, count)), None)
        elif (
            role == "label" and file.forms[str(roles[role])][0][1:] and not _serves(file, role, str(roles[role]), count)
        ):
            raise MultiviewError(f"'{roles[role]}' in {file.path} is neither one class per row nor one-hot.")
    used = {*roles.values(), *taken}
    left = [name for name, (shape, _) in file.forms.items() if name not in used and _tells_labels(name, shape)]
    notes = [
        f"'{name}' looks like labels, so it is no modality; use it with --label_column '{name}', or read it with "
        "--modalities."
        for name in left
    ]
    apart = [name for name in file.forms if name not in (*used, *left) and _last(name) in (*IDS, *SPLITS)]
    notes += [f"skipped '{name}': it has not one value per sample." for name in apart]
    label = roles["label"]
    if label and len(file.forms[label][0]) == 2 and file.forms[label][0][1] > 1:
        notes.append(f"'{label}' is one-hot: the number of the column is the class.")
    return roles, notes


def _serves(file: _File, role: str, name: str, count: tuple[int, ...]) -> bool:
    """Whether an array has one id, class or split for each sample."""
    shape, dtype = file.forms[name]
    if shape[:1] != count or len(shape) > 2:
        return False
    if len(shape) == 2 and (role != "label" or (shape[1] != 1 and not _is_one_hot(file.read_all(name)))):
        return False
    return len(shape) == 2 or _last(name) in (*IDS, *LABELS, *SPLITS) or dtype.kind in "iuUSb"


def _require_rows(file: _File, chosen: Sequence[ModalityChoice], roles: Sequence[str]) -> None:
    if not chosen:
        raise MultiviewError(f"{file.path} holds no array for a modality; it has: {', '.join(file.forms) or 'none'}.")
    lengths = {name: (file.forms[name][0] or (0,))[0] for name in [*(each.where[0] for each in chosen), *roles]}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise MultiviewError(
            f"the arrays of {file.path} differ in their numbers of rows: {listing}. Choose arrays with --modalities."
        )


def _rows(file: _File, texts: Mapping[str, Sequence[str]], shares: Sequence[float]) -> list[Row]:
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
    ]


@dataclass(frozen=True)
class _ArrayPart:
    """An array, its modality, whether its channels are first, and notes for the user."""

    array: str
    modality: Modality
    channels_first: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Reader:
    file: _File
    parts: tuple[_ArrayPart, ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        with name_failures(f"{self.file.path.name}, row {number}"):
            return {part.modality.name: self._value(part, self.file.read(part.array, number)) for part in self.parts}

    def _value(self, part: _ArrayPart, value: np.ndarray) -> np.ndarray:
        modality = part.modality
        if modality.kind == "text":
            text = value.item()
            return text_bytes(text.decode() if isinstance(text, bytes) else str(text), modality.shape[0])
        return as_stored(modality, channels_last(modality.kind, value) if part.channels_first else value)
