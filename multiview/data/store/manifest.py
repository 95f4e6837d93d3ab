"""The manifest of a store: what the shards hold, where it comes from, and its hashes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview import typed
from multiview.data.files.encoded import check_encoding
from multiview.data.modality import ANY, Modality
from multiview.data.store.statistics import Statistics, channels
from multiview.errors import MultiviewError, near_path
from multiview.parsing import MALFORMED, read_text, reason

SCHEMA = 2
"""The newest schema that is read. A store with groups has schema 2, any other store 1."""
NAME = "manifest.json"
SHARD_NAME = re.compile(r"shard-\d{5,}\.h5")
NO_SPLIT = 255
DIGEST = 16
"""Bytes per digest of a sample."""
CHECKSUM = "checksum"
"""The key of the sha256 of all other values of a manifest."""
REMEDY = "Restore it from a copy, or make the store again with `multiview preprocess ... --overwrite`."
PARSE_ERRORS: tuple[type[Exception], ...] = (MultiviewError, *MALFORMED)
LARGEST_SAMPLE = 2**36
MOST_AXES = 8
AXES = {"image": (3,), "depth": (2, 3), "normal": (3,), "mask": (2, 3), "bands": (3,), "video": (4,)}
"""Kind of modality -> how many axes a sample may have, where crops need to know."""


@dataclass(frozen=True)
class Shard:
    """One HDF5 file of a store: file name, number of rows, size in bytes, sha256."""

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a store comes from. Only `versions`, `part` and `files` do not affect its rows.

    Attributes:
        source: the name of the source.
        options: the options of the source.
        input: the absolute path that was read, or None.
        plan: sha256 of the planned rows, classes and modalities.
        shard_rows: planned rows per shard.
        versions: of the programs that wrote the store.
        duplicates: how exact copies were treated: keep, drop or error.
        part: `2/8` for the second of eight parts, None for a whole store.
        files: fingerprint of the files of the input; None without files, and in older stores.
    """

    source: str
    options: Mapping[str, Any]
    input: str | None
    plan: str
    shard_rows: int
    versions: Mapping[str, str]
    duplicates: str = "keep"
    part: str | None = None
    files: str | None = None

    def origin(self) -> str:
        """sha256 of all but versions, part and files: one command on one input gives one origin."""
        values = asdict(replace(self, versions={}, part=None))
        del values["files"]
        return digest(values)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store holds.

    Attributes:
        count: number of rows.
        rejected: number of planned samples that were left out.
        splits: name -> number of rows; the shards store the position of a split in this order.
        statistics: per modality and channel, over the split `train` or, without one, all rows.
        shards: in row order.
        views: statistics of installed views in their units; not part of the hash.
        groups: column -> names of its groups; the shards store the position of a group, or -1.
    """

    count: int
    rejected: int
    modalities: tuple[Modality, ...]
    splits: Mapping[str, int]
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    statistics: Mapping[str, Statistics]
    shards: tuple[Shard, ...]
    provenance: Provenance
    views: Mapping[str, Statistics] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schema: int = 1

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON without `views` and `files`; identifies the data of runs."""
        data = _as_json(replace(self, views={}))
        del data["provenance"]["files"]
        return digest(data)

    def to_json(self) -> str:
        """The text of `manifest.json`, which ends in the checksum of all its other values."""
        data = _as_json(self)
        data[CHECKSUM] = digest(data)
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Reads a file that holds the text of `to_json`. Raises MultiviewError like `from_json`."""
        return cls.from_json(read_text(path, REMEDY), str(path))

    @classmethod
    def from_json(cls, text: str, name: str = NAME) -> Manifest:
        """Reads the text of `to_json`; `name` stands for the file in messages.

        Raises MultiviewError for a newer schema, a wrong checksum, values of other types, or
        contradicting numbers. Manifests of older versions have no checksum.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
            schema = typed.count(data["schema"])
        except MALFORMED as cause:
            raise _damaged(name, reason(cause)) from cause
        if schema > SCHEMA:
            raise MultiviewError(
                f"this store was made by schema {schema}, this version reads up to {SCHEMA}: update multiview-cmc "
                "(pip install --upgrade multiview-cmc)."
            )
        try:
            _check_checksum(data)
            return _from_json(data)
        except PARSE_ERRORS as cause:
            raise _damaged(name, reason(cause)) from cause


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON, hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_json(manifest: Manifest) -> dict[str, Any]:
    data = asdict(manifest)
    data["modalities"] = [modality.as_plain() for modality in manifest.modalities]
    # A list, because the order of the splits has a meaning and JSON keys have no order.
    data["splits"] = [{"name": name, "count": count} for name, count in manifest.splits.items()]
    if not manifest.groups:
        del data["groups"]
    return {"schema": data.pop("schema"), **data}


def has_checksum(text: str) -> bool:
    """Whether the text of a manifest carries its checksum; older versions wrote none."""
    return CHECKSUM in json.loads(text)


