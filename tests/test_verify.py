"""multiview verify: every fault of a store is a line of the report and never a crash."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest

from multiview.cli import run
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.store import examine
from multiview.data.store.reading import Store
from multiview.data.store.verify import Verification, verify
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.files import sha256

KINDS = (
    Modality(name="table", kind="table", dtype="float32", shape=(40,), unit=""),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
)


@dataclass(frozen=True)
class Toy:
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [Row(f"s{n}", label="ab"[n % 2], split="train") for n in range(12)]
        return Plan(rows, KINDS, self.read)

    def read(self, number: int) -> dict[str, np.ndarray]:
        table = np.random.default_rng(number).random(40, dtype="float32")
        return {"table": table, "sound": np.arange(50 + number, dtype="int16")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    preprocess(Toy(), None, tmp_path / "s", shard_rows=4)
    return tmp_path / "s"


def trust(store: Path) -> None:
    """Writes the present shards into the manifest, as a malicious author of a store could."""
    (store / "columns.safetensors").unlink(missing_ok=True)  # it would be of other shards
    path = store / "manifest.json"
    data = json.loads(path.read_text())
    data.pop("checksum", None)
    for shard in data["shards"]:
        file = store / shard["name"]
        shard |= {"size": file.stat().st_size, "sha256": sha256(file)}
    path.write_text(json.dumps(data))


def here(store: Path) -> list[str]:
    """The faults of all shards, examined in this process."""
    manifest = Store.open(store).manifest
    return [f for number in range(len(manifest.shards)) for f in examine._report(store, manifest, number)["faults"]]


def test_a_whole_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(store)]) == 0
    assert capsys.readouterr().out == (
        f"{store}: 3 shards, 12 samples: hashes, checksums, counts, digests and values are right.\n"
    )


def test_every_damaged_shard_is_reported_and_the_exit_code_is_1(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "shard-00000.h5").unlink()
    cut = store / "shard-00001.h5"
    cut.write_bytes(cut.read_bytes()[:-100])
    flipped = store / "shard-00002.h5"
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    assert run(["verify", str(store)]) == 1
    said = capsys.readouterr().out
    assert "shard-00000.h5: it is missing" in said
    assert "shard-00001.h5: it has" in said
    assert "shard-00002.h5: its sha256 is not that of the manifest" in said
    assert "DAMAGED" in said.splitlines()[-1]


def test_no_store_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="is no store"):
        verify(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest.json is damaged" in verify(tmp_path).faults[0]


def replaced(file: h5py.File, name: str, data: np.ndarray) -> None:
    del file[name]
    file.create_dataset(name, data=data, chunks=data.shape, fletcher32=True)


def nan(file: h5py.File) -> None:
    table = file["table"][()]
    table[2, 3] = np.nan
    del file["table"]
    file.create_dataset("table", data=table, chunks=(1, 40), fletcher32=True)


def bomb(file: h5py.File) -> None:
    del file["table"]
    file.create_dataset(
        "table", shape=(4, 40), dtype="float32", chunks=(4, 40), compression="gzip", data=np.ones((4, 40))
    )


def elsewhere(file: h5py.File) -> None:
    del file["table"]
    file["table"] = h5py.ExternalLink("/tmp/other.h5", "table")


def soft(file: h5py.File) -> None:
    file["alias"] = h5py.SoftLink("/table")


def external(file: h5py.File) -> None:
    del file["table"]
    file.create_dataset("table", (4, 40), "float32", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    del file["table"]
    layout = h5py.VirtualLayout(shape=(4, 40), dtype="float32")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "table", shape=(4, 40))
    file.create_virtual_dataset("table", layout)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (nan, "/table at row 2: values that are not finite"),
        (bomb, "/table is compressed"),
        (elsewhere, "/table is a link to another place"),
        (soft, "/alias is a link to another place"),
        (external, "/table is in another file"),
        (virtual, "/table is in another file"),
        (lambda file: replaced(file, "label", np.full(4, 7)), "its labels go from 7 to 7, of 2 classes"),
        (lambda file: replaced(file, "split", np.full(4, 9, "uint8")), "4 rows have a split that the manifest lacks"),
        (lambda file: replaced(file, "digest", np.zeros((4, 16), "uint8")), "row 3 is not what was written"),
        (lambda file: replaced(file, "length/sound", np.array([1, 2, 3, 4])), "/sound has shape"),
        (lambda file: replaced(file, "id", np.array([b"x"] * 3)), "/id does not hold 4 rows"),
    ],
)
def test_deliberately_wrong_contents_are_reported(store: Path, change: Callable[[h5py.File], None], fault: str) -> None:
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        change(file)
    trust(store)
    assert any(fault in found for found in here(store)), here(store)


@pytest.mark.parametrize("change", [bomb, external, virtual, elsewhere])
def test_reading_refuses_deliberately_wrong_contents(store: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        change(file)
    trust(store)
    with pytest.raises(MultiviewError, match=r"/table (is compressed|is in another file|is a link)|has no /table"):
        Store.open(store).read([0], "table")


def test_one_id_twice(store: Path) -> None:
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        replaced(file, "id", np.array([b"s0", b"s5", b"s6", b"s7"]))
    trust(store)
    assert verify(store).faults == ("the id 's0' occurs 2 times",)


def test_a_shard_that_kills_or_blocks_its_reader_is_reported(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verify(store)
    assert whole.faults == ()
    late = verify(store, seconds=0.01)
    assert len(late.faults) == 3
    assert "shard-00002.h5: reading it takes more than 0.01 s" in late.faults
    poor = verify(store, memory=0.05)
    assert len(poor.faults) == 3
    assert poor.rows == 0


def test_random_damage_is_always_a_report(store: Path) -> None:
    shard = store / "shard-00001.h5"
    whole = shard.read_bytes()
    rng = random.Random(0)
    for _ in range(4):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 20, 500])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        shard.write_bytes(data)
        trust(store)
        found = verify(store, memory=4, seconds=20)
        assert isinstance(found, Verification)
        assert not any("shard-00000" in fault or "shard-00002" in fault for fault in found.faults)


def _forge(store: Path, **changes: object) -> None:
    """Changes the manifest and makes it like one of an older version, which has no checksum."""
    path = store / "manifest.json"
    data = json.loads(path.read_text())
    del data["checksum"]
    for place, value in changes.items():
        parent, *keys = data, *place.split("__")
        for key in keys[:-1]:
            parent = parent[int(key) if key.isdecimal() else key]
        parent[int(keys[-1]) if keys[-1].isdecimal() else keys[-1]] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ("splits__0__count", 11, "the manifest counts 11 samples in the split train, the shards hold 12"),
        ("rejected", 1, "the manifest counts 1 rejected samples, the shards list 0"),
        ("statistics__table__mean__3", 0.5, "the statistics of table in the manifest are not those of the shards"),
        ("statistics__table__std__0", 0.5, "the statistics of table"),
        ("statistics__sound__low__0", 1.0, "the statistics of sound"),
        ("statistics__sound__count", 3, "the statistics of sound"),
        ("statistics", {}, "the statistics of table"),
    ],
)
def test_counts_and_statistics_are_computed_again_from_the_shards(
    store: Path, place: str, value: object, fault: str
) -> None:
    _forge(store, **{place: value})
    found = verify(store).faults
    assert fault in found[0]


def test_a_manifest_without_a_checksum_is_named(store: Path) -> None:
    _forge(store)
    found = verify(store)
    assert found.faults == ()
    assert "manifest.json carries no checksum of itself" in found.lines()[0]
    assert "are right" in found.lines()[1]


@pytest.mark.parametrize("name", ["table", "sound"])
@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_moments_of_a_shard_are_computed_again_from_its_samples(store: Path, name: str, part: int) -> None:
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        table = file[f"statistics/{name}"][()]
        table[part] += 1
        replaced(file, f"statistics/{name}", table)
    trust(store)
    assert here(store)[0] == f"/statistics/{name} is not that of its samples"
