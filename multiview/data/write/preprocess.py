"""From a source to a store: shard after shard, a killed run goes on where it stood and ends with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from multiview.data.files.encoded import check_encoding
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Source
from multiview.data.store.manifest import NO_SPLIT, Manifest, Provenance, digest
from multiview.data.store.shard import Layout, Reject, TooManyRejectsError, Written
from multiview.data.store.statistics import Moments, channels
from multiview.data.write import duplicates, storefolder
from multiview.data.write.diskspace import check_space
from multiview.data.write.executors import finished
from multiview.data.write.lock import locked
from multiview.data.write.progress import Progress
from multiview.data.write.settings import How, Part
from multiview.data.write.shardjob import Done, Work
from multiview.errors import MultiviewError
from multiview.plurals import counted

RESERVED = ("label", "split", "id", "digest", "present", "length", "factor", "statistics", "rejects")
FIRST_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `preprocess` did: samples in the store, samples left out, shards, and how many of them were there already.

    already: the store was whole before and nothing was done. notes: sentences for the user.
    """

    out: Path
    written: int
    rejected: int
    shards: int
    reused: int
    already: bool
    notes: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """What to tell the user: the notes, and unless nothing was done, the count of samples and rejects."""
        if self.already:
            return self.notes
        rejected = f"; {self.rejected} rejected, see {self.out / storefolder.REJECTS}" if self.rejected else ""
        resumed = f", {self.reused} of them from an earlier run" if self.reused else ""
        return (
            *self.notes,
            f"{self.out}: {counted(self.written, 'sample')} in {counted(self.shards, 'shard')}{resumed}{rejected}.",
        )


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
    progress: Progress | None = None,
) -> Report:
    """Makes the store `out` from what `source` finds at `root`. The same call again finishes a broken-off run, byte for
    byte, whoever writes the shards.

    name: what the manifest calls the source (its class name by default). shard_rows: planned samples a shard. max_bad:
    how many samples may be unreadable, a share of all below 1, else a count. overwrite: replaces another store at `out`
    (its files only). workers: processes that write shards, 0 = as many as cores; a script that asks for more than one
    guards its own start with `if __name__ == "__main__"`. engine: `local`, or `ray` for a cluster. shard: `2/8` writes
    the second eighth alone, for `merge`. duplicates: what becomes of exact copies of an earlier sample: `keep` lists
    them, `drop` leaves them out, `error` refuses the data. progress: called with (samples done, samples in all, samples
    rejected). Raises MultiviewError.
    """
    how = How(max_bad=max_bad, workers=workers, engine=engine, part=Part.of(shard), duplicates=duplicates)
    if shard_rows < 1:
        raise MultiviewError(f"shard_rows is {shard_rows}; give 1 or more.")
    plan = planned(source, root)
    origin = provenance_of(source, name or type(source).__name__.lower(), root, plan)
    origin = replace(origin, shard_rows=shard_rows, duplicates=duplicates, part=str(how.part) if how.part else None)
    work = Work(plan, layout_of_plan(plan, origin.origin()), out, shard_rows, 0)
    storefolder.refuse_strangers(out)
    storefolder.make(out)
    with locked(out):
        whole = storefolder.begin(out, origin, overwrite)
        if whole:
            return already(out, whole)
        return _run(work, origin, how, progress or (lambda *_: None))


def already(out: Path, manifest: Manifest) -> Report:
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


def planned(source: Source, root: Path | None) -> Plan:
    """What the source finds at `root`. Raises MultiviewError when there is nothing, or when its plan cannot be kept."""
    if source.needs_input and root is None:
        raise MultiviewError(f"the source '{type(source).__name__.lower()}' needs an input folder; give its path.")
    if root is not None and not root.exists():
        raise MultiviewError(f"{root} does not exist; give the folder that holds your data.")
    plan = source.plan(root)
    if not plan.rows:
        raise MultiviewError(f"the source found no sample at {root}.")
    _check_names(plan.modalities)
    _check_ids(plan)
    return plan


def _check_names(modalities: tuple[Modality, ...]) -> None:
    for modality in modalities:
        if modality.name in RESERVED or "/" in modality.name or not modality.name:
            raise MultiviewError(f"a modality cannot be called '{modality.name}': the store uses that name. Rename it.")
        if 0 in modality.shape:
            raise MultiviewError(f"modality '{modality.name}' has shape {modality.shape}: it holds no value.")
        if ANY in modality.shape[1:]:
            raise MultiviewError(
                f"modality '{modality.name}' has shape {modality.shape}: only the first length may differ from sample to "
                "sample."
            )
        if modality.encoding:
            check_encoding(modality)


def _check_ids(plan: Plan) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(plan.rows):
        if row.id in seen:
            raise MultiviewError(
                f"the id '{row.id}' is given to samples {seen[row.id]} and {number}; ids must be unique."
            )
        seen[row.id] = number


def layout_of_plan(plan: Plan, origin: str) -> Layout:
    """What the shards of a plan have in common. Raises MultiviewError for labels that are no class."""
    splits = _ordered({row.split for row in plan.rows if row.split is not None})
    labels = sorted({row.label for row in plan.rows if row.label is not None})
    classes = plan.classes if plan.classes is not None else tuple(labels)
    strange = set(labels) - set(classes)
    if strange:
        raise MultiviewError(f"the source labels samples '{min(strange)}', which is not among its classes.")
    if len(splits) > NO_SPLIT:
        raise MultiviewError(
            f"there are {len(splits)} splits, a store holds up to {NO_SPLIT}. Is the split column right?"
        )
    return Layout(
        modalities=plan.modalities,
        splits=splits,
        classes=classes,
        factors=tuple(sorted({name for row in plan.rows for name in row.factors})),
        origin=origin,
        measured="train" if "train" in splits else None,
    )


