"""The files below a folder, and their ids."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multiview.data.files.picture_formats import ENDINGS, UNREAD
from multiview.errors import MultiviewError
from multiview.plurals import counted

NO_DATA = (
    "contact-sheet.png", "@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "__pycache__", "Thumbs.db", "ehthumbs.db",
    "desktop.ini", "lost+found", "node_modules", "System Volume Information",
)  # fmt: skip
"""Names of files and folders that this program and systems put beside pictures."""
RUN_FILES = ("config.yaml", "environment.json")


def is_output(folder: Path) -> bool:
    """Whether this program wrote the folder: a run, or a store, whole or unfinished."""
    if all((folder / name).is_file() for name in RUN_FILES):
        return True
    if (folder / "manifest.json").is_file() or (folder / ".unfinished").is_file():
        return any(folder.glob("shard-*.h5")) or (folder / ".unfinished").is_file()
    return False


@dataclass(frozen=True)
class FileTree:
    """What is below a folder, without hidden files.

    Args:
        kind: the word for the files in messages: image, sound or clip.
        files: relative paths of the files with these endings, sorted.
        others: number of files that are not of this kind, by ending.
        folders: relative paths of all folders.
        links: number of links that were skipped.
        passed: relative paths of what this program or the system wrote, which is no data.
    """

    root: Path
    kind: str
    endings: Collection[str]
    files: tuple[str, ...]
    others: Counter[str]
    folders: tuple[str, ...]
    links: int
    passed: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Sentences about skipped files and links."""
        no_kind = f"not {'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"
        what = counted(self.others.total(), f"file that is {no_kind}", f"files that are not {self.kind}s")
        others = f"skipped {what} ({_endings(self.others)}).{self.unread_formats()}" if self.others else ""
        links = f"skipped {counted(self.links, 'link')}." if self.links else ""
        return (*(note for note in (others, links) if note), *self.passed_note())

    def passed_note(self) -> tuple[str, ...]:
        """The sentence about what is no data: nothing, or one sentence."""
        if not self.passed:
            return ()
        names = ", ".join(map(as_unicode, self.passed[:5])) + (", ..." if len(self.passed) > 5 else "")
        return (f"skipped {names}: stores, runs, contact sheets and files of the system are no data.",)

    def unread_formats(self) -> str:
        """Sentences about the known formats among the other files."""
        known = sorted(ending for ending in self.others if ending[1:] in UNREAD)
        return "".join(f" {ending} is {UNREAD[ending[1:]]}." for ending in known)

    def require_files(self) -> None:
        """Raises MultiviewError with the expected endings and the files there if none fits."""
        if not self.files:
            seen = "no file at all"
            if self.others:
                seen = f"{counted(self.others.total(), 'file')} of other types ({_endings(self.others)})"
            endings = ", ".join(f".{ending}" for ending in sorted(self.endings))
            raise MultiviewError(
                f"there is no {self.kind} below {self.root}: looked for {endings} there and in all folders below, "
                f"found {seen}. Give the folder that holds your {self.kind}s.{self.unread_formats()}"
            )


def _endings(endings: Counter[str]) -> str:
    return ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))


def find_files(root: Path, kind: str = "image", endings: Collection[str] = ENDINGS, *, links: bool = True) -> FileTree:
    """Finds files with these endings in `root` and below; `links`: whether to follow links.

    Raises MultiviewError when `root` is no folder.
    """
    if not root.is_dir():
        raise MultiviewError(
            f"{root} is {'a file' if root.exists() else 'not there'}; give the folder that holds your {kind}s."
        )
    found: dict[str, list[str]] = {"file": [], "folder": [], "link": [], "passed": []}
    for path, what in walk_entries(root, links):
        found[what].append(path)
    with_ending = [(path, ending_of(path)) for path in found["file"]]
    wanted = [path for path, ending in with_ending if ending[1:] in endings]
    others = Counter(ending or "without ending" for _, ending in with_ending if ending[1:] not in endings)
    folders = [each for each in found["folder"] if not any(path.startswith(f"{each}/") for path in found["passed"])]
    return FileTree(
        root,
        kind,
        endings,
        tuple(sorted(wanted)),
        others,
        tuple(sorted(folders)),
        len(found["link"]),
        tuple(sorted(found["passed"])),
    )


def ending_of(path: str) -> str:
    """As `PurePosixPath.suffix`, in lower case, without the time of a path object for each file."""
    name = path.rpartition("/")[2]
    at = name.rfind(".")
    return name[at:].lower() if 0 < at < len(name) - 1 else ""


def walk_entries(root: Path, links: bool) -> Iterator[tuple[str, str]]:
    """Yields relative paths and `file`, `folder`, `link` (a link that is not followed) or `passed`.

    Passed over is what this program wrote (`is_output`) and what systems put into folders.
    """
    for folder, below, names in os.walk(root, followlinks=links):
        here = os.path.realpath(folder)
        inside = Path(folder).relative_to(root).as_posix()
        relative, folders = "" if inside == "." else f"{inside}/", set(below)
        for name in sorted([*below, *names]):
            path = f"{folder}/{name}"
            if name.startswith("."):
                continue
            if name in NO_DATA or (name in folders and is_output(Path(path))):
                yield f"{relative}{name}", "passed"
                continue
            what = "folder" if name in folders else "file"
            yield f"{relative}{name}", "link" if not links and os.path.islink(path) else what  # noqa: PTH114
        # Skip a link to a folder above itself, which would never end.
        below[:] = [
            name
            for name in below
            if not name.startswith(".")
            and name not in NO_DATA
            and not is_output(Path(f"{folder}/{name}"))
            and not (here + "/").startswith(os.path.realpath(f"{folder}/{name}") + "/")
        ]


def ids_of(paths: Sequence[str]) -> list[str]:
    """Ids of relative paths: the path without its ending, or with it where two would be equal."""
    ids = [without_ending(path) for path in paths]
    while clashes := {name for name, count in Counter(ids).items() if count > 1}:
        ids = [path if name in clashes else name for path, name in zip(paths, ids, strict=True)]
    return [as_unicode(name) for name in ids]


def without_ending(path: str) -> str:
    """`cats/tom.jpg` -> `cats/tom`."""
    return path[: len(path) - len(ending_of(path))]


def as_unicode(name: str) -> str:
    """A file name as valid Unicode; other bytes are written as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
