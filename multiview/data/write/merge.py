"""Makes one store of several: of the parts that jobs wrote side by side, or of separate stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from multiview.data.store.manifest import Manifest, Provenance
from multiview.data.store.reading import Store
from multiview.data.store.shard import BadShardError, Layout, ShardSummary, check_shard, layout_of
from multiview.data.write import storefolder
from multiview.data.write.derived import Joined
from multiview.data.write.finish import Report, find_allowed_copies, finish_store, report_already_whole
from multiview.data.write.preprocess import preprocess
from multiview.data.write.progress import Progress
from multiview.data.write.settings import Part
from multiview.data.write.shardjob import FinishedShard
from multiview.errors import MultiviewError
from multiview.files import create, partial_path, size_text, sync


def merge(
    out: Path,
    parts: Sequence[Path],
    *,
    overwrite: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Makes the store `out` of the stores `parts`, in their order. The parts stay unchanged.

    The parts of one store (`shard="1/8"` to `"8/8"`) give the bytes of one undivided run. Raises
    MultiviewError for missing or repeated parts, different modalities, or a shared id.
    """
    stores = [Store.open(part) for part in parts]
    if out.resolve() in {part.resolve() for part in parts}:
        raise MultiviewError(f"{out} is one of the stores to merge; choose another OUT.")
    if all(store.manifest.provenance.part for store in stores):
        origin, ordered = _origin_of_whole(stores), _sort_parts(stores)
        with storefolder.opened(out, origin, overwrite) as whole:
            return _join_parts(out, ordered, origin, whole, progress or (lambda *_: None))
    source = Joined(stores=tuple(str(part) for part in parts))
    return preprocess(source, None, out, name="merge", overwrite=overwrite, workers=workers, progress=progress)


def join_linked(out: Path, parts: Sequence[Path], overwrite: bool) -> Report:
    """Makes the store `out` of all parts of one store, while the caller holds the lock of `out`.

    Shards are not copied where the disk allows two names of one file. Raises as `merge` does.
    """
    stores = _sort_parts([Store.open(part) for part in parts])
    origin = _origin_of_whole(stores)
    return _join_parts(out, stores, origin, storefolder.begin(out, origin, overwrite), lambda *_: None, linked=True)


def _origin_of_whole(stores: Sequence[Store]) -> Provenance:
    return replace(stores[0].manifest.provenance, part=None)


def _sort_parts(stores: Sequence[Store]) -> list[Store]:
    """The parts of one store in the order of their numbers."""
    first = stores[0]
    by_number: dict[int, Store] = {}
    for store in stores:
        if not _are_parts_of_one_store(first.manifest, store.manifest):
            raise MultiviewError(
                f"{store.path} and {first.path} are parts of different stores; merge the parts of one command."
            )
        part = _part_of(store.manifest)
        if part.number in by_number:
            raise MultiviewError(
                f"{store.path} and {by_number[part.number].path} are both part {part}; give each part once."
            )
        by_number[part.number] = store
    count = _part_of(first.manifest).count
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in by_number]
    if missing:
        raise MultiviewError(f"part {', '.join(missing)} is not there; give all {count} parts.")
    return [by_number[number] for number in sorted(by_number)]


def _are_parts_of_one_store(a: Manifest, b: Manifest) -> bool:
    same = replace(a.provenance, part=None, files=None) == replace(b.provenance, part=None, files=None)
    return same and _part_of(a).count == _part_of(b).count


def _part_of(manifest: Manifest) -> Part:
    part = Part.of(manifest.provenance.part)
    assert part is not None
    return part


def _join_parts(
    out: Path,
    stores: Sequence[Store],
    origin: Provenance,
    whole: Manifest | None,
    progress: Progress,
    linked: bool = False,
) -> Report:
    """The report on the store of these parts. whole: its manifest when it is there already."""
    if whole:
        return report_already_whole(out, whole)
    if not linked:
        _check_space(out, stores)
    layout = layout_of(stores[0].manifest, origin)
    files = [store.path / shard.name for store in stores for shard in store.manifest.shards]
    shards = []
    for number, file in enumerate(files):
        shards.append(FinishedShard(number, _copy_shard(file, out / file.name, layout, linked)))
        progress(number + 1, len(files), 0)
    return finish_store(out, shards, layout, origin, find_allowed_copies(out, shards, origin.duplicates))


def _check_space(out: Path, stores: Sequence[Store]) -> None:
    need, free = sum(shard.size for store in stores for shard in store.manifest.shards), shutil.disk_usage(out).free
    if need > free:
        raise MultiviewError(
            f"the store needs {size_text(need)} and the disk of {out} has {size_text(free)} free; choose another OUT."
        )


def _copy_shard(file: Path, target: Path, layout: Layout, linked: bool) -> ShardSummary:
    """Copies a shard into the new store, or gives it a second name, and checks the result."""
    partial = partial_path(target)
    try:
        if linked and not target.exists():
            with suppress(OSError):  # a disk without hard links
                os.link(file, target)
        if not target.exists():
            with file.open("rb") as source, create(partial) as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            sync(partial)
            check_shard(partial, layout)
            partial.rename(target)
            sync(target.parent)
        return check_shard(target, layout)
    except (OSError, BadShardError) as cause:
        raise MultiviewError(
            f"{file} could not be copied to {target.parent}: {cause}. The parts are unchanged: mend the cause and run "
            "the same command again."
        ) from cause
    finally:
        partial.unlink(missing_ok=True)
