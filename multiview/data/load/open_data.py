"""Opens the data that a user names: `scenes`, a folder of images, a file, or a store."""

from __future__ import annotations

import glob
import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from multiview import plugins, terminal
from multiview.data.load.detect_source import detect_source
from multiview.data.load.memory import SPEC as MEMORY
from multiview.data.load.mixedstore import mixed
from multiview.data.load.mixing import ratio_of, stores_of
from multiview.data.load.paired_folders import paired_note
from multiview.data.load.sourcestore import FOLDER, SourceStore
from multiview.data.source import Source
from multiview.data.sources.folder import Folder
from multiview.data.sources.hf import PREFIX as HF
from multiview.data.sources.hf import HuggingFace
from multiview.data.store import manifest
from multiview.data.store.manifest import Manifest, Provenance
from multiview.data.store.reading import Store
from multiview.data.values import UnknownRateError
from multiview.data.write.grouping import with_groups
from multiview.data.write.inputs import fingerprint
from multiview.data.write.planning import make_plan, options_of, provenance_of
from multiview.data.write.preprocess import preprocess
from multiview.data.write.progress import progress_bar
from multiview.data.write.storefolder import OccupiedError, make_folder
from multiview.errors import MultiviewError, near_path, printable
from multiview.files import sync
from multiview.folderlock import LockedError, locked
from multiview.remote.address import is_address

SCENES = "scenes"
GENERATED = (SCENES, "trifeature")
"""Data that the toolkit computes itself: the names of their sources."""
WAIT_SECONDS = 0.5
SHARD_ROWS = 1000
MAKING, STORE = ".making", "store"
"""`NAME.making/store` is the store NAME while it is made."""


def open_data(
    spec: str,
    cache: Path,
    say: Callable[[str], None] = terminal.say,
    workers: int = 1,
    group: str | None = None,
    cache_size: str | int | None = None,
    mix: str | None = None,
) -> Store:
    """The store that `spec` names. A store that must be made first is made in the folder `cache`.

    Args:
        spec: `scenes`, `scenes:COUNT`, `trifeature` or `trifeature:COUNT` (data that is computed),
            the folder of a store, the address of a store such as `s3://bucket/photos`, any other
            folder or file (made a store, and again when a file there changes), `hf:PATH` or
            `hf:NAME` (a dataset of Hugging Face, made a store), or `folder:PATH` (reads the files
            themselves each time and writes nothing). Several of these, joined by a plus: `a+b`.
        say: called with one line when a store is made.
        workers: processes that make the store.
        group: the column of groups that a store made here keeps, see `multiview preprocess`.
        cache_size: most bytes of stores that are fetched from addresses, see `Store.open`.
        mix: the parts of several stores in a batch, such as `3:1` (None = as many as they have).

    Raises MultiviewError when `spec` names no data.
    """
    several = stores_of(spec)
    ratio = ratio_of(mix, spec, len(several))
    if len(several) > 1:
        return mixed([open_data(each, cache, say, workers, group, cache_size) for each in several], ratio)
    if is_address(spec):
        return Store.open(spec, cache_size)
    return _open_here(spec, cache, _StoreMaker(say, workers, group))


def _open_here(spec: str, cache: Path, maker: _StoreMaker) -> Store:
    """The store of data on this machine, of data that is computed, or of `hf:`."""
    if spec == MEMORY:
        raise MultiviewError(
            "the run was trained on data in memory, which no file holds; give the data again: "
            "mv.load(RUN, data=...), or `--data STORE` with the path of a store of the same modalities."
        )
    if spec.startswith(f"{FOLDER}:"):
        return _open_files(Path(spec.partition(":")[2]), maker.group)
    if spec.split(":")[0] in GENERATED:  # a folder of that name is ./scenes
        return _open_generated(spec, cache, maker)
    if spec.startswith(f"{HF}:"):
        return _open_hugging_face(spec, cache, maker)
    if is_store(spec):
        return Store.open(Path(spec))
    return _open_made(spec, cache, maker)


