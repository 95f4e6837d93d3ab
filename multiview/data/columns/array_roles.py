"""Which arrays hold the ids, labels and splits of the samples, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from multiview.data.columns.array_file import ArrayFile, is_one_hot
from multiview.data.listing.labels import OTHER_LABELS, is_label_like
from multiview.data.values import ModalityChoice
from multiview.errors import MultiviewError
from multiview.plurals import counted

IDS = ("id", "ids")
LABELS = ("label", "labels", "y", "target", "targets", "class", *OTHER_LABELS)
SPLITS = ("split", "splits", "fold")
USUAL = {"id": IDS, "label": LABELS, "split": SPLITS}
"""Usual names of the arrays that are no modalities, by their role."""


def _last(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def tells_labels(name: str, shape: tuple[int, ...]) -> bool:
    """Whether an array holds labels by its name; a picture or a mask may be called as it likes."""
    return is_label_like(name) and (len(shape) <= 2 or _last(name) in LABELS)


def has_role(name: str, shape: tuple[int, ...]) -> bool:
    """Whether an array holds labels, ids or splits by its name."""
    return tells_labels(name, shape) or (_last(name) in (*IDS, *SPLITS) and len(shape) == 1)


def find_roles(
    file: ArrayFile, given: Mapping[str, str | None], chosen: Sequence[ModalityChoice]
) -> tuple[dict[str, str | None], list[str]]:
    """The arrays of ids, labels and splits, and notes about arrays that only look like one."""
    taken = [each.where[0] for each in chosen]
    count = file.forms[taken[0]][0][:1] if taken else ()
    roles = dict(given)
    for role in USUAL:
        if roles[role] is None:
            likely = _likely(file, role, taken)
            roles[role] = next((name for name in likely if _serves(file, role, name, count)), None)
    label = given["label"]
    if label and file.forms[label][0][1:] and not _serves(file, "label", label, count):
        raise MultiviewError(f"'{label}' in {file.path} is neither one class per row nor one-hot.")
    guessed = [name for name in {roles["label"]} - {label} if name and _last(name) not in LABELS[:2]]
    notes = [f"the classes come from '{name}'; choose another with --label_column." for name in guessed]
    return roles, notes + _role_notes(file, roles, taken)


def labels_of_other_length(file: ArrayFile, chosen: Sequence[ModalityChoice]) -> dict[str, str]:
    """A sentence for each array of labels that has another number of rows than the samples."""
    taken = [each.where[0] for each in chosen]
    found = {}
    for first, name in product(taken[:1], file.forms):
        (rows, *rest), (samples, *_) = file.forms[name][0] or (None,), file.forms[first][0]
        beside = name.rpartition("/")[0] == first.rpartition("/")[0] and name not in taken
        if not beside or _last(name) not in LABELS or rows in (None, samples):
            continue
        if not rest or (len(rest) == 1 and is_one_hot(file.read_all(name))):
            found[name] = f"'{name}' in {file.path} has {counted(rows, 'label')} for {counted(samples, 'sample')}."
    return found


def _likely(file: ArrayFile, role: str, taken: Sequence[str]) -> list[str]:
    """Arrays whose names mean the role, first those in the groups of the modalities."""
    likely = [name for word in USUAL[role] for name in file.forms if _last(name) == word and name not in taken]
    if role == "label":
        likely += [name for name in file.forms if name not in (*taken, *likely) and is_label_like(name)]
    groups = {"", *(name.rpartition("/")[0] for name in taken)}
    return sorted(likely, key=lambda name: name.rpartition("/")[0] not in groups)


def _role_notes(file: ArrayFile, roles: Mapping[str, str | None], taken: Sequence[str]) -> list[str]:
    used = {*roles.values(), *taken}
    left = [name for name, (shape, _) in file.forms.items() if name not in used and tells_labels(name, shape)]
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
    return notes


def _serves(file: ArrayFile, role: str, name: str, count: tuple[int, ...]) -> bool:
    """Whether an array has one id, class or split for each sample."""
    shape, dtype = file.forms[name]
    if shape[:1] != count or len(shape) > 2:
        return False
    if len(shape) == 2 and (role != "label" or (shape[1] != 1 and not is_one_hot(file.read_all(name)))):
        return False
    return len(shape) == 2 or _last(name) in (*IDS, *LABELS, *SPLITS) or dtype.kind in "iuUSb"
