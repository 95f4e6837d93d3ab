"""Folders of pictures under equal names that are views of one scene, and no classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from multiview.data.files import images
from multiview.data.listing.filetree import as_unicode, without_ending
from multiview.data.load.shared_names import Listing, kind_of
from multiview.data.source import BadSample, Source
from multiview.data.sources.aligned import Aligned

MOST = 4
"""More folders are classes."""
ALIKE = 0.9
"""Folders of views share at least so many of all their names."""
LOOKED_AT = 8
"""So many files of a folder are opened."""
DEPTH = ":depth"
SIDES = ("left", "right")
NAME = re.compile(r"\w+")
"""Names of folders that modalities can have."""


def folders_of_one_scene(listing: Listing) -> dict[str, str]:
    """Modality -> folder, for folders that hold pictures under equal names; {} for classes.

    Equal names alone mean nothing, because class folders often count their files. Two folders are
    views when their names differ in `left` and `right` alone. Up to four are when the pictures of
    one have 16-bit greys and the others do not: that one holds depth.
    """
    folders = _with_equal_names(listing)
    if len(folders) == 2 and _are_sides(*folders):
        return {name: name for name in folders}
    deep = [name for name, files in folders.items() if _is_deep(listing.root, files)]
    if len(deep) != 1 or len(folders) < 2:
        return {}
    return {f"{name}{DEPTH}" if name in deep else name: name for name in folders}


def paired_note(source: Source, root: Path) -> str:
    """What to type where the folders of `folders_of_one_scene` mean something else; else ''."""
    given = source.modalities if isinstance(source, Aligned) else None
    if not isinstance(given, Mapping) or given != folders_of_one_scene(Listing(root)):
        return ""
    deep = "".join(_depth_note(folder, given, root) for name, folder in given.items() if name.endswith(DEPTH))
    return (
        f"the folders {' and '.join(given.values())} hold pictures of equal names: views of one scene, not classes. "
        f"{deep}Where they are classes, type `multiview preprocess folder {root} STORE`. Then give --data STORE."
    )


def _depth_note(folder: str, given: Mapping[str, str], root: Path) -> str:
    bands = ", ".join(
        f"'{other}:bands': {other}" if other == folder else f"{other}: {other}" for other in given.values()
    )
    return (
        f"{folder} has 16-bit greys: they are read as depth in millimetres. Where they are no depth, type `multiview "
        f'preprocess aligned {root} STORE --modalities "{{{bands}}}"`. '
    )


def folders_of_arrays(listing: Listing) -> tuple[str, ...]:
    """Folders of `.npy` files under equal names, where there is nothing else.

    No source reads class folders of such files.
    """
    return tuple(_with_equal_names(listing, "numbers"))


def _with_equal_names(listing: Listing, kind: str = "image") -> dict[str, Sequence[str]]:
    """Folder -> its files, when all files are of this kind, in folders with equal names."""
    inside = defaultdict[str, list[str]](list)
    for file in listing.views:
        inside[file.partition("/")[0] if "/" in file else ""].append(file)
    if not 2 <= len(inside) <= MOST or not all(map(NAME.fullmatch, inside)):
        return {}
    if any(kind_of(file) != kind for files in inside.values() for file in files):
        return {}
    names = [{without_ending(file.partition("/")[2]) for file in files} for files in inside.values()]
    alike = all(len(a & b) >= ALIKE * len(a | b) for a, b in combinations(names, 2))
    return dict(inside) if alike else {}


def _are_sides(one: str, other: str) -> bool:
    """Whether two names differ in `left` and `right` alone."""
    a, b = sorted(name.casefold() for name in (one, other))
    left, right = SIDES
    return (left in a and a.replace(left, right, 1) == b) or (left in b and b.replace(left, right, 1) == a)


def _is_deep(root: Path, files: Sequence[str]) -> bool:
    """Whether the pictures have one channel of more than 8 bits."""
    modes = set()
    for file in files[:: -(-len(files) // LOOKED_AT)]:
        with suppress(BadSample):
            modes.add(images.facts(root / file, as_unicode(file)).mode)
    return bool(modes) and all(mode.startswith("I") or mode == "F" for mode in modes)