def _check_checksum(data: dict[str, Any]) -> None:
    given = data.get(CHECKSUM)
    if given is not None and given != digest({name: value for name, value in data.items() if name != CHECKSUM}):
        raise ValueError(
            f"its values are not those that were written (if you changed them on purpose, delete the line '{CHECKSUM}')"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _shape(value: Any) -> tuple[int, ...]:
    shape = typed.list_of(lambda each: each if each == ANY and type(each) is int else typed.count(each))(value)
    if ANY in shape[1:] or 0 in shape or math.prod(shape) > LARGEST_SAMPLE or len(shape) > MOST_AXES:
        raise ValueError(f"no sample has the shape {list(shape)}")
    return shape


def _dtype(value: Any) -> str:
    try:
        dtype = np.dtype(typed.text(value))
    except TypeError as cause:
        raise ValueError(f"'{value}' is no dtype") from cause
    if dtype.kind not in "biufc":
        raise ValueError(f"'{value}' is no dtype of stored samples")
    return str(value)


def _modality(value: Any) -> Modality:
    modality = Modality(**_MODALITY(value))
    if modality.encoding is not None:
        check_encoding(modality)
    elif len(modality.shape) not in AXES.get(modality.kind, (len(modality.shape),)):
        raise ValueError(f"{modality.name}: no {modality.kind} has the shape {list(modality.shape)}")
    if modality.rate is not None and not modality.rate > 0:
        raise ValueError(f"{modality.name}: the rate is {modality.rate}")
    return modality


def _statistics(value: Any) -> Statistics:
    found = Statistics(**_STATISTICS(value))
    if len({len(each) for each in (found.mean, found.std, found.low, found.high)}) > 1 or not found.mean:
        raise ValueError("mean, std, low and high have not one number per channel")
    if min(found.std) < 0:
        raise ValueError("a standard deviation is below 0")
    return found


_MODALITY = typed.record(
    {"name": typed.text, "kind": typed.text, "dtype": _dtype, "shape": _shape, "unit": typed.text},
    {
        "rate": typed.optional(typed.number),
        "names": typed.list_of(typed.text),
        "encoding": typed.optional(typed.text),
        "max_megapixels": typed.optional(typed.number),
    },
)
_NUMBERS = typed.list_of(lambda value: float(typed.number(value)))
_STATISTICS = typed.record({"count": typed.count, "mean": _NUMBERS, "std": _NUMBERS, "low": _NUMBERS, "high": _NUMBERS})
# A name such as ../../x.h5 must not leave the folder.
_SHARD = typed.record(
    {"name": typed.matching(SHARD_NAME.pattern), "rows": typed.count, "size": typed.count, "sha256": typed.text}
)
_PROVENANCE = typed.record(
    {
        "source": typed.text,
        "options": typed.map_of(typed.plain),
        "input": typed.optional(typed.text),
        "plan": typed.text,
        "shard_rows": typed.count,
        "versions": typed.map_of(typed.text),
    },
    {
        "files": typed.optional(typed.text),
        "duplicates": typed.text,
        "part": typed.optional(typed.matching(r"\d{1,9}/\d{1,9}")),
    },
)
_FORMS: Mapping[str, typed.Form] = {
    "schema": typed.count,
    "count": typed.count,
    "rejected": typed.count,
    "modalities": typed.list_of(_modality),
    "splits": typed.list_of(typed.record({"name": typed.text, "count": typed.count})),
    "classes": typed.list_of(typed.text),
    "factors": typed.list_of(typed.text),
    "statistics": typed.map_of(_statistics),
    "shards": typed.list_of(lambda value: Shard(**_SHARD(value))),
    "provenance": lambda value: Provenance(**_PROVENANCE(value)),
    "views": typed.map_of(_statistics),
    "groups": typed.map_of(typed.list_of(typed.text)),
    CHECKSUM: typed.text,
}
_OPTIONAL = ("views", "groups", CHECKSUM)


def _from_json(data: dict[str, Any]) -> Manifest:
    required = {name: form for name, form in _FORMS.items() if name not in _OPTIONAL}
    values = typed.record(required, {name: _FORMS[name] for name in _OPTIONAL})(data)
    values.pop(CHECKSUM, None)
    splits = [(each["name"], each["count"]) for each in values["splits"]]
    manifest = Manifest(**{**values, "splits": dict(splits)})
    _check_names(manifest, [name for name, _ in splits])
    _check_numbers(manifest)
    return manifest


def _check_names(manifest: Manifest, splits: Sequence[str]) -> None:
    for what, names in {
        "split": splits,
        "class": manifest.classes,
        "factor": manifest.factors,
        "modality": [each.name for each in manifest.modalities],
        "shard": [shard.name for shard in manifest.shards],
        **{f"group of '{column}'": names for column, names in manifest.groups.items()},
    }.items():
        if len(set(names)) < len(names):
            raise ValueError(f"it names a {what} twice")


def _check_numbers(manifest: Manifest) -> None:
    rows = sum(shard.rows for shard in manifest.shards)
    if rows != manifest.count:
        raise ValueError(f"its shards hold {rows} rows but its count is {manifest.count}")
    if sum(manifest.splits.values()) > rows or len(manifest.splits) > NO_SPLIT:
        raise ValueError("its splits have more rows than the store")
    for modality in manifest.modalities:
        found = manifest.statistics.get(modality.name)
        if found is not None and len(found.mean) != channels(modality):
            raise ValueError(f"the statistics of {modality.name} are not those of {channels(modality)} channels")


def _damaged(name: str, cause: str) -> MultiviewError:
    return MultiviewError(f"{name} is damaged: {cause}. {REMEDY}")


def not_a_store(path: Path) -> MultiviewError:
    """The error for a folder that is no store."""
    if not path.exists():
        return MultiviewError(
            f"{path} does not exist; make a store with `multiview preprocess SOURCE INPUT {path}`."
            f"{near_path(str(path))}"
        )
    if (path / ".unfinished").exists():
        return MultiviewError(
            f"{path} is an unfinished store: give the same `multiview preprocess` command again, it continues."
        )
    return MultiviewError(f"{path} is no store (no {NAME}); make one with `multiview preprocess SOURCE INPUT OUT`.")