def _open_made(spec: str, cache: Path, maker: _StoreMaker) -> Store:
    """The store that is made of a folder or a file."""
    path = Path(spec)
    _require_path(spec)
    source = detect_source(path)
    try:
        return _made_by(source, path, cache, maker)
    except MultiviewError as cause:
        if told := _whose_options(str(cause), source, path):
            raise MultiviewError(f"{cause}{told}") from cause
        raise


def require_there(spec: str) -> None:
    """Raises MultiviewError for a path that does not exist; looks at nothing else.

    It is cheap: commands call it before they import what is slow to import.
    """
    plain = spec not in (MEMORY, *GENERATED) and not is_address(spec) and ":" not in spec and "+" not in spec
    if plain:
        _require_path(spec)


def _require_path(spec: str) -> None:
    if not Path(spec).exists():
        raise MultiviewError(
            f"{printable(spec)} does not exist; give the path of a store, a folder of your data or a manifest, or "
            f"`{SCENES}`.{near_path(spec)}"
        )


def _made_by(source: Source, path: Path, cache: Path, maker: _StoreMaker) -> Store:
    try:
        return maker.open(source, path, _base(source, path, cache, maker.group))
    except UnknownRateError as cause:
        timed = _with_steps(source)
        if timed is source:
            raise
        text = f"{cause}{_whose_options(str(cause), source, path)}"
        maker.say(f"{text} Without it, one step of a series counts as one second.")
    return maker.open(timed, path, _base(timed, path, cache, maker.group))


def _whose_options(text: str, source: Source, path: Path) -> str:
    """The sentence that says where options of the source belong, when a message names one."""
    own = options_of(source)
    named = [name for name in re.findall(r"--(\w+)", text) if name in own]
    if not named or "multiview preprocess" in text:
        return ""
    called = f"{HF}:{path}" if isinstance(source, HuggingFace) else f"{type(source).__name__.lower()} {path}"
    command = f"multiview preprocess {called} STORE --{named[0]} ..."
    return f" --{named[0]} belongs to `{command}`; then give --data STORE."


def _with_steps(source: Source) -> Source:
    """The source with one step per second; the same source when it has no such option."""
    option = next((name for name in ("series_rate", "rate") if getattr(source, name, 0) is None), None)
    return source if option is None else replace(source, **{option: 1.0})  # type: ignore[type-var]


def _base(source: Source, path: Path, cache: Path, group: str | None) -> Path:
    """The folder of the store of a path, without the fingerprint of its files."""
    key = json.dumps(
        [str(path.resolve()), type(source).__name__, options_of(source), *filter(None, [group])], sort_keys=True
    )
    short = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return cache / f"{path.resolve().name or 'root'}-{short}"


def is_store(spec: str) -> bool:
    """Whether `spec` is the folder of a store."""
    path = Path(spec)
    return (path / manifest.NAME).exists() or any(path.glob("shard-*.h5"))


def _open_files(root: Path, group: str | None) -> Store:
    """The samples of a folder, read from the files themselves; images keep their sizes."""
    if not root.exists():
        raise MultiviewError(
            f"{root} does not exist; give `{FOLDER}:` and the folder that holds your data.{near_path(str(root))}"
        )
    source = detect_source(root)
    unresized = replace(source, store="encoded") if isinstance(source, Folder) else source
    return SourceStore.of(unresized, root, type(source).__name__.lower(), group)


def _open_hugging_face(spec: str, cache: Path, maker: _StoreMaker) -> Store:
    """The store of the dataset that `hf:PATH` or `hf:NAME` names."""
    source, root = HuggingFace(dataset=spec.partition(":")[2]), Path(spec.partition(":")[2])
    key = str(root.resolve()) if root.exists() else source.dataset
    short = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return maker.open(source, root if root.exists() else None, cache / f"hf-{root.name or 'root'}-{short}")


def _open_generated(spec: str, cache: Path, maker: _StoreMaker) -> Store:
    name, _, count = spec.partition(":")
    source_type = plugins.load("sources", name)
    if not count:
        return maker.open(source_type(), None, cache / name)
    if not count.isdecimal() or int(count) < 1:
        what = "scenes" if name == SCENES else "samples"
        raise MultiviewError(f"'{spec}' does not say how many {what}; write {name}:COUNT, such as {name}:3000.")
    return maker.open(source_type(count=int(count)), None, cache / f"{name}-{int(count)}")


