"""Finds the source that can read a folder or a file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from pathlib import Path, PurePosixPath

from multiview.data.files import arrayfiles, audiofiles, csvfiles, images, videofiles
from multiview.data.listing import labels
from multiview.data.listing.recordings import SENSORS, sensor_of_column
from multiview.data.listing.tables import ENDINGS as TABLES
from multiview.data.listing.tables import read_columns
from multiview.data.load.paired_folders import folders_of_arrays, folders_of_one_scene
from multiview.data.load.shared_names import Listing, folders_of_kinds, keeping_holes, views_of_kinds, with_more_folders
from multiview.data.source import Source
from multiview.data.sources.aligned import FOLDERS, Aligned, modality_folders
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.audio import Audio
from multiview.data.sources.cifar import Cifar10, Cifar100
from multiview.data.sources.folder import Folder
from multiview.data.sources.hf import HuggingFace, is_saved
from multiview.data.sources.manifest import Manifest
from multiview.data.sources.nyuv2 import FILE as NYU_FILE
from multiview.data.sources.nyuv2 import NyuV2
from multiview.data.sources.sensors import Sensors
from multiview.data.sources.stl10 import Stl10
from multiview.data.sources.video import Video
from multiview.errors import MultiviewError

PUBLISHED: dict[str, Source] = {
    "cifar-10-batches-py/batches.meta": Cifar10(),
    "cifar-10-batches-bin/batches.meta.txt": Cifar10(),
    "cifar-100-python/meta": Cifar100(),
    "cifar-100-binary/fine_label_names.txt": Cifar100(),
    "stl10_binary/train_X.bin": Stl10(),
    NYU_FILE: NyuV2(),
}
"""A file that only this dataset has; its path starts with the folder of the archive."""
SIDES = ("left", "right")
"""Ends of the names of two pictures of one scene."""
VIEW_ENDING = re.compile(f"(?P<name>.+)(?P<ending>[_-](?i:{'|'.join((*FOLDERS, *SIDES))}))")
"""The name of a file of one view, without the ending of the file."""
NO_CHANNELS = re.compile("id|ids|split|(.*_)?(file|path|filename|image|photo|text|caption|audio|video)(_name)?")
"""Columns that a recording of sensors does not have."""
TREES = {"image": images.ENDINGS, "sound": audiofiles.ENDINGS, "clip": videofiles.ENDINGS}


def detect_source(root: Path) -> Source:
    """The source for `root`: the first of these rules that holds decides.

    A published dataset, a manifest, a file of arrays and a folder that `save_to_disk` of `datasets`
    wrote have their own sources. Two or more folders with names of modalities mean `Aligned`, and
    so do two or more that hold the samples of a `labels.csv` under equal names, files NAME_left and
    NAME_right, or NAME_rgb and NAME_depth, in one folder, and files of several kinds under equal
    names, as mic/7.wav and cam/7.png, or 7.wav and 7.png. So do left/7.png and right/7.png,
    pictures of 16-bit greys beside others, and folders of `.npy` files alone under equal names. A
    folder whose only table names files is read by that table, unless it has class folders. Any
    other folder is read as class folders of its most frequent kind of file: images, sounds or
    clips; a `labels.csv` with the columns `id` and `split`, or beside files without folders, lists
    its samples. A folder of CSV files alone holds recordings of sensors, and so does a CSV file
    with columns such as `acc_x` and no files. Raises MultiviewError for a file that no source
    reads.
    """
    if root.is_file():
        return _source_of_file(root)
    published = [source for file, source in PUBLISHED.items() if _has_file(root, PurePosixPath(file))]
    if published:
        return published[0]
    if any((root / f"manifest{ending}").is_file() for ending in TABLES):
        return Manifest()
    if is_saved(root):
        return HuggingFace(dataset=str(root))
    files = Listing(root)
    aligned = _aligned(root, files)
    if aligned:
        return keeping_holes(aligned, root)
    return Manifest() if lists_files(root) else _source_of_tree(root, files)


def _aligned(root: Path, files: Listing) -> Aligned | None:
    """The source of files that have equal names, if they mean views of one sample."""
    if len(known := modality_folders(root)) >= 2:
        return with_more_folders(files, tuple(known.values()))
    if names := folders_of_samples(root):
        return None if _holds_recordings(files) else Aligned(modalities=names)
    if patterns := views_by_ending(files):
        return Aligned(modalities=patterns)
    if names := folders_of_kinds(files):
        return Aligned(modalities=names)
    if patterns := folders_of_one_scene(files):
        return Aligned(modalities=patterns)
    if names := folders_of_arrays(files):
        return Aligned(modalities=names)
    return Aligned(modalities=patterns) if (patterns := views_of_kinds(files)) else None


def lists_files(root: Path) -> bool:
    """Whether the only table in a folder names files, where class folders name no classes.

    The first row decides. A `labels.csv` has a meaning of its own.
    """
    inside = [path for path in root.iterdir() if not path.name.startswith(".")]
    tables = [path for path in inside if path.suffix.lower() in TABLES and path.name != labels.USUAL_CSV]
    if len(tables) != 1 or sum(path.is_dir() for path in inside) > 1:
        return False
    cells = [column[0] for column in read_columns(tables[0]).values()]
    return any(isinstance(cell, str) and PurePosixPath(cell).suffix and (root / cell).is_file() for cell in cells)


def folders_of_samples(root: Path) -> tuple[str, ...]:
    """The folders that hold a file of most samples of `labels.csv`, when there are two and more.

    Such folders are views of the same samples; the ids of class folders contain the folder.
    """
    csv = root / labels.USUAL_CSV
    if not root.is_dir() or not csv.is_file():
        return ()
    try:
        ids = set(labels.read_table(csv, "id").rows)
    except MultiviewError:
        return ()
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    full = [folder.name for folder in folders if 2 * len(ids & {file.stem for file in folder.iterdir()}) > len(ids)]
    return tuple(full) if len(full) > 1 else ()


def views_by_ending(listing: Listing) -> dict[str, str]:
    """Patterns of files NAME_left and NAME_right, or NAME_rgb and NAME_depth, in one folder.

    {} when fewer than half of the names have two such endings, or a `labels.csv` lists each file.
    Other files, such as disparities, whose unit no name tells, stay out.
    """
    files = [PurePosixPath(file) for file in listing.views]
    if len({file.parent for file in files}) != 1:
        return {}
    names = _names_by_ending(files)
    times = Counter(name for found in names.values() for name in found)
    views = {name for name, count in times.items() if count > 1}
    if 2 * len(views) < len(times) or not views or not _lists_names(listing.root, views):
        return {}
    return _patterns([ending for ending, found in names.items() if found & views], files[0].parent)


def _names_by_ending(files: Iterable[PurePosixPath]) -> dict[str, set[str]]:
    """`_rgb` -> the names before it. Without the sides when a name lacks one of them."""
    names: dict[str, set[str]] = defaultdict(set)
    for file in files:
        if match := VIEW_ENDING.fullmatch(file.stem):
            names[match["ending"]].add(match["name"])
    meant = {ending: ending[1:].casefold() for ending in names}
    left, right = ({name for ending in names if meant[ending] == side for name in names[ending]} for side in SIDES)
    return {ending: found for ending, found in names.items() if left == right or meant[ending] not in SIDES}


def _lists_names(root: Path, names: Set[str]) -> bool:
    """Whether the ids of `labels.csv`, if there is one, are these names."""
    try:
        ids = (
            set(labels.read_table(root / labels.USUAL_CSV, "id").rows) if (root / labels.USUAL_CSV).is_file() else names
        )
    except MultiviewError:  # a `labels.csv` of another format says nothing
        return False
    return 2 * len(ids & names) > len(ids)


def _patterns(endings: Sequence[str], folder: PurePosixPath) -> dict[str, str]:
    """Modality -> pattern of its files. Two endings of one kind keep their names."""
    kinds = {ending: FOLDERS.get(ending[1:].casefold(), ending[1:]) for ending in endings}
    often = Counter(kinds.values())
    return {
        kind if often[kind] == 1 else f"{ending[1:]}:{kind}": str(folder / f"*{ending}")
        for ending, kind in sorted(kinds.items())
    }


def _source_of_file(file: Path) -> Source:
    ending = file.suffix.lower()
    if ending in TABLES:
        return Sensors() if is_recording(file) else Manifest()
    if file.name == NYU_FILE:
        return NyuV2()
    if ending in arrayfiles.ENDINGS:
        return Arrays()
    kind = next((kind for kind, endings in TREES.items() if ending[1:] in endings), None)
    if kind:
        raise MultiviewError(f"{file} is one {kind}; give the folder that holds it, {file.parent}.")
    readable = ", ".join((*TABLES, *arrayfiles.ENDINGS))
    raise MultiviewError(f"no source reads the file {file}; give a folder, a store, or a file that ends in {readable}.")


def is_recording(file: Path) -> bool:
    """Whether a CSV file has columns of a sensor, such as `acc_x`, and none of ids, files, texts.

    Only the header is read.
    """
    if file.suffix[1:].lower() not in csvfiles.ENDINGS:
        return False
    names = csvfiles.header_of(file)
    sensors = {sensor for sensor, axis in map(sensor_of_column, names) if axis}
    known = any(SENSORS.intersection(sensor.split("_")) for sensor in sensors)
    return known and not any(NO_CHANNELS.fullmatch(name.casefold()) for name in names)


def _holds_recordings(listing: Listing) -> bool:
    """Whether CSV files, and no other data, lie below a folder."""
    kinds = frozenset().union(*TREES.values(), csvfiles.ENDINGS, ["npy"])
    files = [file for file in listing.with_endings(kinds) if file != labels.USUAL_CSV]
    return bool(files) and all(PurePosixPath(file).suffix[1:].lower() in csvfiles.ENDINGS for file in files)


def _has_file(root: Path, file: PurePosixPath) -> bool:
    """Whether `root`, or the folder of the archive above the file, has the file."""
    own = root.name == file.parent.name and (root / file.name).is_file()
    return own or (root / file).is_file()


def _source_of_tree(root: Path, files: Listing) -> Source:
    counts = Counter(
        kind
        for file in files.files
        for kind, endings in TREES.items()
        if PurePosixPath(file).suffix[1:].lower() in endings
    )
    if not counts:
        arrays = [path for path in root.iterdir() if path.suffix.lower() in (".npy", *arrayfiles.ENDINGS)]
        return Arrays() if arrays else Sensors() if _holds_recordings(files) else Folder()
    return {"image": Folder, "sound": Audio, "clip": Video}[counts.most_common(1)[0][0]]()
