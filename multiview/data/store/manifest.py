"""The manifest of a store: what the shards hold, where it comes from, and its hashes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from multiview.data.modality import Modality
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError

SCHEMA = 1
NAME = "manifest.json"
SHARD_NAME = re.compile(r"shard-\d{5,}\.h5")
NO_SPLIT = 255
DIGEST = 16
"""Bytes per digest of a sample."""


@dataclass(frozen=True)
class Shard:
    """One HDF5 file of a store: file name, number of rows, size in bytes, sha256."""

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a store comes from. Only `versions` and `part` do not affect the rows of a store.

    Attributes:
        source: the name of the source.
        options: the options of the source.
        input: the absolute path that was read, or None.
        plan: sha256 of the planned rows, classes and modalities.
        shard_rows: planned rows per shard.
        versions: of the programs that wrote the store.
        duplicates: how exact copies were treated: keep, drop or error.
        part: `2/8` for the second of eight parts, None for a whole store.
    """

    source: str
    options: Mapping[str, Any]
    input: str | None
    plan: str
    shard_rows: int
    versions: Mapping[str, str]
    duplicates: str = "keep"
    part: str | None = None

    def origin(self) -> str:
        """sha256 of all but versions and part: one command on one input always gives one origin."""
        return digest(asdict(replace(self, versions={}, part=None)))


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
    schema: int = SCHEMA

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON without `views`: identifies the exact data of a run."""
        return digest(_as_json(replace(self, views={})))

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(_as_json(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Reads the text of `to_json`.

        Raises MultiviewError for a newer schema, damaged text, or contradicting numbers.
        """
        try:
            data = json.loads(text)
            schema = int(data["schema"])
        except (ValueError, KeyError, TypeError) as cause:
            raise _damaged(str(cause)) from cause
        if schema > SCHEMA:
            raise MultiviewError(
                f"this store was made by schema {schema}, this version reads up to {SCHEMA}: update multiview-cmc "
                "(pip install --upgrade multiview-cmc)."
            )
        try:
            manifest = _from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            raise _damaged(str(cause)) from cause
        _check(manifest)
        return manifest


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON, hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_json(manifest: Manifest) -> dict[str, Any]:
    data = asdict(manifest)
    # A list, because the order of the splits has a meaning and JSON keys have no order.
    data["splits"] = [{"name": name, "count": count} for name, count in manifest.splits.items()]
    return {"schema": data.pop("schema"), **data}


def _from_json(data: dict[str, Any]) -> Manifest:
    def statistics(given: dict[str, Any]) -> Statistics:
        return Statistics(given.pop("count"), **{name: tuple(map(float, values)) for name, values in given.items()})

    return Manifest(
        **{
            **data,
            "modalities": tuple(_modality(each) for each in data["modalities"]),
            "splits": {each["name"]: int(each["count"]) for each in data["splits"]},
            "classes": tuple(data["classes"]),
            "factors": tuple(data["factors"]),
            "statistics": {name: statistics(dict(each)) for name, each in data["statistics"].items()},
            "views": {name: statistics(dict(each)) for name, each in data.get("views", {}).items()},
            "shards": tuple(Shard(**each) for each in data["shards"]),
            "provenance": Provenance(**data["provenance"]),
        }
    )


def _modality(given: dict[str, Any]) -> Modality:
    return Modality(**{**given, "shape": tuple(given["shape"]), "names": tuple(given.get("names", ()))})


def _check(manifest: Manifest) -> None:
    for shard in manifest.shards:
        if not SHARD_NAME.fullmatch(shard.name):  # a name such as ../../x.h5 must not leave the folder
            raise _damaged(f"'{shard.name}' is not the name of a shard")
    rows = sum(shard.rows for shard in manifest.shards)
    if rows != manifest.count:
        raise _damaged(f"its shards hold {rows} rows but its count is {manifest.count}")


def _damaged(reason: str) -> MultiviewError:
    return MultiviewError(
        f"{NAME} is damaged: {reason}. Make the store again with `multiview preprocess ... --overwrite`."
    )
