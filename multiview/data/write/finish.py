"""The end of writing a store: look for exact copies, write the manifest, report to the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from multiview.data.store.columnfile import ColumnsOf
from multiview.data.store.manifest import Manifest, Provenance
from multiview.data.store.shard import Layout, Reject, ShardSummary
from multiview.data.store.statistics import Moments, Statistics, channels
from multiview.data.write import storefolder
from multiview.data.write.duplicates import Copy, copies_error, copies_note, count_across, find_copies
from multiview.data.write.settings import Part
from multiview.data.write.shardjob import FinishedShard
from multiview.plurals import counted


@dataclass(frozen=True, kw_only=True)
class Report:
    """What writing a store did.

    written, rejected: numbers of samples. reused: how many of the `shards` an earlier run wrote.
    already: the store was whole before and nothing was done. notes: sentences for the user. part:
    parts of other jobs are missing, so that there is no store yet. bytes_written: of the shards
    that were not reused.
    """

    out: Path | str
    written: int
    rejected: int
    shards: int
    reused: int
    already: bool
    notes: tuple[str, ...]
    part: bool = False
    bytes_written: int = 0

    def lines(self) -> tuple[str, ...]:
        """The lines for the user: the notes and, when something was written, the counts."""
        if self.already:
            return self.notes
        rejected = f"; {self.rejected} rejected, see {self.out}/{storefolder.REJECTS}" if self.rejected else ""
        resumed = f", {self.reused} of them from an earlier run" if self.reused else ""
        return (
            *self.notes,
            f"{self.out}: {counted(self.written, 'sample')} in {counted(self.shards, 'shard')}{resumed}{rejected}.",
        )


def report_already_whole(out: Path | str, manifest: Manifest) -> Report:
    """The report on a store that was whole before."""
    return Report(
        out=out,
        written=manifest.count,
        rejected=manifest.rejected,
        shards=len(manifest.shards),
        reused=len(manifest.shards),
        already=True,
        notes=(f"{out} is whole already: {counted(manifest.count, 'sample')}, nothing to do.",),
    )


def report_part(out: str, shards: Sequence[FinishedShard], part: Part | None) -> Report:
    """The report on one of several jobs that write one store, while others are missing."""
    note = f"part {part} of {out} is there; the job that writes the last missing part makes the store."
    return Report(
        out=out,
        written=sum(shard.summary.shard.rows for shard in shards),
        rejected=0,
        shards=len(shards),
        reused=sum(shard.reused for shard in shards),
        already=False,
        notes=(note,),
        part=True,
        bytes_written=sum(shard.summary.shard.size for shard in shards if not shard.reused),
    )


def report_missing(out: Path, written: Report, part: Part, missing: Sequence[int]) -> Report:
    """The report of a job that has written its part, while parts of other jobs are missing."""
    numbers = ", ".join(f"{number}/{part.count}" for number in missing[:10]) + ", ..." * (len(missing) > 10)
    note = f"part {part} of {out} is there; it becomes a store when the jobs of {numbers} are done too."
    return replace(written, out=out, already=True, part=True, notes=(*written.notes, note))


def find_allowed_copies(out: Path, shards: Sequence[FinishedShard], treatment: str) -> list[Copy]:
    """The exact copies in these shards. Raises MultiviewError when `treatment` is `error`."""
    summaries = [shard.summary for shard in shards]
    copies = find_copies(summaries)
    if copies and treatment == "error":
        storefolder.write_duplicates(out, copies)
        raise copies_error(out / storefolder.DUPLICATES, copies, count_across(summaries, copies))
    return copies


def finish_store(
    out: Path,
    shards: Sequence[FinishedShard],
    layout: Layout,
    origin: Provenance,
    copies: Sequence[Copy],
    notes: Sequence[str] = (),
    columns: ColumnsOf | None = None,
) -> Report:
    """Makes the folder of these whole shards a store, and reports. columns: see `write_columns`."""
    summaries = [shard.summary for shard in shards]
    rejects = [reject for summary in summaries for reject in summary.rejects]
    manifest, listed = manifest_of(summaries, layout, origin), origin.duplicates == "keep"
    storefolder.finish(out, manifest, rejects, copies if listed else (), columns)
    count = len(copies) if listed else sum(reject.copy_of is not None for reject in rejects)
    across = count_across(summaries, copies) if listed and copies else 0
    copy_notes = [copies_note(out / storefolder.DUPLICATES, count, origin.duplicates, across)] if count else []
    return Report(
        out=out,
        written=manifest.count,
        rejected=len(rejects),
        shards=len(shards),
        reused=sum(shard.reused for shard in shards),
        already=False,
        notes=(*notes, *(shard.note for shard in shards if shard.note), *copy_notes),
        bytes_written=sum(shard.summary.shard.size for shard in shards if not shard.reused),
    )


def manifest_of(summaries: Sequence[ShardSummary], layout: Layout, origin: Provenance) -> Manifest:
    """The manifest of a store with these shards."""
    counts = [sum(each) for each in zip(*(summary.split_counts for summary in summaries), strict=True)]
    return Manifest(
        count=sum(summary.shard.rows for summary in summaries),
        rejected=sum(len(summary.rejects) for summary in summaries),
        modalities=layout.modalities,
        splits=dict(zip(layout.splits, counts, strict=True)) if layout.splits else {},
        classes=layout.classes,
        factors=layout.factors,
        statistics=_join_statistics(summaries, layout),
        shards=tuple(summary.shard for summary in summaries),
        provenance=origin,
        groups=layout.groups,
        schema=2 if layout.groups else 1,
    )


def _join_statistics(summaries: Sequence[ShardSummary], layout: Layout) -> dict[str, Statistics]:
    joined = {}
    for modality in layout.modalities:
        moments = Moments.none(channels(modality))
        for summary in summaries:
            moments = moments.joined(summary.moments[modality.name])
        if statistics := moments.statistics():
            joined[modality.name] = statistics
    return joined


def unreadable(shards: Sequence[FinishedShard]) -> list[Reject]:
    """The rejected samples of these shards that could not be read; copies are not counted."""
    return [reject for shard in shards for reject in shard.summary.rejects if reject.copy_of is None]
