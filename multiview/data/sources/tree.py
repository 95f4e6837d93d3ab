"""The files below a folder: which are images, and what their ids are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from multiview.data.images import ENDINGS
from multiview.errors import MultiviewError


@dataclass(frozen=True)
class Tree:
    """What lies below a folder, hidden files aside: `images`, relative paths, sorted; the rest counted by ending."""

    root: Path
    images: tuple[str, ...]
    others: Mapping[str, int]

    def notes(self) -> tuple[str, ...]:
        """A sentence on the files that were passed over."""
        if not self.others:
            return ()
        return (f"passed over {_counted(self.others)}: no images.",)

    def demand_images(self) -> None:
        """Raises MultiviewError when there is no image, saying what was looked for and what is there instead."""
        if not self.images:
            seen = _counted(self.others) if self.others else "no file at all"
            endings = ", ".join(f".{ending}" for ending in sorted(ENDINGS))
            raise MultiviewError(
                f"there is no image below {self.root}: looked for {endings} in it and in its folders, found {seen}. "
                "Give the folder that holds your images."
            )


def _counted(endings: Mapping[str, int]) -> str:
    total = sum(endings.values())
    parts = ", ".join(f"{count} {ending}" for ending, count in Counter(endings).most_common(5))
    return f"{total} other file{'s' * (total > 1)} ({parts})"


def tree(root: Path) -> Tree:
    """Looks through `root` and all its folders, links included. Raises MultiviewError when it is no folder."""
    if not root.is_dir():
        raise MultiviewError(
            f"{root} is {'a file' if root.exists() else 'not there'}; give the folder that holds your images."
        )
    images: list[str] = []
    others: Counter[str] = Counter()
    for path in _files(root):
        if path.suffix[1:].lower() in ENDINGS:
            images.append(path.as_posix())
        else:
            others[path.suffix.lower() or "without ending"] += 1
    return Tree(root, tuple(sorted(images)), others)


def _files(root: Path) -> Iterator[PurePosixPath]:
    for folder, below, names in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        # A link to a folder above itself would be walked for ever.
        below[:] = [
            name
            for name in below
            if not name.startswith(".") and not (here + "/").startswith(os.path.realpath(f"{folder}/{name}") + "/")
        ]
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (relative / name for name in names if not name.startswith("."))


def ids_of(paths: Sequence[str]) -> list[str]:
    """An id for every relative path: the path without its ending, or with it where two would be the same."""
    ids = [without_ending(path) for path in paths]
    while clashes := {name for name, count in Counter(ids).items() if count > 1}:
        ids = [path if name in clashes else name for path, name in zip(paths, ids, strict=True)]
    return [printable(name) for name in ids]


def without_ending(path: str) -> str:
    """`cats/tom.jpg` -> `cats/tom`."""
    return PurePosixPath(path).with_suffix("").as_posix()


def printable(name: str) -> str:
    """A file name as proper Unicode; bytes that are none are written as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
