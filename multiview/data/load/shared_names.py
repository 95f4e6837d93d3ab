"""Files of several kinds that have equal names are views of one sample."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path, PurePosixPath

from multiview.data.columns.file_columns import ARRAY, SERIES, TEXT, WITH_TEXTS
from multiview.data.files import audiofiles, csvfiles, images, videofiles
from multiview.data.listing.filetree import ending_of, find_files, without_ending
from multiview.data.listing.labels import USUAL_CSV
from multiview.data.sources.aligned import Aligned
from multiview.errors import MultiviewError

KINDS = {
    "image": images.ENDINGS,
    "audio": audiofiles.ENDINGS,
    "video": videofiles.ENDINGS,
    "numbers": ARRAY,
    "series": SERIES,
    "text": TEXT,
}
KIND_OF = {ending: kind for kind, endings in KINDS.items() for ending in endings}
DATA = frozenset().union(*KINDS.values(), WITH_TEXTS, csvfiles.ENDINGS)
"""Endings of all files that a folder is judged by."""
MOST = 64
"""More folders are classes."""
FIRST = 20
"""So many texts are read to see whether they hold words."""
WORD = re.compile(r"[^\W\d_]{2,}")
FEW = 0.05
"""So many samples may lack a file and are rejected; where more lack one, all are kept."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder that sources read, by relative path; listed once, when asked for."""

    root: Path

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All of them; none when the folder is not there."""
        return find_files(self.root, "file", DATA).files if self.root.is_dir() else ()

    @cached_property
    def views(self) -> list[str]:
        """The files that may be views; not texts without words, such as boxes of objects."""
        texts = self.with_endings(TEXT)
        worded = any(_has_words(self.root / file) for file in texts[:FIRST])
        return self.with_endings(WITH_TEXTS if worded else WITH_TEXTS - TEXT)

    def with_endings(self, endings: Collection[str]) -> list[str]:
        """The files with one of these endings, which have no dot."""
        return [file for file in self.files if ending_of(file)[1:] in endings]


def folders_of_kinds(listing: Listing) -> tuple[str, ...]:
    """Folders whose files have different kinds and equal names, such as mic/7.wav and cam/7.png.

    Equal names of files of one kind mean nothing, because class folders often count their files.
    So a folder is a view when more than half of its names, or of the other's, are in a folder of
    another kind, or in a view.
    """
    inside = defaultdict[str, list[str]](list)
    for file in listing.views:
        folder, slash, name = file.partition("/")
        inside[folder].extend([name] if slash else [])
    if len(inside) > MOST:
        return ()
    names = {folder: {without_ending(file) for file in files} for folder, files in inside.items() if files}
    kinds = {folder: Counter(map(kind_of, inside[folder])).most_common(1)[0][0] for folder in names}
    pairs = [(a, b) for a, b in combinations(names, 2) if kinds[a] != kinds[b] and share_names(names[a], names[b])]
    views = {name for pair in pairs for name in pair}
    return tuple(name for name in names if any(share_names(names[name], names[view]) for view in views))


def views_of_kinds(listing: Listing) -> dict[str, str]:
    """Patterns of files of several kinds in one folder, such as 7.wav beside 7.png; {} if none."""
    files = [file for file in listing.views if file != USUAL_CSV]
    if any("/" in file for file in files):
        return {}
    endings = {PurePosixPath(file).suffix for file in files}
    names = {ending: {without_ending(file) for file in files if file.endswith(ending)} for ending in endings}
    kinds = {KIND_OF[ending[1:].lower()]: ending for ending in sorted(endings)}
    alike = all(share_names(names[a], names[b]) for a, b in combinations(kinds.values(), 2))
    return {kind: f"*{ending}" for kind, ending in kinds.items()} if len(kinds) == len(endings) > 1 and alike else {}


def _has_words(file: Path) -> bool:
    try:
        return WORD.search(file.read_text("utf-8-sig")[:1000]) is not None
    except (OSError, UnicodeDecodeError):
        return False


def kind_of(file: str) -> str:
    """The kind of a file, by its ending."""
    return KIND_OF[ending_of(file)[1:]]


def share_names(some: Collection[str], others: Iterable[str]) -> bool:
    """Whether more than half of the smaller set of names is in the other one."""
    both = set(others)
    return 2 * len(both.intersection(some)) > min(len(both), len(some))


def with_more_folders(listing: Listing, known: Sequence[str]) -> Aligned:
    """The folders with names of modalities, and others that hold files of the same samples."""
    others = [name for name in folders_of_kinds(listing) if name not in known]
    return Aligned(modalities=(*known, *others)) if others else Aligned()


def keeping_holes(source: Aligned, root: Path) -> Aligned:
    """The source; samples that lack a file are kept where they are too many to be rejected."""
    try:
        few = source.share_with_holes(root) <= FEW
    except MultiviewError:  # a table that cannot be read; the plan says so
        return source
    return source if few else replace(source, missing="keep")