class _StoreMaker(NamedTuple):
    """Makes stores with `workers` processes and reports to `say`."""

    say: Callable[[str], None]
    workers: int
    group: str | None = None

    def open(self, source: Source, root: Path | None, base: Path) -> Store:
        """Opens the store of what `source` finds at `root` today, or makes it first.

        The fingerprint of the files is part of the folder's name. A finished store is never
        written again, because other runs may be reading it.
        """
        plan = with_groups(make_plan(source, root), self.group, source, root)
        origin = provenance_of(source, type(source).__name__.lower(), root, plan)
        origin = replace(origin, shard_rows=SHARD_ROWS)
        out = _folder_of(base, origin)
        if not (out / manifest.NAME).exists():
            older = _finished(base)
            self._prepare(source, root, out)
            if older:
                self.say(
                    f"{root or SCENES} has changed: {out} is its new store. Older stores stay, because runs may use "
                    f"them: {', '.join(map(str, older))}."
                )
        return Store.open(out)

    def _prepare(self, source: Source, root: Path | None, out: Path) -> None:
        """Makes the store `out`, or waits while another process makes it.

        The store is written beside `out` and gets its name when it is whole. No views are measured
        for its manifest: a run measures the few views that it uses, see `with_statistics`.
        """
        making, waiting = out.with_name(f"{out.name}{MAKING}"), False
        while not (out / manifest.NAME).exists():
            make_folder(making)
            try:
                with locked(making, "another --cache"):
                    if not (out / manifest.NAME).exists():
                        self._write(source, root, making / STORE, out)
            except LockedError as busy:
                if not waiting:
                    self.say(f"{busy} Waiting for that process; press Ctrl-C to stop waiting.")
                waiting = True
                time.sleep(WAIT_SECONDS)
            except MultiviewError as cause:  # the process that was waited for has just removed the folder
                if not isinstance(cause.__cause__, FileNotFoundError) or making.exists():
                    raise
        with suppress(OSError):
            making.rmdir()

    def _write(self, source: Source, root: Path | None, draft: Path, out: Path) -> None:
        called: object = root or getattr(source, "dataset", type(source).__name__.lower())
        with progress_bar(f"preparing {called}") as progress:
            write = partial(preprocess, workers=self.workers, progress=progress, group=self.group)
            try:
                report = write(source, root, draft)
            except OccupiedError:  # a killed process left the beginning of a store of other files
                report = write(source, root, draft, overwrite=True)
        _require_unchanged(source, root, draft)
        if out.exists():  # without a manifest, so no store: what an older version began
            out.rename(out.with_name(f"{out.name}.unfinished-{time.time_ns()}"))
        draft.rename(out)
        sync(out.parent)
        self._report(source, root, " ".join((f"prepared {called}:", *report.lines())).replace(str(draft), str(out)))

    def _report(self, source: Source, root: Path | None, text: str) -> None:
        self.say(text + (_whose_options(text, source, root) if root else ""))
        if root and (note := paired_note(source, root)):
            self.say(note)


def _folder_of(base: Path, origin: Provenance) -> Path:
    """The folder of the store of this origin, whether or not it is there."""
    out = base.with_name(f"{base.name}-{origin.files[:8]}") if origin.files else base
    if (out / manifest.NAME).is_file() and Manifest.read(out / manifest.NAME).provenance.origin() != origin.origin():
        return out.with_name(f"{out.name}-{origin.origin()[:8]}")  # another version of the program made `out`
    return out


def _finished(base: Path) -> list[Path]:
    """The stores that were made from the same folder earlier."""
    return sorted(path.parent for path in base.parent.glob(f"{glob.escape(base.name)}*/{manifest.NAME}"))


def _require_unchanged(source: Source, root: Path | None, draft: Path) -> None:
    """Raises MultiviewError when files of the input have changed while they were read."""
    if root is not None and fingerprint(make_plan(source, root), root) != Store.open(draft).manifest.provenance.files:
        (draft / manifest.NAME).unlink()
        raise MultiviewError(f"files of {root} have changed while they were read; run the same command again.")
