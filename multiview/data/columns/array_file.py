"""A file with arrays of all samples: which of its arrays belong together, and reading them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiview.data.files import arrayfiles
from multiview.data.listing import splits
from multiview.data.listing.labels import is_label_like
from multiview.data.modality import Modality
from multiview.data.values import FULL_SCALE, loud_sound_note, number_text
from multiview.errors import MultiviewError, suggestion, unknown_name

MANY_GROUPS = 16
"""So many groups with arrays of the same names are samples."""


def find_array_file(root: Path) -> Path:
    """The file to read: `root`, or the only file of arrays in it if there are no `.npy` files."""
    if not root.is_dir() or any(root.glob("*.npy")):
        return root
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in arrayfiles.ENDINGS)
    if len(files) != 1:
        there = ", ".join(path.name for path in files) or "none"
        raise MultiviewError(
            f"{root} should hold .npy files or exactly one file of arrays, but it holds: {there}. "
            f"Give the path of the file itself, such as {files[0] if files else root / 'NAME.npz'}."
        )
    return files[0]


@dataclass(frozen=True)
class Share:
    """Samples that lie together: `pattern` makes the name of an array from its name in the share.

    whole: each array is one sample, not one sample per row.
    """

    pattern: str
    count: int
    split: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class ArrayFile:
    """A file of arrays, with one name for the arrays of all shares; forms count all samples."""

    path: Path
    parts: tuple[Share, ...]
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

    def declared(self, name: str) -> Modality | None:  # noqa: ARG002
        """What is known of an array beyond its shape and dtype: nothing."""
        return None

    def has(self, name: str, number: int) -> bool:
        """Whether a sample has a value."""
        return self.forms[name][1].kind != "f" or self.value(name, number) is not None

    def value(self, name: str, number: int) -> np.ndarray | None:
        """One sample of an array; None where it has no value, see `is_missing`."""
        value = self.read(name, number)
        return None if is_missing(value) else value

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


def is_missing(value: np.ndarray) -> bool:
    """Whether an array of floats is all NaN, which says that a sample has no value."""
    return value.dtype.kind == "f" and value.size > 0 and bool(np.isnan(value).all())


def _columns_of_one_hot(array: np.ndarray) -> np.ndarray:
    """The column number of each row of a one-hot array, as text; empty for a row of zeros."""
    number = array.argmax(axis=1)
    return np.where(array.any(axis=1), number.astype(str), "")


def is_one_hot(array: np.ndarray) -> bool:
    """Whether each row of a table has one 1, or none, and zeros else."""
    return array.dtype.kind in "buif" and bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) <= 1).all())


def open_array_file(path: Path) -> ArrayFile:
    """The arrays of a file, where shares named after splits, or groups of samples, are joined."""
    forms, refused = arrayfiles.headers(path)
    notes = [f"skipped {reason}" for reason in refused.values()]
    shares = _split_shares(forms) or _group_shares(forms)
    if not shares:
        return ArrayFile(path, (Share("{}", _rows_of(forms)),), forms, refused, tuple(notes))
    joined, more = _joined(forms, shares)
    return ArrayFile(path, tuple(shares), joined, refused, (*notes, *more, *_unused(forms, shares)))


def _joined(
    forms: Mapping[str, arrayfiles.ArrayHeader], shares: Sequence[Share]
) -> tuple[dict[str, arrayfiles.ArrayHeader], list[str]]:
    """The arrays that every share has, with the samples of all shares, and notes on the others."""
    joined: dict[str, arrayfiles.ArrayHeader] = {}
    notes, total = [], sum(share.count for share in shares)
    for name in _names_in(forms, shares[0].pattern):
        found = [forms.get(share.pattern.format(name)) for share in shares]
        shapes = {form[0] if share.whole else form[0][1:] for share, form in zip(shares, found, strict=True) if form}
        if None in found or len(shapes) > 1:
            notes.append(f"skipped '{name}': not every group has this array with the same shape.")
        else:
            joined[name] = (total, *shapes.pop()), found[0][1]  # type: ignore[index]
    return joined, notes


def _unused(forms: Mapping[str, arrayfiles.ArrayHeader], shares: Sequence[Share]) -> list[str]:
    used = {share.pattern.format(name) for share in shares for name in _names_in(forms, share.pattern)}
    unused = sorted(set(forms) - used)
    where = "groups" if shares[0].whole else "splits"
    return [f"skipped {', '.join(unused)}: in none of the {where}."] if unused else []


def _rows_of(forms: Mapping[str, arrayfiles.ArrayHeader]) -> int:
    return max((shape[0] for shape, _ in forms.values() if shape), default=0)


def _names_in(forms: Iterable[str], pattern: str) -> list[str]:
    before, _, after = pattern.partition("{}")
    fits = [name for name in forms if name.startswith(before) and name.endswith(after)]
    return [name[len(before) : len(name) - len(after)] for name in fits if len(name) > len(pattern) - 2]


def _split_shares(forms: Mapping[str, arrayfiles.ArrayHeader]) -> list[Share]:
    """The shares of `train/x` and `test/x`, `x_train` and `x_test`, or `train_x` and `test_x`."""
    for form in ("{split}/{{}}", "{{}}_{split}", "{split}_{{}}"):
        named = {name: form.format(split=name).replace("{{}}", "{}") for name in _split_names(forms, form)}
        inner = {name: set(_names_in(forms, pattern)) for name, pattern in named.items()}
        common = set.intersection(*inner.values()) if len(inner) > 1 else set()
        if common and not all(is_label_like(name) for name in common):
            return [
                Share(pattern, _rows_of({n: forms[pattern.format(n)] for n in common}), splits.canonical_split(name))
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


def _group_shares(forms: Mapping[str, arrayfiles.ArrayHeader]) -> list[Share]:
    """One share per group when every group of an HDF5 file holds the arrays of one sample."""
    groups = _groups(forms)
    if len(groups) < 2 or not _hold_one_sample(list(groups.values())):
        return []
    return [Share(group.replace("{", "{{").replace("}", "}}") + "/{}", 1, whole=True) for group in groups]


def _groups(forms: Mapping[str, arrayfiles.ArrayHeader]) -> dict[str, dict[str, arrayfiles.ArrayHeader]]:
    """Group -> its arrays; no groups when an array is in none."""
    groups: dict[str, dict[str, arrayfiles.ArrayHeader]] = {}
    for name, form in forms.items():
        group, slash, rest = name.partition("/")
        if not slash:
            return {}
        groups.setdefault(group, {})[rest] = form
    return groups


def _hold_one_sample(groups: Sequence[Mapping[str, arrayfiles.ArrayHeader]]) -> bool:
    """Whether each group with the same arrays holds one sample, and not one sample per row."""
    if any(set(arrays) != set(groups[0]) for arrays in groups):
        return False
    lengths = [{shape[0] if shape else None for shape, _ in arrays.values()} for arrays in groups]
    apart = any(None in group or len(group) > 1 for group in lengths)
    pictures = any(dtype == np.uint8 and len(shape) == 3 and shape[-1] == 3 for shape, dtype in groups[0].values())
    return apart or pictures or len(groups) > MANY_GROUPS
