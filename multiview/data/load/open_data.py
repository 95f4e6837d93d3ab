"""From what a user says about the data (`scenes`, a folder of images, a store) to an open store."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from multiview import plugins
from multiview.data.listing.filetree import printable, walk_entries
from multiview.data.load.detect_source import guess_source
from multiview.data.load.sourcestore import FOLDER, SourceStore
from multiview.data.load.viewstatistics import describe_views
from multiview.data.source import Source
from multiview.data.sources.folder import Folder
from multiview.data.store import manifest
from multiview.data.store.reading import Store
from multiview.data.write.lock import LockedError
from multiview.data.write.preprocess import Report, options, preprocess
from multiview.data.write.progress import progress_bar
from multiview.data.write.storefolder import OccupiedError
from multiview.errors import MultiviewError
from multiview.files import replace_text

SCENES = "scenes"
WAIT_SECONDS = 0.5


def open_data(spec: str, cache: Path, say: Callable[[str], None] = print, workers: int = 1) -> Store:
    """The store that `spec` means, made below `cache` the first time.

    `scenes` or `scenes:COUNT` is the embedded data, a folder with a store's manifest is a store, any other folder or
    file is preprocessed as `guess_source` says, and again when a file there has come, gone or been written since.
    `folder:PATH` reads the files themselves, each time they are needed, and makes nothing. say: gets one line when
    something is made. workers: processes that make it, as of `preprocess`. Raises MultiviewError when there is no such
    thing.
    """
    path, making = Path(spec), _Making(say, workers)
    if spec.startswith(f"{FOLDER}:"):
        return _unwritten(Path(spec.partition(":")[2]))
    if spec.split(":")[0] == SCENES:  # a folder of that name is ./scenes
        return _scenes(spec, cache, making)
    if not path.exists():
        raise MultiviewError(
            f"{spec} does not exist; give the path of a store, a folder of your data or a manifest, or `{SCENES}`."
        )
    if (path / manifest.NAME).exists() or any(path.glob("shard-*.h5")):
        return Store.open(path)
    source = guess_source(path)
    key = json.dumps([str(path.resolve()), type(source).__name__, options(source)], sort_keys=True)
    short = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return _prepared(source, path, cache / f"{path.resolve().name or 'root'}-{short}", making)


class _Making(NamedTuple):
    """Who is told when a store is made, and by how many processes it is."""

    say: Callable[[str], None]
    workers: int


def _prepared(source: Source, root: Path, out: Path, making: _Making) -> Store:
    """The store of a folder or file, and beside it a note of what was there: no part of the store, since it has times."""
    note, now = out.with_name(f"{out.name}.seen"), fingerprint(root if root.is_dir() else root.parent, out.parent)
    if not note.is_file():
        note.parent.mkdir(parents=True, exist_ok=True)
        replace_text(note, now)
    store = _made(source, root, out, making, changed=note.read_text(encoding="utf-8") != now)
    replace_text(note, now)
    return store


def fingerprint(root: Path, aside: Path) -> str:
    """sha256 of path, size and time of every file below `root`, except those below `aside`."""
    digest, besides = hashlib.sha256(), aside.resolve()
    for name, what in sorted(walk_entries(root, links=True)):
        path = root / name
        if what == "file" and path.exists() and besides not in path.resolve().parents:
            facts = path.stat()
            digest.update(f"{printable(name)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _unwritten(root: Path) -> Store:
    """The samples of a folder without a store; images each in its own size."""
    if not root.exists():
        raise MultiviewError(f"{root} does not exist; give `{FOLDER}:` and the folder that holds your data.")
    source = guess_source(root)
    whole = replace(source, store="encoded") if isinstance(source, Folder) else source
    return SourceStore.of(whole, root, type(source).__name__.lower())


def _scenes(spec: str, cache: Path, making: _Making) -> Store:
    kind = plugins.load("sources", SCENES)
    word = spec.partition(":")[2]
    if not word:
        return _made(kind(), None, cache / SCENES, making)
    if not word.isdecimal() or int(word) < 1:
        raise MultiviewError(f"'{spec}' does not say how many scenes; write {SCENES}:COUNT, such as {SCENES}:3000.")
    return _made(kind(count=int(word)), None, cache / f"{SCENES}-{int(word)}", making)


def _made(source: Source, root: Path | None, out: Path, making: _Making, *, changed: bool = False) -> Store:
    """The store, made again where it was made of something else; changed: whether that is known beforehand."""
    try:
        report = _preprocessed(source, root, out, making, overwrite=changed)
    except OccupiedError:  # by what the same folder held before
        changed = True
        report = _preprocessed(source, root, out, making, overwrite=True)
    if changed:
        making.say(f"{root or SCENES} has changed: its store {out} was made again.")
    if not report.already:
        describe_views(out)
        making.say(" ".join((f"prepared {root or SCENES}:", *report.lines())))
    return Store.open(out)


def _preprocessed(source: Source, root: Path | None, out: Path, making: _Making, overwrite: bool) -> Report:
    """Makes the store, or waits while another run makes it: the same data is then there for both."""
    waiting = False
    while True:
        try:
            with progress_bar(f"preparing {root or SCENES}") as progress:
                return preprocess(source, root, out, overwrite=overwrite, workers=making.workers, progress=progress)
        except LockedError as busy:
            if not waiting:
                making.say(f"{busy} Waiting for it; Ctrl-C ends that.")
            waiting = True
        time.sleep(WAIT_SECONDS)
