"""From a source to a store: shard after shard, a killed run goes on where it stood and ends with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from multiview.data import output
from multiview.data.encoded import check_encoding
from multiview.data.lock import locked
from multiview.data.manifest import NO_SPLIT, Manifest, Provenance, digest
from multiview.data.modality import ANY, Modality
from multiview.data.shard import (
    BadShardError,
    Layout,
    Reject,
    TooManyRejectsError,
    Written,
    check_shard,
    shard_name,
)
from multiview.data.shardwriter import write_shard
from multiview.data.source import Plan, Source
from multiview.data.statistics import Moments, channels
from multiview.errors import MultiviewError

Progress = Callable[[int, int, int], None]
RESERVED = ("label", "split", "id", "present", "length", "factor", "statistics", "rejects")
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
        rejected = f"; {self.rejected} rejected, see {self.out / output.REJECTS}" if self.rejected else ""
        resumed = f", {self.reused} of them from an earlier run" if self.reused else ""
        return (
            *self.notes,
            f"{self.out}: {self.written} samples in {self.shards} shard{'s' * (self.shards != 1)}{resumed}{rejected}.",
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
    progress: Progress | None = None,
) -> Report:
    """Makes the store `out` from what `source` finds at `root`. The same call again finishes a broken-off run, byte for
    byte.

    name: what the manifest calls the source (its class name by default). shard_rows: planned samples a shard. max_bad:
    how many samples may be unreadable, a share of all below 1, else a count. overwrite: replaces another store at `out`
    (its files only). progress: called with (samples done, samples in all, samples rejected). Raises MultiviewError.
    """
    if shard_rows < 1:
        raise MultiviewError(f"shard_rows is {shard_rows}; give 1 or more.")
    if not max_bad >= 0:
        raise MultiviewError(f"max_bad is {max_bad}; give a share below 1 or a count, 0 for none.")
    plan = _planned(source, root)
    origin = _provenance(source, name or type(source).__name__.lower(), root, plan, shard_rows)
    layout = _layout(plan, origin.origin())
    output.refuse_strangers(out)
    output.make(out)
    with locked(out):
        whole = output.begin(out, origin, overwrite)
        if whole:
            return _already(out, whole)
        return _run(plan, layout, origin, out, max_bad, progress or (lambda *_: None))


def _already(out: Path, manifest: Manifest) -> Report:
    return Report(
        out=out,
        written=manifest.count,
        rejected=manifest.rejected,
        shards=len(manifest.shards),
        reused=len(manifest.shards),
        already=True,
        notes=(f"{out} is whole already: {manifest.count} samples, nothing to do.",),
    )


def _planned(source: Source, root: Path | None) -> Plan:
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


def _layout(plan: Plan, origin: str) -> Layout:
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


def _provenance(source: Source, name: str, root: Path | None, plan: Plan, shard_rows: int) -> Provenance:
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
        shard_rows=shard_rows,
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


def _run(plan: Plan, layout: Layout, origin: Provenance, out: Path, max_bad: float, progress: Progress) -> Report:
    total = len(plan.rows)
    limit = max_bad * total if max_bad < 1 else max_bad
    done: list[Written] = []
    rejects: list[Reject] = []
    notes = list(plan.notes)
    reused = 0
    for number, start in enumerate(range(0, total, origin.shard_rows)):
        rows = range(start, min(start + origin.shard_rows, total))
        shard = _whole(out / shard_name(number), layout, notes)
        reused += shard is not None
        try:
            shard = shard or _write(out / shard_name(number), plan, rows, layout, limit, rejects, progress)
        except TooManyRejectsError as more:
            raise _too_many(out, [*rejects, *more.rejects], total, max_bad) from None
        done.append(shard)
        rejects += shard.rejects
        if len(rejects) > limit:
            raise _too_many(out, rejects, total, max_bad)
        progress(rows.stop, total, len(rejects))
    manifest = _manifest(done, layout, origin)
    if not manifest.count:
        raise _too_many(out, rejects, total, max_bad)
    output.finish(out, manifest, rejects)
    return Report(
        out=out,
        written=manifest.count,
        rejected=len(rejects),
        shards=len(done),
        reused=reused,
        already=False,
        notes=tuple(notes),
    )


def _whole(path: Path, layout: Layout, notes: list[str]) -> Written | None:
    """A shard of an earlier run, when it is whole."""
    if not path.exists():
        return None
    try:
        return check_shard(path, layout)
    except BadShardError as reason:
        path.unlink()
        notes.append(f"damaged and written again: {reason}.")
        return None


def _write(
    path: Path, plan: Plan, rows: range, layout: Layout, limit: float, before: Sequence[Reject], progress: Progress
) -> Written:
    done = rows.start

    def tick(bad: int) -> None:
        nonlocal done
        done += 1
        progress(done, len(plan.rows), len(before) + bad)

    return write_shard(path, plan, rows, layout, limit - len(before), tick)


def _too_many(out: Path, rejects: Sequence[Reject], total: int, max_bad: float) -> MultiviewError:
    output.write_rejects(out, rejects)
    first = "".join(f"\n  {each.reason}" for each in rejects[:3])
    return MultiviewError(
        f"{len(rejects)} of {total} samples cannot be read, more than --max-bad {max_bad:g} allows; the first:{first}\n"
        f"All are listed in {out / output.REJECTS}. Mend or remove the files, or allow more with --max-bad."
    )


def _manifest(done: Sequence[Written], layout: Layout, origin: Provenance) -> Manifest:
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


@contextmanager
def progress_bar(label: str = "preparing") -> Iterator[Progress]:
    """A live progress line with time left, to hand to `preprocess(progress=...)`; silent when nobody watches a
    terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None, visible=False)

        def show(done: int, total: int, rejected: int) -> None:
            text = f"{label}, {rejected} rejected" if rejected else label
            bar.update(task, completed=done, total=total, description=text, visible=True)

        yield show