def _ordered(splits: set[str]) -> tuple[str, ...]:
    return (*(name for name in FIRST_SPLITS if name in splits), *sorted(splits - set(FIRST_SPLITS)))


def provenance_of(source: Source, name: str, root: Path | None, plan: Plan) -> Provenance:
    """Where the samples of a plan come from; how they are written is left open."""
    return Provenance(
        source=name,
        options=options(source),
        input=str(root.resolve()) if root is not None else None,
        plan=digest(
            {
                "rows": [
                    [row.id, row.label, row.split, {name: repr(float(value)) for name, value in row.factors.items()}]
                    for row in plan.rows
                ],
                "modalities": [asdict(modality) for modality in plan.modalities],
                "classes": plan.classes,
            }
        ),
        shard_rows=0,
        versions=_versions(),
    )


def options(source: Source) -> dict[str, Any]:
    """A source's options as plain JSON values."""
    if not is_dataclass(source):
        return {}
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("multiview-cmc", "h5py", "numpy", "pillow")}


def _run(work: Work, origin: Provenance, how: How, progress: Progress) -> Report:
    numbers = how.part.numbers(work) if how.part else work.numbers()
    total = sum(len(work.rows(number)) for number in numbers)
    work = replace(work, allowed=how.max_bad * total if how.max_bad < 1 else how.max_bad)
    check_space(work, numbers)
    done = _written(work, numbers, how, progress)
    copies = duplicates.found([each.written for each in done])
    if copies and how.duplicates == "error":
        storefolder.write_duplicates(work.out, copies)
        raise duplicates.refused(work.out / storefolder.DUPLICATES, copies)
    if copies and how.duplicates == "drop":
        done = duplicates.dropped(work, done, copies)
    whole = [each.written for each in done]
    manifest = manifest_of(whole, work.layout, origin)
    rejects = [reject for written in whole for reject in written.rejects]
    if not manifest.count:
        raise _too_many(work.out, rejects, total, how.max_bad)
    storefolder.finish(work.out, manifest, rejects, copies if how.duplicates == "keep" else ())
    notes = [each.note for each in done if each.note]
    count = len(copies) if how.duplicates == "keep" else sum(reject.copy_of is not None for reject in rejects)
    if count:
        notes.append(duplicates.note(work.out / storefolder.DUPLICATES, count, how.duplicates))
    return Report(
        out=work.out,
        written=manifest.count,
        rejected=len(rejects),
        shards=len(done),
        reused=sum(each.reused for each in done),
        already=False,
        notes=(*work.plan.notes, *notes),
    )


def _written(work: Work, numbers: Sequence[int], how: How, progress: Progress) -> list[Done]:
    """Every shard of `numbers`, in their order."""
    total = sum(len(work.rows(number)) for number in numbers)
    samples = bad = 0

    def tick(more: int, more_bad: int) -> None:
        nonlocal samples, bad
        samples, bad = samples + more, bad + more_bad
        progress(samples, total, bad)

    done: list[Done] = []
    try:
        for each in finished(work, numbers, how.engine, how.workers, tick):
            done.append(each)
            if sum(len(_unreadable(one)) for one in done) > work.allowed:
                raise TooManyRejectsError(())
    except TooManyRejectsError as more:
        storefolder.sweep(work.out)
        done.sort(key=lambda each: each.number)
        rejects = [*(reject for each in done for reject in _unreadable(each)), *more.rejects]
        raise _too_many(work.out, rejects, total, how.max_bad) from None
    except MultiviewError:
        storefolder.sweep(work.out)
        raise
    return sorted(done, key=lambda each: each.number)


def _unreadable(done: Done) -> list[Reject]:
    return [reject for reject in done.written.rejects if reject.copy_of is None]


def _too_many(out: Path, rejects: Sequence[Reject], total: int, max_bad: float) -> MultiviewError:
    storefolder.write_rejects(out, rejects)
    first = "".join(f"\n  {each.reason}" for each in rejects[:3])
    return MultiviewError(
        f"{len(rejects)} of {counted(total, 'sample')} cannot be read, more than --max-bad {max_bad:g} allows; the first:{first}\n"
        f"All are listed in {out / storefolder.REJECTS}. Mend the files and run the same command again, it goes on from here; "
        "where you remove files instead, add --overwrite. Or allow more with "
        "`multiview preprocess SOURCE INPUT OUT --max-bad NUMBER_OR_SHARE`."
    )


def manifest_of(done: Sequence[Written], layout: Layout, origin: Provenance) -> Manifest:
    """What a store of these shards says of itself."""
    counts = [sum(each) for each in zip(*(written.splits for written in done), strict=True)]
    statistics = {}
    for modality in layout.modalities:
        moments = Moments.none(channels(modality))
        for written in done:
            moments = moments.joined(written.moments[modality.name])
        if found := moments.statistics():
            statistics[modality.name] = found
    return Manifest(
        count=sum(written.shard.rows for written in done),
        rejected=sum(len(written.rejects) for written in done),
        modalities=layout.modalities,
        splits=dict(zip(layout.splits, counts, strict=True)) if layout.splits else {},
        classes=layout.classes,
        factors=layout.factors,
        statistics=statistics,
        shards=tuple(written.shard for written in done),
        provenance=origin,
    )
