"""Opens the data that a user names: `scenes`, a folder of images, a file, or a store."""

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
from multiview.data.load.detect_source import detect_source
from multiview.data.load.sourcestore import FOLDER, SourceStore
from multiview.data.load.viewstatistics import describe_views
from multiview.data.source import Source
from multiview.data.sources.folder import Folder
from multiview.data.store import manifest
from multiview.data.store.reading import Store
from multiview.data.write.finish import Report
from multiview.data.write.planning import options_of
from multiview.data.write.preprocess import preprocess
from multiview.data.write.progress import progress_bar
from multiview.data.write.storefolder import OccupiedError
from multiview.errors import MultiviewError
from multiview.files import replace_text
from multiview.folderlock import LockedError

SCENES = "scenes"
WAIT_SECONDS = 0.5


def open_data(spec: str, cache: Path, say: Callable[[str], None] = print, workers: int = 1) -> Store:
    """The store that `spec` names. A store that must be made first is made in the folder `cache`.

    Args:
        spec: `scenes` or `scenes:COUNT` (the embedded data), the folder of a store, any other
            folder or file (made a store, and again when a file there changes), or `folder:PATH`
            (reads the files themselves each time and writes nothing).
        say: called with one line when a store is made.
        workers: processes that make the store.

    Raises MultiviewError when `spec` names no data.
    """
    path, maker = Path(spec), _StoreMaker(say, workers)
    if spec.startswith(f"{FOLDER}:"):
        return _open_files(Path(spec.partition(":")[2]))
    if spec.split(":")[0] == SCENES:  # a folder of that name is ./scenes
        return _open_scenes(spec, cache, maker)
    if not path.exists():
        raise MultiviewError(
            f"{spec} does not exist; give the path of a store, a folder of your data or a manifest, or `{SCENES}`."
        )
    if (path / manifest.NAME).exists() or any(path.glob("shard-*.h5")):
        return Store.open(path)
    source = detect_source(path)
    key = json.dumps([str(path.resolve()), type(source).__name__, options_of(source)], sort_keys=True)
    short = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return _open_prepared(source, path, cache / f"{path.resolve().name or 'root'}-{short}", maker)


def _open_prepared(source: Source, root: Path, out: Path, maker: _StoreMaker) -> Store:
    """The store of a folder or file, made again when a file there has changed.

    The fingerprint of the files lies beside the store, not in it, because it contains times.
    """
    seen, now = out.with_name(f"{out.name}.seen"), fingerprint(root if root.is_dir() else root.parent, out.parent)
    if not seen.is_file():
        seen.parent.mkdir(parents=True, exist_ok=True)
        replace_text(seen, now)
    store = maker.make(source, root, out, changed=seen.read_text(encoding="utf-8") != now)
    replace_text(seen, now)
    return store


def fingerprint(root: Path, ignored: Path) -> str:
    """sha256 of path, size and time of every file below `root`, except files below `ignored`."""
    digest, outside = hashlib.sha256(), ignored.resolve()
    for name, kind in sorted(walk_entries(root, links=True)):
        path = root / name
        if kind == "file" and path.exists() and outside not in path.resolve().parents:
            facts = path.stat()
            digest.update(f"{printable(name)}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _open_files(root: Path) -> Store:
    """The samples of a folder, read from the files themselves; images keep their sizes."""
    if not root.exists():
        raise MultiviewError(f"{root} does not exist; give `{FOLDER}:` and the folder that holds your data.")
    source = detect_source(root)
    unresized = replace(source, store="encoded") if isinstance(source, Folder) else source
    return SourceStore.of(unresized, root, type(source).__name__.lower())


def _open_scenes(spec: str, cache: Path, maker: _StoreMaker) -> Store:
    source_type = plugins.load("sources", SCENES)
    count = spec.partition(":")[2]
    if not count:
        return maker.make(source_type(), None, cache / SCENES)
    if not count.isdecimal() or int(count) < 1:
        raise MultiviewError(f"'{spec}' does not say how many scenes; write {SCENES}:COUNT, such as {SCENES}:3000.")
    return maker.make(source_type(count=int(count)), None, cache / f"{SCENES}-{int(count)}")


class _StoreMaker(NamedTuple):
    """Makes stores with `workers` processes and reports to `say`."""

    say: Callable[[str], None]
    workers: int

    def make(self, source: Source, root: Path | None, out: Path, *, changed: bool = False) -> Store:
        """Makes the store, or opens it when it is whole; `changed` files make it again."""
        try:
            report = self._preprocess(source, root, out, overwrite=changed)
        except OccupiedError:  # by the store of what the same folder held before
            changed = True
            report = self._preprocess(source, root, out, overwrite=True)
        if changed:
            self.say(f"{root or SCENES} has changed: its store {out} was made again.")
        if not report.already:
            describe_views(out)
            self.say(" ".join((f"prepared {root or SCENES}:", *report.lines())))
        return Store.open(out)

    def _preprocess(self, source: Source, root: Path | None, out: Path, overwrite: bool) -> Report:
        """Makes the store, or waits while another process makes the same store."""
        waiting = False
        while True:
            try:
                with progress_bar(f"preparing {root or SCENES}") as progress:
                    return preprocess(source, root, out, overwrite=overwrite, workers=self.workers, progress=progress)
            except LockedError as busy:
                if not waiting:
                    self.say(f"{busy} Waiting for that process; press Ctrl-C to stop waiting.")
                waiting = True
            time.sleep(WAIT_SECONDS)
