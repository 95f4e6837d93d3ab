"""A class tree of images: `ROOT/cats/tom.jpg`, or with splits on top, `ROOT/train/cats/tom.jpg`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from multiview.data import images
from multiview.data.modality import Modality
from multiview.data.resize import Fit, Policy, check_options, fit_for
from multiview.data.source import BadSample, Plan, Row
from multiview.data.sources import labels, splits
from multiview.data.sources.tree import Tree, ids_of, printable, tree
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Images in folders: the first folder's name is the class, deeper ones belong to it, images in the root have none.

    Folders called train, val (valid, validation) and test on the first level are splits, with the classes below. The
    id of an image is its path without the ending. Files that are no images are passed over.

    Args:
        size: side of the square that every image becomes (null = their common size, else at most 256).
        resize: how it becomes one: `crop` its centre, `pad` with white, or `squash`.
        split: TRAIN/VAL/TEST in percent, by a hash of the id, where neither folders nor a CSV tell.
        csv: a table that lists the samples, their classes and splits (null = the folders do).
        id_column: its column of ids, with or without the file's ending.
        label_column: its column of classes (null = `class` or `label`; without them the folder is the class).
        split_column: its column of splits (null = by hash).
    """

    size: int | None = None
    resize: Policy = "crop"
    split: str = "70/10/20"
    csv: str | None = None
    id_column: str = "id"
    label_column: str | None = None
    split_column: str | None = "split"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options(self.size, self.resize)
        splits.shares_of(self.split)

    def plan(self, root: Path | None) -> Plan:
        """Every image below `root`, in the order of the paths (of the ids, with a CSV). Raises MultiviewError when
        there is none.
        """
        assert root is not None
        found = tree(root)
        found.demand_images()
        fit, notes = fit_for(root, found.images, self.size, self.resize)
        rows, files, more = self._listed(found) if self.csv else self._walked(found)
        shape = (fit.height, fit.width, 3)
        image = Modality(name="image", kind="image", dtype="uint8", shape=shape, unit="sRGB")
        return Plan(
            rows,
            (image,),
            _Reader(root, tuple(files), fit, tuple(row.id for row in rows)),
            notes=(*found.notes(), *notes, *more),
        )

    def _walked(self, found: Tree) -> tuple[list[Row], list[str], list[str]]:
        shares = splits.shares_of(self.split)
        by_folder = _splits_on_top(found.images)
        ids = ids_of(found.images)
        rows = [
            Row(
                name,
                label=_class(path, int(by_folder)),
                split=_folder_split(path) if by_folder else splits.hashed(name, shares),
            )
            for name, path in zip(ids, found.images, strict=True)
        ]
        notes = [] if by_folder else [splits.hash_note(shares)]
        bare = sum(row.label is None for row in rows)
        if bare:
            notes.append(f"{bare} of {len(rows)} images lie in no class folder: unlabelled.")
        return rows, list(found.images), notes

    def _listed(self, found: Tree) -> tuple[list[Row], list[str], list[str]]:
        assert self.csv is not None
        table = labels.read_table(labels.locate(found.root, self.csv), self.id_column)
        split = self.split_column and table.demand(
            self.split_column, "split_column", ", or split by a hash of the ids with --split_column null"
        )
        label = table.label_column(self.label_column)
        shares = splits.shares_of(self.split)
        files = {printable(path): path for path in found.images}
        files |= dict(zip(ids_of(found.images), found.images, strict=True))
        level = int(_splits_on_top(found.images))
        rows, paths = [], []
        for name, entry in sorted(table.entries(label, split).items()):
            path = files.get(name, "")
            kind = entry.label if label or not path else _class(path, level)
            rows.append(Row(name, label=kind, split=entry.split if split else splits.hashed(name, shares)))
            paths.append(path)
        return rows, paths, _listed_notes(table.path, found, paths, shares if not split else None)


def _listed_notes(csv: Path, found: Tree, paths: Sequence[str], shares: Sequence[float] | None) -> list[str]:
    used = set(paths) - {""}
    if not used:
        raise MultiviewError(
            f"not one id of {csv} is an image below {found.root}; an id is the path without the ending, such as "
            f"'{ids_of(found.images[:1])[0]}'. Name the right column with --id_column."
        )
    notes = [f"samples, classes and splits are those of {csv}."]
    if len(used) < len(found.images):
        notes.append(f"{len(found.images) - len(used)} images that it does not list are left out.")
    return notes + ([splits.hash_note(shares)] if shares else [])


def _splits_on_top(paths: Sequence[str]) -> bool:
    """Whether every image lies below a folder that is named as a split."""
    return all(len(parts := PurePosixPath(path).parts) > 1 and parts[0].casefold() in splits.ALIASES for path in paths)


def _folder_split(path: str) -> str:
    return splits.canonical(PurePosixPath(path).parts[0])


def _class(path: str, level: int) -> str | None:
    folders = PurePosixPath(path).parts[:-1]
    return printable(folders[level]) if len(folders) > level else None


@dataclass(frozen=True)
class _Reader:
    root: Path
    files: tuple[str, ...]
    fit: Fit

    names: tuple[str, ...]

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        file = self.files[number]
        if not file:
            raise BadSample(f"{self.names[number]}: missing file")
        pixels = images.rgb(self.root / file, printable(file))
        with images.naming(printable(file)):
            return {"image": self.fit.image(pixels)}
