"""One store of several: the parts of one that jobs wrote side by side, or stores of their own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from multiview.data.store.manifest import Manifest, Provenance
from multiview.data.store.reading import Store
from multiview.data.store.shard import BadShardError, Layout, Written, check_shard, layout_of
from multiview.data.write import duplicates, storefolder
from multiview.data.write.derived import Joined
from multiview.data.write.lock import locked
from multiview.data.write.preprocess import Report, already, manifest_of, preprocess
from multiview.data.write.progress import Progress
from multiview.data.write.settings import Part
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, size_text, sync


def merge(
    out: Path, parts: Sequence[Path], *, overwrite: bool = False, workers: int = 1, progress: Progress | None = None
) -> Report:
    """Makes the store `out` of the stores `parts`, in their order, which stay as they are.

    The parts of one store (`preprocess(shard="1/8")` to `"8/8"`, in any order) give what an undivided run writes, byte
    for byte. Raises MultiviewError when a part is missing or there twice, or when stores do not fit together.
    """
    stores = [Store.open(part) for part in parts]
    if out.resolve() in {part.resolve() for part in parts}:
        raise MultiviewError(f"{out} is one of the stores to merge; choose another OUT.")
    if all(store.manifest.provenance.part for store in stores):
        return _join(out, _in_order(stores), overwrite, progress or (lambda *_: None))
    source = Joined(stores=tuple(str(part) for part in parts))
    return preprocess(source, None, out, name="merge", overwrite=overwrite, workers=workers, progress=progress)


def _in_order(stores: Sequence[Store]) -> list[Store]:
    """The parts of one store by their numbers."""
    first = stores[0]
    by_number: dict[int, Store] = {}
    for store in stores:
        if not _siblings(first.manifest, store.manifest):
            raise MultiviewError(
                f"{store.path} and {first.path} are parts of different stores; merge those of one command."
            )
        part = _part(store)
        if part.number in by_number:
            raise MultiviewError(
                f"{store.path} and {by_number[part.number].path} are both part {part}; give each once."
            )
        by_number[part.number] = store
    missing = [
        f"{number}/{_part(first).count}" for number in range(1, _part(first).count + 1) if number not in by_number
    ]
    if missing:
        raise MultiviewError(f"part {', '.join(missing)} is not there; give all {_part(first).count} parts.")
    return [by_number[number] for number in sorted(by_number)]


def _siblings(a: Manifest, b: Manifest) -> bool:
    same = replace(a.provenance, part=None) == replace(b.provenance, part=None)
    counts = [Part.of(each.provenance.part) for each in (a, b)]
    return same and counts[0] is not None and counts[1] is not None and counts[0].count == counts[1].count


def _part(store: Store) -> Part:
    part = Part.of(store.manifest.provenance.part)
    assert part is not None
    return part


def _join(out: Path, stores: Sequence[Store], overwrite: bool, progress: Progress) -> Report:
    origin = replace(stores[0].manifest.provenance, part=None)
    layout = layout_of(stores[0].manifest, origin)
    files = [store.path / shard.name for store in stores for shard in store.manifest.shards]
    storefolder.refuse_strangers(out)
    storefolder.make(out)
    with locked(out):
        whole = storefolder.begin(out, origin, overwrite)
        if whole:
            return already(out, whole)
        _check_room(out, stores)
        done = []
        for number, file in enumerate(files):
            done.append(_copied(file, out / file.name, layout))
            progress(number + 1, len(files), 0)
        return _finished(out, done, layout, origin)


def _check_room(out: Path, stores: Sequence[Store]) -> None:
    need, free = sum(shard.size for store in stores for shard in store.manifest.shards), shutil.disk_usage(out).free
    if need > free:
        raise MultiviewError(
            f"the store needs {size_text(need)} and the disk of {out} has {size_text(free)} free; choose another OUT."
        )


def _copied(file: Path, target: Path, layout: Layout) -> Written:
    """A shard under its name in the new store, checked like one that was written there."""
    partial = target.with_name(target.name + PARTIAL)
    try:
        if not target.exists():
            shutil.copyfile(file, partial)
            sync(partial)
            check_shard(partial, layout)
            partial.rename(target)
            sync(target.parent)
        return check_shard(target, layout)
    except (OSError, BadShardError) as cause:
        raise MultiviewError(
            f"{file} could not be copied to {target.parent}: {cause}. The parts are as they were: mend that and merge again."
        ) from cause
    finally:
        partial.unlink(missing_ok=True)


def _finished(out: Path, done: Sequence[Written], layout: Layout, origin: Provenance) -> Report:
    copies = duplicates.found(done)
    if copies and origin.duplicates == "error":
        storefolder.write_duplicates(out, copies)
        raise duplicates.refused(out / storefolder.DUPLICATES, copies)
    rejects = [reject for written in done for reject in written.rejects]
    manifest = manifest_of(done, layout, origin)
    storefolder.finish(out, manifest, rejects, copies)
    notes = (duplicates.note(out / storefolder.DUPLICATES, len(copies), "keep"),) if copies else ()
    return Report(
        out=out,
        written=manifest.count,
        rejected=len(rejects),
        shards=len(done),
        reused=0,
        already=False,
        notes=notes,
    )
