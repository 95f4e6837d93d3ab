"""From a source to a store, shard by shard.

The same call after an interruption writes only the missing shards; the store gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from multiview.data.source import Plan, Source
from multiview.data.store.manifest import Manifest, Provenance
from multiview.data.store.shard import Reject, TooManyRejectsError
from multiview.data.write import storeaddress, storefolder
from multiview.data.write.diskspace import check_space, rows_per_shard
from multiview.data.write.duplicates import Copy, drop_copies
from multiview.data.write.executors import write_shards
from multiview.data.write.finish import (
    Report,
    find_allowed_copies,
    finish_store,
    report_already_whole,
    report_part,
    unreadable,
)
from multiview.data.write.grouping import with_groups
from multiview.data.write.planning import layout_of_plan, make_plan, provenance_of
from multiview.data.write.progress import Progress
from multiview.data.write.settings import Part, WriteSettings
from multiview.data.write.shardjob import FinishedShard, ShardJob
from multiview.errors import MultiviewError
from multiview.plurals import counted
from multiview.remote.address import is_address

Job = TypeVar("Job", bound=ShardJob)


def preprocess(
    source: Source,
    root: Path | None,
    out: Path | str,
    *,
    name: str | None = None,
    shard_rows: int | None = None,
    shard_mb: float | None = None,
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
        out: a folder; or an address such as `s3://bucket/photos`, as a text, to which whole shards
            are sent one by one.
        name: what the manifest calls the source; its class name by default.
        shard_rows: planned samples per shard (None = 1000; for an address see `shard_mb`).
        shard_mb: megabytes per shard, in place of `shard_rows`; 128 for an address by default.
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
    _require_possible(out, shard_rows, engine)
    part = Part.of(shard)
    settings = WriteSettings(max_bad=max_bad, workers=workers, engine=engine, part=part, duplicates=duplicates)
    plan = with_groups(make_plan(source, root), group, source, root)
    origin = provenance_of(source, name or type(source).__name__.lower(), root, plan)
    origin = replace(origin, duplicates=duplicates, part=str(part) if part else None)
    job, origin = _job(plan, origin, out, rows_per_shard(plan, shard_rows, shard_mb, is_address(out)))
    return _written(out, job, origin, settings, progress or (lambda *_: None), overwrite)


def _require_possible(out: Path | str, shard_rows: int | None, engine: str) -> None:
    if shard_rows is not None and shard_rows < 1:
        raise MultiviewError(f"shard_rows is {shard_rows}; give 1 or more.")
    if engine == "ray" and is_address(out):
        raise MultiviewError(
            f"--engine ray cannot write to an address such as {out}: use --workers, or several jobs with "
            "--shard 1/8 to 8/8; or give a folder that all machines share."
        )


def _job(plan: Plan, origin: Provenance, out: Path | str, shard_rows: int) -> tuple[ShardJob, Provenance]:
    origin = replace(origin, shard_rows=shard_rows)
    return ShardJob(plan, layout_of_plan(plan, origin.origin()), Path(out), shard_rows, 0), origin


def _written(
    out: Path | str, job: ShardJob, origin: Provenance, settings: WriteSettings, progress: Progress, overwrite: bool
) -> Report:
    if isinstance(out, str) and is_address(out):
        return _write_at_address(out, job, origin, settings, progress, overwrite)
    out = Path(out)
    with storefolder.opened(out, origin, overwrite) as whole:
        if whole:
            return report_already_whole(out, whole)
        return _write_store(job, origin, settings, progress)


def _write_store(job: ShardJob, origin: Provenance, settings: WriteSettings, progress: Progress) -> Report:
    numbers = settings.part.shard_numbers(job) if settings.part else job.shard_numbers()
    check_space(job, numbers)
    job, shards = _write_shards(job, numbers, settings, progress)
    shards, copies = _without_copies(job, shards, settings)
    return finish_store(job.out, shards, job.layout, origin, copies, job.plan.notes)


def _write_at_address(
    address: str, job: ShardJob, origin: Provenance, settings: WriteSettings, progress: Progress, overwrite: bool
) -> Report:
    with storeaddress.opened(address, job, origin, overwrite) as found:
        if isinstance(found, Manifest):
            return report_already_whole(address, found)
        numbers = settings.part.shard_numbers(job) if settings.part else job.shard_numbers()
        sending, shards = _write_shards(found, numbers, settings, progress)
        written = shards if settings.part is None else storeaddress.all_shards(sending)
        if written is None:
            storeaddress.leave(sending)
            return report_part(address, shards, settings.part)
        shards, copies = _without_copies(sending, written, settings)
        origin, notes = replace(origin, part=None), job.plan.notes
        report = finish_store(sending.out, shards, job.layout, origin, copies, notes, sending.columns)
        storeaddress.publish(sending)
        return replace(report, out=address)


def _without_copies(
    job: ShardJob, shards: list[FinishedShard], settings: WriteSettings
) -> tuple[list[FinishedShard], Sequence[Copy]]:
    """The shards, and their exact copies, which are left out when they are to be dropped."""
    copies = find_allowed_copies(job.out, shards, settings.duplicates)
    if copies and settings.duplicates == "drop":
        shards = drop_copies(job, shards, copies)
    if not any(shard.summary.shard.rows for shard in shards):
        rejects = [reject for shard in shards for reject in shard.summary.rejects]
        raise _too_many_rejects(job.out, rejects, len(rejects), settings.max_bad)
    return shards, copies


def _write_shards(
    job: Job, numbers: range, settings: WriteSettings, progress: Progress
) -> tuple[Job, list[FinishedShard]]:
    """Writes these shards; returns the job with its limit of bad samples, and them in order."""
    total = job.count_rows(numbers)
    job = replace(job, allowed_bad=settings.allowed_bad(total))
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
        raise _too_many_rejects(job.out, rejects, total, settings.max_bad, whole=len(numbers) == 1) from None
    except MultiviewError:
        storefolder.remove_partial_files(job.out)
        raise
    return job, sorted(shards, key=lambda shard: shard.number)


def _too_many_rejects(
    out: Path, rejects: Sequence[Reject], total: int, max_bad: float, whole: bool = True
) -> MultiviewError:
    """The error; whole: every sample was read, so that no other one is bad."""
    storefolder.write_rejects(out, rejects)
    count, listed = (len(rejects), "All") if whole else (f"at least {len(rejects)}", "Those found so far")
    first = "".join(f"\n  {reject.reason}" for reject in rejects[:3])
    return MultiviewError(
        f"{count} of {counted(total, 'sample')} cannot be read, more than --max_bad {max_bad:g} "
        f"allows; the first:{first}\n{listed} are listed in {out / storefolder.REJECTS}. Mend the files "
        "and run the same command again: it continues from here. If you remove files instead, add --overwrite. Or "
        "allow more with `multiview preprocess SOURCE INPUT OUT --max_bad NUMBER_OR_SHARE`."
    )
