"""A manifest is checked value by value when it is read, and holds its own checksum."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from torture import mutations
from toys import make

from multiview.data.store.manifest import Manifest, digest
from multiview.data.store.reading import Store
from multiview.data.store.verify import verify
from multiview.errors import MultiviewError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "s"
    make(out)
    return out


def changed(text: str, place: str, value: Any, checksum: bool) -> str:
    """The text with another value at `a/0/b`, and a right checksum or none (older versions)."""
    data = json.loads(text)
    parent, *keys = data, *place.split("/")
    for key in keys[:-1]:
        parent = parent[int(key) if key.isdecimal() else key]
    last = int(keys[-1]) if keys[-1].isdecimal() else keys[-1]
    assert isinstance(parent, list) or last in parent or value != "new"
    parent[last] = value
    data.pop("checksum")
    return json.dumps({**data, "checksum": digest(data)} if checksum else data)


STRANGE = (None, True, -1, 0.5, 2**70, 1e300, "", "x", "\ud800", [], {}, [[]], [None], {"a": 1})
PLACES = (
    "schema", "count", "rejected", "modalities", "splits", "classes", "factors", "statistics", "shards", "provenance",
    "modalities/0", "modalities/0/name", "modalities/0/kind", "modalities/0/dtype", "modalities/0/shape",
    "modalities/0/shape/0", "modalities/0/rate", "modalities/0/names", "modalities/0/encoding", "splits/0",
    "splits/0/name", "splits/0/count", "classes/0", "shards/0", "shards/0/name", "shards/0/rows", "shards/0/size",
    "provenance/options", "provenance/part", "provenance/versions", "provenance/shard_rows", "views",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_value_of_another_type_is_damage_or_read(made: Path, place: str) -> None:
    text = (made / "manifest.json").read_text("utf8")
    refused = 0
    for value in STRANGE:
        for checksum in (False, True):
            try:
                Manifest.from_json(changed(text, place, value, checksum)).to_json().encode()
            except MultiviewError as error:
                refused += 1
                assert "manifest.json is damaged" in str(error) or "update multiview-cmc" in str(error)
                str(error).encode()
    assert refused >= 8


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("modalities/0/shape", [-5, 4, 3], "-5 is no count"),
        ("modalities/0/shape", [2**20, 2**20, 3], "no sample has the shape"),
        ("modalities/0/shape", [0, 4, 3], "no sample has the shape"),
        ("modalities/0/dtype", "object", "no dtype"),
        ("modalities/0/dtype", "S99999999", "no dtype"),
        ("modalities/0/encoding", "png", "encoded"),
        ("count", 10**9, "its shards hold"),
        ("splits/0/count", 10**9, "its splits have more rows"),
        ("shards/0/name", "../../shard-00000.h5", "does not fit"),
        ("shards/1/name", "shard-00000.h5", "names a shard twice"),
        ("classes", ["a", "a"], "names a class twice"),
    ],
)
@pytest.mark.parametrize("checksum", [False, True])
def test_a_value_that_cannot_be_is_damage(made: Path, place: str, value: Any, message: str, checksum: bool) -> None:
    text = (made / "manifest.json").read_text("utf8")
    with pytest.raises(MultiviewError, match=rf"manifest.json is damaged: .*{message}"):
        Manifest.from_json(changed(text, place, value, checksum))


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{", b"null", b"[]", b"3", b'"x"', b"\xff\xfe{}", b"[" * 100_000 + b"]" * 100_000, b"NaN", b"\0" * 500,
        b'{"schema": NaN}', b'{"schema": 1e999}', b'{"schema": 1}', b'{"schema": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_a_malformed_document_is_one_sentence(tmp_path: Path, document: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(document)
    with pytest.raises(MultiviewError, match=r"manifest.json (is damaged|cannot be read): .*Restore it from a copy"):
        Store.open(tmp_path)
    assert len(verify(tmp_path).faults) == 1


def test_a_loop_of_links_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").symlink_to("manifest.json")
    with pytest.raises(MultiviewError, match="is no store"):
        Store.open(tmp_path)


def places(document: Any, prefix: str = "") -> Any:
    """The place of every value that is no list and no object."""
    if isinstance(document, dict | list) and document:
        for key in document if isinstance(document, dict) else range(len(document)):
            yield from places(document[key], f"{prefix}/{key}")
    else:
        yield prefix[1:]


def test_one_changed_bit_anywhere_in_the_values_is_found(made: Path) -> None:
    text = (made / "manifest.json").read_text("utf8")
    every = [place for place in places(json.loads(text)) if place not in ("checksum", "schema")]
    assert {"classes/0", "modalities/0/unit", "splits/0/count", "statistics/image/mean/0"} <= set(every)
    for place in every:
        data, keys = json.loads(text), place.split("/")
        for key in keys[:-1]:
            data = data[int(key) if isinstance(data, list) else key]
        value = data[int(keys[-1]) if isinstance(data, list) else keys[-1]]
        new = math.nextafter(value, 1e9) if isinstance(value, float) else value + 1 if isinstance(value, int) else "?"
        data = json.loads(changed(text, place, new, False)) | {"checksum": json.loads(text)["checksum"]}
        with pytest.raises(MultiviewError, match=r"manifest.json is damaged"):
            Manifest.from_json(json.dumps(data))


def test_random_bits_are_found_or_mean_the_same(made: Path) -> None:
    text, draw = (made / "manifest.json").read_bytes(), random.Random(3)
    whole, found = json.loads(text), 0
    for _ in range(300):
        data = bytearray(text)
        mutations.flip_bit(data, draw)
        try:
            Manifest.from_json(data.decode())
        except (MultiviewError, UnicodeDecodeError):
            found += 1
        else:
            assert json.loads(data) == whole, "only the space between values may change"
    assert found > 150


def test_a_manifest_changed_on_purpose_is_read_without_its_checksum(made: Path) -> None:
    text = (made / "manifest.json").read_text("utf8")
    data = {**json.loads(text), "classes": ["first", "second", "third"]}
    with pytest.raises(MultiviewError, match=r"if you changed them on purpose, delete the line 'checksum'"):
        Manifest.from_json(json.dumps(data))
    del data["checksum"]
    assert Manifest.from_json(json.dumps(data)).classes == ("first", "second", "third")
