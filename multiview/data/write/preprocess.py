"""From a source to a store, shard by shard.

The same call after an interruption writes only the missing shards; the store gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from multiview.data.source import Source
from multiview.data.store.manifest import Provenance
from multiview.data.store.shard import Reject, TooManyRejectsError
from multiview.data.write import storefolder
from multiview.data.write.diskspace import check_space
from multiview.data.write.duplicates import drop_copies
from multiview.data.write.executors import write_shards
from multiview.data.write.finish import (
    Report,
    find_allowed_copies,
    finish_store,
    report_already_whole,
    unreadable,
)
from multiview.data.write.grouping import with_groups
from multiview.data.write.planning import layout_of_plan, make_plan, provenance_of
from multiview.data.write.progress import Progress
from multiview.data.write.settings import Part, WriteSettings
from multiview.data.write.shardjob import FinishedShard, ShardJob
from multiview.errors import MultiviewError
from multiview.plurals import counted


def preprocess(
    source: Source,
    root: Path | None,
    out: Path,
    *,
    name: str | None = None,
    shard_rows: int = 1000,
    max_bad: float = 0.05,
    overwrite: bool = False,
    workers: int = 1,
    engine: str = "local",
    shard: str | None = None,
    duplicates: str = "keep",
    group: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Makes the store `out` from what `source` finds at `root`, or continues an interrupted call.

    Args:
        name: what the manifest calls the source; its class name by default.
        shard_rows: planned samples per shard.
        max_bad: how many samples may be unreadable: a share of all below 1, else a count.
        overwrite: replace another store at `out`; only files of that store are removed.
        workers: processes that write shards, 0 = one per core. A script that asks for more than
            one must guard its start with `if __name__ == "__main__"`.
        engine: `local`, or `ray` for a cluster.
        shard: `2/8` writes only the second of eight parts, for `merge`.
        duplicates: `keep` lists exact copies, `drop` leaves them out, `error` stops.
        group: the column that says which samples belong together, see `multiview preprocess`.
        progress: called with (samples done, samples in all, samples rejected).
    """
    part = Part.of(shard)
    settings = WriteSettings(max_bad=max_bad, workers=workers, engine=engine, part=part, duplicates=duplicates)
    if shard_rows < 1:
        raise MultiviewError(f"shard_rows is {shard_rows}; give 1 or more.")
    plan = with_groups(make_plan(source, root), group, source, root)
    origin = provenance_of(source, name or type(source).__name__.lower(), root, plan)
    origin = replace(origin, shard_rows=shard_rows, duplicates=duplicates, part=str(part) if part else None)
    job = ShardJob(plan, layout_of_plan(plan, origin.origin()), out, shard_rows, 0)
    with storefolder.opened(out, origin, overwrite) as whole:
        if whole:
            return report_already_whole(out, whole)
        return _write_store(job, origin, settings, progress or (lambda *_: None))


def _write_store(job: ShardJob, origin: Provenance, settings: WriteSettings, progress: Progress) -> Report:
    numbers = settings.part.shard_numbers(job) if settings.part else job.shard_numbers()
    total = job.count_rows(numbers)
    job = replace(job, allowed_bad=settings.allowed_bad(total))
    check_space(job, numbers)
    shards = _write_shards(job, numbers, settings, progress)
    copies = find_allowed_copies(job.out, shards, settings.duplicates)
    if copies and settings.duplicates == "drop":
        shards = drop_copies(job, shards, copies)
    if not any(shard.summary.shard.rows for shard in shards):
        rejects = [reject for shard in shards for reject in shard.summary.rejects]
        raise _too_many_rejects(job.out, rejects, total, settings.max_bad)
    return finish_store(job.out, shards, job.layout, origin, copies, job.plan.notes)


def _write_shards(job: ShardJob, numbers: range, settings: WriteSettings, progress: Progress) -> list[FinishedShard]:
    """Writes these shards and returns them in their order."""
    total = job.count_rows(numbers)
    samples = bad = 0

    def tick(more: int, more_bad: int) -> None:
        nonlocal samples, bad
        samples, bad = samples + more, bad + more_bad
        progress(samples, total, bad)

    shards: list[FinishedShard] = []
    try:
        for shard in write_shards(job, numbers, settings.engine, settings.workers, tick):
            shards.append(shard)
            if len(unreadable(shards)) > job.allowed_bad:
                raise TooManyRejectsError(())
    except TooManyRejectsError as error:
        storefolder.remove_partial_files(job.out)
        shards.sort(key=lambda shard: shard.number)
        rejects = [*unreadable(shards), *error.rejects]
        raise _too_many_rejects(job.out, rejects, total, settings.max_bad) from None
    except MultiviewError:
        storefolder.remove_partial_files(job.out)
        raise
    return sorted(shards, key=lambda shard: shard.number)


def _too_many_rejects(out: Path, rejects: Sequence[Reject], total: int, max_bad: float) -> MultiviewError:
    storefolder.write_rejects(out, rejects)
    first = "".join(f"\n  {reject.reason}" for reject in rejects[:3])
    return MultiviewError(
        f"{len(rejects)} of {counted(total, 'sample')} cannot be read, more than --max_bad {max_bad:g} "
        f"allows; the first:{first}\nAll are listed in {out / storefolder.REJECTS}. Mend the files "
        "and run the same command again: it continues from here. If you remove files instead, add --overwrite. Or "
        "allow more with `multiview preprocess SOURCE INPUT OUT --max_bad NUMBER_OR_SHARE`."
    )
