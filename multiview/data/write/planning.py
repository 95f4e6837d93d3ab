"""The checked plan of a source, and the layout and provenance of the store made from the plan."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from multiview.data.files.encoded import check_encoding
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Source
from multiview.data.store.manifest import NO_SPLIT, Provenance, digest
from multiview.data.store.shard import Layout
from multiview.data.write.inputs import fingerprint
from multiview.errors import MultiviewError, near_path

RESERVED = ("label", "split", "id", "digest", "present", "length", "factor", "group", "statistics", "rejects")
FIRST_SPLITS = ("train", "val", "test")


def make_plan(source: Source, root: Path | None) -> Plan:
    """The plan of a source for `root`. Raises MultiviewError when it is empty or not allowed."""
    if source.needs_input and root is None:
        raise MultiviewError(f"the source '{type(source).__name__.lower()}' needs an input folder; give its path.")
    if root is not None and not root.exists():
        raise MultiviewError(f"{root} does not exist; give the folder that holds your data.{near_path(str(root))}")
    plan = source.plan(root)
    if not plan.rows:
        raise MultiviewError(f"the source found no sample at {root}.")
    for modality in plan.modalities:
        _check_modality(modality)
    _check_ids(plan)
    return plan


def _check_modality(modality: Modality) -> None:
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
    """What all shards of a plan have in common.

    Raises MultiviewError for a label that is no class, and for too many splits.
    """
    splits = _sort_splits({row.split for row in plan.rows if row.split is not None})
    labels = sorted({row.label for row in plan.rows if row.label is not None})
    classes = plan.classes if plan.classes is not None else tuple(labels)
    unknown = set(labels) - set(classes)
    if unknown:
        raise MultiviewError(f"the source labels samples '{min(unknown)}', which is none of the source's classes.")
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
        groups=_group_names(plan),
    )


def _group_names(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Column -> its groups, sorted."""
    found: dict[str, set[str]] = {}
    for row in plan.rows:
        for column, name in row.groups.items():
            found.setdefault(column, set()).add(name)
    return {column: tuple(sorted(found[column])) for column in sorted(found)}


def _sort_splits(splits: set[str]) -> tuple[str, ...]:
    return (*(name for name in FIRST_SPLITS if name in splits), *sorted(splits - set(FIRST_SPLITS)))


def provenance_of(source: Source, name: str, root: Path | None, plan: Plan) -> Provenance:
    """Where the samples of a plan come from; `preprocess` fills in the way of writing."""
    return Provenance(
        source=name,
        options=options_of(source),
        input=str(root.resolve()) if root is not None else None,
        plan=_digest_plan(plan),
        shard_rows=0,
        versions=_versions(),
        files=fingerprint(plan, root),
    )


def _digest_plan(plan: Plan) -> str:
    rows = [
        [
            row.id,
            row.label,
            row.split,
            {name: repr(float(value)) for name, value in row.factors.items()},
            *([dict(row.groups)] if row.groups else []),
        ]
        for row in plan.rows
    ]
    return digest(
        {"rows": rows, "modalities": [modality.as_plain() for modality in plan.modalities], "classes": plan.classes}
    )


def options_of(source: Source) -> dict[str, Any]:
    """A source's options as plain JSON values."""
    if not is_dataclass(source):
        return {}
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("multiview-cmc", "h5py", "numpy", "pillow")}
