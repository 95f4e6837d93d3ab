"""The files below a folder, and their ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from multiview.data.files.images import ENDINGS
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True)
class FileTree:
    """What is below a folder, without hidden files.

    Args:
        kind: the word for the files in messages: image, sound or clip.
        files: relative paths of the files with these endings, sorted.
        others: number of other files by ending.
        folders: relative paths of all folders.
        links: number of links that were skipped.
    """

    root: Path
    kind: str
    endings: Collection[str]
    files: tuple[str, ...]
    others: Mapping[str, int]
    folders: tuple[str, ...]
    links: int

    def notes(self) -> tuple[str, ...]:
        """Sentences about skipped files and links."""
        others = f"skipped {_counted(self.others)}: not {self.kind}s." if self.others else ""
        links = f"skipped {counted(self.links, 'link')}." if self.links else ""
        return tuple(note for note in (others, links) if note)

    def require_files(self) -> None:
        """Raises MultiviewError with the expected endings and the files there if none fits."""
        if not self.files:
            seen = _counted(self.others) if self.others else "no file at all"
            endings = ", ".join(f".{ending}" for ending in sorted(self.endings))
            raise MultiviewError(
                f"there is no {self.kind} below {self.root}: looked for {endings} there and in all folders below, "
                f"found {seen}. Give the folder that holds your {self.kind}s."
            )


def _counted(endings: Mapping[str, int]) -> str:
    total = sum(endings.values())
    parts = ", ".join(f"{count} {ending}" for ending, count in Counter(endings).most_common(5))
    return f"{counted(total, 'other file')} ({parts})"


def find_files(root: Path, kind: str = "image", endings: Collection[str] = ENDINGS, *, links: bool = True) -> FileTree:
    """Finds files with these endings in `root` and below; `links`: whether to follow links.

    Raises MultiviewError when `root` is no folder.
    """
    if not root.is_dir():
        raise MultiviewError(
            f"{root} is {'a file' if root.exists() else 'not there'}; give the folder that holds your {kind}s."
        )
    found: dict[str, list[str]] = {"file": [], "folder": [], "link": []}
    for path, what in walk_entries(root, links):
        found[what].append(path)
    wanted = [path for path in found["file"] if _ending(path)[1:] in endings]
    others = Counter(_ending(path) or "without ending" for path in found["file"] if _ending(path)[1:] not in endings)
    return FileTree(
        root, kind, endings, tuple(sorted(wanted)), others, tuple(sorted(found["folder"])), len(found["link"])
    )


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def walk_entries(root: Path, links: bool) -> Iterator[tuple[str, str]]:
    """Yields relative paths and `file`, `folder`, or `link` (a link that is not followed)."""
    for folder, below, names in os.walk(root, followlinks=links):
        here = os.path.realpath(folder)
        relative = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in sorted([*below, *names]):
            path = f"{folder}/{name}"
            if name.startswith("."):
                continue
            what = "folder" if name in below else "file"
            yield (relative / name).as_posix(), "link" if not links and os.path.islink(path) else what  # noqa: PTH114
        # Skip a link to a folder above itself, which would never end.
        below[:] = [
            name
            for name in below
            if not name.startswith(".") and not (here + "/").startswith(os.path.realpath(f"{folder}/{name}") + "/")
        ]


def ids_of(paths: Sequence[str]) -> list[str]:
    """Ids of relative paths: the path without its ending, or with it where two would be equal."""
    ids = [without_ending(path) for path in paths]
    while clashes := {name for name, count in Counter(ids).items() if count > 1}:
        ids = [path if name in clashes else name for path, name in zip(paths, ids, strict=True)]
    return [printable(name) for name in ids]


def without_ending(path: str) -> str:
    """`cats/tom.jpg` -> `cats/tom`."""
    return PurePosixPath(path).with_suffix("").as_posix()


def printable(name: str) -> str:
    """A file name as valid Unicode; other bytes are written as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
