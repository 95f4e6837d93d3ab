"""Several pictures of every sample: one folder per modality with the same stems, and a CSV of classes and splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data import images
from multiview.data.modality import Modality
from multiview.data.resize import PROBED, Fit, Policy, check_options, fit_for
from multiview.data.source import BadSample, Plan, Row
from multiview.data.sources import labels, splits
from multiview.data.sources.tree import printable, tree, without_ending
from multiview.errors import MultiviewError, unknown_name

FOLDERS = {
    "rgb": "image",
    "image": "image",
    "images": "image",
    "depth": "depth",
    "normal": "normal",
    "normals": "normal",
    "mask": "mask",
    "masks": "mask",
}
KINDS = ("image", "depth", "normal", "mask")
UNITS = {"image": "sRGB", "depth": "m", "normal": "unit vector", "mask": "identity"}
USUAL_CSV = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """Folders `rgb` (or `image`), `depth`, `normal`, `mask` with files of the same stems, aligned pixel by pixel.

    A sample that lacks a file is rejected. Normals are 8-bit, value / 127.5 - 1, x right, y up, z towards the viewer,
    black = none. (So are those of `furniture_rgbdn`, measured: there depth rises to the right where n_x > 0 and upwards
    where n_y > 0, and n_z is never negative. Its depth has no unit: depth_scale only sets the scale.)

    Args:
        csv: the table of samples, classes and splits (null = `labels.csv` where it is, else every stem is a sample).
        id_column: its column of ids: the file stems.
        label_column: its column of classes (null = `class` or `label`).
        split_column: its column of splits (null = by hash).
        ignore_label: a class that means unlabelled.
        split: TRAIN/VAL/TEST in percent, by a hash of the id, where no column tells.
        modalities: those to take (null = all that have a folder).
        depth_scale: metres a stored unit of integer depth.
        invalid: the stored depth that means not measured.
        size: side of the square that every picture becomes (null = their common size, else at most 256).
        resize: how it becomes one: `crop` its centre, `pad`, or `squash`; all but images take the nearest sample.
    """

    csv: str | None = None
    id_column: str = "id"
    label_column: str | None = None
    split_column: str | None = "split"
    ignore_label: str | None = None
    split: str = "70/10/20"
    modalities: tuple[str, ...] | None = None
    depth_scale: float = 0.001
    invalid: float = 0.0
    size: int | None = None
    resize: Policy = "crop"

    needs_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options(self.size, self.resize)
        splits.shares_of(self.split)
        if not self.depth_scale > 0:
            raise MultiviewError(
                f"depth_scale is {self.depth_scale}; give metres a stored unit, 0.001 for millimetres."
            )

    def plan(self, root: Path | None) -> Plan:
        """Every id of the CSV (every stem, without one), sorted. Raises MultiviewError when there is no modality
        folder.
        """
        assert root is not None
        chosen = self._chosen(root)
        files = {kind: _by_stem(root, folder) for kind, folder in chosen.items()}
        rows, notes = self._rows(root, files)
        first = next(iter(chosen))
        fit, more = fit_for(root, [paths[0] for paths in files[first].values()], self.size, self.resize)
        modalities = tuple(_modality(kind, root, fit, files[kind]) for kind in chosen)
        table = {kind: tuple(_the_file(chosen[kind], files[kind], row.id) for row in rows) for kind in chosen}
        reader = _Reader(root, tuple(row.id for row in rows), table, modalities, fit, self.depth_scale, self.invalid)
        return Plan(rows, modalities, reader, notes=(*notes, *more))

    def _chosen(self, root: Path) -> dict[str, str]:
        """Modality -> its folder, in the order of `KINDS`."""
        there = modality_folders(root)
        if not there:
            raise MultiviewError(
                f"{root} has no folder of a modality; looked for {', '.join(FOLDERS)}. For images in class folders use "
                "the source `folder`."
            )
        if self.modalities is None:
            return there
        wanted = [FOLDERS.get(name, name) for name in self.modalities]
        for given, name in zip(self.modalities, wanted, strict=True):
            if name not in there:
                raise unknown_name(f"modality of {root}", given, there)
        return {kind: folder for kind, folder in there.items() if kind in wanted}

    def _rows(self, root: Path, files: Mapping[str, Mapping[str, Sequence[str]]]) -> tuple[list[Row], list[str]]:
        stems = sorted(set().union(*files.values()))
        shares = splits.shares_of(self.split)
        if not self.csv and not (root / USUAL_CSV).is_file():
            rows = [Row(stem, split=splits.hashed(stem, shares)) for stem in stems]
            return rows, ["no CSV: the samples have no classes.", splits.hash_note(shares)]
        table = labels.read_table(labels.locate(root, self.csv) if self.csv else root / USUAL_CSV, self.id_column)
        split = self.split_column and table.demand(
            self.split_column, "split_column", ", or split by a hash of the ids with --split_column null"
        )
        label = table.label_column(self.label_column)
        rows = [
            Row(name, label=entry.label, split=entry.split if split else splits.hashed(name, shares))
            for name, entry in sorted(table.entries(label, split, self.ignore_label).items())
        ]
        notes = _table_notes(table, label, stems, rows)
        return rows, notes if split else [*notes, splits.hash_note(shares)]


def modality_folders(root: Path) -> dict[str, str]:
    """Modality -> name of its folder in `root`. Raises MultiviewError when two folders mean the same modality."""
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found: dict[str, str] = {}
    for kind in KINDS:
        folders = [name for name in names if FOLDERS.get(name.casefold()) == kind]
        if len(folders) > 1:
            raise MultiviewError(f"{root} has {' and '.join(folders)}, which both mean {kind}; rename one of them.")
        if folders:
            found[kind] = folders[0]
    return found


def _table_notes(table: labels.Table, label: str | None, stems: Sequence[str], rows: Sequence[Row]) -> list[str]:
    known = set(stems)
    if not any(row.id in known for row in rows):
        raise MultiviewError(
            f"not one id of {table.path} is a file stem; ids are like '{rows[0].id}', stems like '{stems[0]}'. "
            "Name the right column with --id_column."
        )
    notes = [
        f"samples are those of {table.path}" + (f", classes its column '{label}'." if label else ", without classes.")
    ]
    extra = len(known - {row.id for row in rows})
    return [*notes, f"{extra} stems that it does not list are left out."] if extra else notes


def _by_stem(root: Path, folder: str) -> dict[str, list[str]]:
    """Stem -> the image files of that stem in a modality folder, relative to `root`."""
    found = tree(root / folder)
    found.demand_images()
    stems: dict[str, list[str]] = {}
    for path in found.images:
        stems.setdefault(printable(without_ending(path)), []).append(f"{folder}/{path}")
    return stems


def _the_file(folder: str, files: Mapping[str, Sequence[str]], stem: str) -> str:
    """The one file of a stem; where there is not one, `?` and what is wrong."""
    paths = files.get(stem, ())
    if len(paths) == 1:
        return paths[0]
    if paths:
        return f"?{' and '.join(map(printable, paths))} are two files of one sample"
    usual = Path(next(iter(files.values()))[0]).suffix
    return f"?missing file {folder}/{stem}{usual}"


def _modality(kind: str, root: Path, fit: Fit, files: Mapping[str, Sequence[str]]) -> Modality:
    dtype = {"image": "uint8", "depth": "float32", "normal": "float16"}.get(kind) or _mask_dtype(root, files)
    shape = (fit.height, fit.width, 3) if kind in ("image", "normal") else (fit.height, fit.width)
    return Modality(name=kind, kind=kind, dtype=dtype, shape=shape, unit=UNITS[kind])


def _mask_dtype(root: Path, files: Mapping[str, Sequence[str]]) -> str:
    paths = [each[0] for each in files.values()]
    for path in paths[:: -(-len(paths) // PROBED)]:
        try:
            mode = images.header(root / path, path)[2]
        except BadSample:
            continue
        if mode.startswith("I"):
            return "uint16"
    return "uint8"


@dataclass(frozen=True)
class _Reader:
    root: Path
    ids: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    modalities: tuple[Modality, ...]
    fit: Fit
    depth_scale: float
    invalid: float

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        sample = {each.name: self._decoded(each, self.files[each.name][number]) for each in self.modalities}
        sizes = {name: f"{array.shape[1]}x{array.shape[0]}" for name, array in sample.items()}
        with images.naming(self.ids[number]):
            if len(set(sizes.values())) > 1:
                listing = ", ".join(f"{name} {size}" for name, size in sizes.items())
                raise BadSample(f"its modalities differ in size: {listing}")
            return {
                name: self.fit.image(array) if name == "image" else self.fit.nearest(array)
                for name, array in sample.items()
            }

    def _decoded(self, modality: Modality, file: str) -> np.ndarray:
        if file.startswith("?"):
            raise BadSample(file[1:])
        path, name = self.root / file, printable(file)
        if modality.kind == "depth":
            return images.depth(path, name, self.depth_scale, self.invalid)
        if modality.kind == "normal":
            return images.normal(path, name)
        return images.mask(path, name, modality.dtype) if modality.kind == "mask" else images.rgb(path, name)
