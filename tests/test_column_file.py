"""The column file repeats the columns of the shards; it is never trusted and never needed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.store import columnfile, columns, shardfiles
from multiview.data.store.columnfile import NAME, ColumnFile, ColumnFileError, column_names
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.store.verify import verify
from multiview.data.write.merge import merge
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(6, 5, 3), unit="sRGB"),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
)


@dataclass(frozen=True)
class Toy:
    """Twelve samples: some have no sound, some no label, some no group."""

    seed: int = 0
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        groups = [{"who": f"p{n % 3}"} if n % 4 else {} for n in range(12)]
        rows = [
            Row(
                f"s{n}",
                label="ab"[n % 2] if n != 7 else None,
                split=("train", "val")[n == 3],
                factors={"a": n, "b": -n},
            )
            for n in range(12)
        ]
        rows = [replace(row, groups=group) for row, group in zip(rows, groups, strict=True)]
        return Plan(rows, KINDS, self.sample)

    def sample(self, number: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([self.seed, number])
        given = {"image": rng.integers(1, 256, (6, 5, 3), "uint8"), "sound": rng.integers(1, 99, 90 + number, "int16")}
        return {name: array for name, array in given.items() if name == "image" or number % 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("columns") / "store"
    preprocess(Toy(), None, out, shard_rows=5)
    return out


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of two shards has many."""
    monkeypatch.setattr(columns, "MANY_SHARDS", 2)


def facts(path: Path) -> list[object]:
    found = Store.open(path)
    present = [found.present(kind.name).tolist() for kind in found.manifest.modalities]
    splits = [found.rows(name).tolist() for name in found.split_names]
    factors = [found.factor(name).tobytes() for name in found.manifest.factors]
    lengths = [len(each) for each in found.read(found.rows(), "sound")]
    return [found.ids, found.labels.tolist(), present, splits, lengths, found.group("who"), factors]


def without_file(path: Path) -> list[object]:
    (path / NAME).unlink()
    return facts(path)


def refuse_shards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards that are opened from now on."""
    opened: list[str] = []
    original = shardfiles.ShardFiles._opened
    monkeypatch.setattr(
        shardfiles.ShardFiles,
        "_opened",
        lambda self, shard: opened.append(self.shards[shard].name) or original(self, shard),
    )
    return opened


def test_the_file_holds_what_the_shards_hold(written: Path) -> None:
    manifest = Manifest.read(written / "manifest.json")
    file = ColumnFile(written, manifest)
    tensors = load_file(written / NAME)
    assert sorted(tensors) == sorted(column_names(manifest))
    for name in column_names(manifest):
        parts = [shardfiles.ShardFiles(written, manifest.shards).column(shard, name) for shard in range(3)]
        whole = np.concatenate(parts)
        assert file[name].dtype == whole.dtype
        assert file[name].tobytes() == whole.tobytes() == tensors[name].tobytes()
        assert not file[name].flags.writeable


def test_no_shard_is_opened_before_its_samples_are_wanted(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = refuse_shards(monkeypatch)
    found = Store.open(written)
    assert (len(found.ids), found.present("sound").sum(), found.group("who")[1]) == (12, 8, "p1")
    assert found.factor("b")[found.rows("val")] == [-3]
    assert opened == []
    found.read([6], "image")
    assert opened == ["shard-00001.h5"]


def test_parts_and_interrupted_writing_give_the_same_file(written: Path, tmp_path: Path) -> None:
    for part in (1, 2):
        preprocess(Toy(), None, tmp_path / str(part), shard_rows=5, shard=f"{part}/2")
    merge(tmp_path / "whole", [tmp_path / "2", tmp_path / "1"])
    assert (tmp_path / "whole" / NAME).read_bytes() == (written / NAME).read_bytes()
    (tmp_path / "whole/manifest.json").unlink()
    (tmp_path / "whole/.unfinished").touch()
    preprocess(Toy(), None, tmp_path / "whole", shard_rows=5, overwrite=True, workers=1)
    assert (tmp_path / "whole" / NAME).read_bytes() == (written / NAME).read_bytes()


def test_a_store_without_the_file_reads_the_same(written: Path, store: Path) -> None:
    assert without_file(store) == facts(written)
    assert not (store / NAME).exists()  # of few shards it is not made


@pytest.mark.usefixtures("few_are_many")
def test_an_old_store_gets_the_file_once(store: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    found = without_file(store)
    assert "is made once, from 3 shards" in capsys.readouterr().err
    assert "present/image" in ColumnFile(store, Manifest.read(store / "manifest.json"))
    opened = refuse_shards(monkeypatch)
    again = Store.open(store)
    assert (again.ids, again.labels.tolist()) == (found[0], found[1])
    assert opened == []
    assert facts(store) == found  # factors come from the shards
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("few_are_many")
def test_a_folder_that_cannot_be_written_to_is_read_as_before(
    written: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(columns, "write_columns", refuse)
    assert without_file(store) == facts(written)
    assert not (store / NAME).exists()


@pytest.mark.usefixtures("few_are_many")
def test_a_damaged_shard_makes_no_file(store: Path) -> None:
    (store / NAME).unlink()
    with h5py.File(store / "shard-00001.h5", "r+") as file:
        del file["label"]
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["shards"][1]["size"] = (store / "shard-00001.h5").stat().st_size
    del manifest["checksum"]
    (store / "manifest.json").write_text(json.dumps(manifest))
    assert len(Store.open(store).ids) == 12  # the other columns are whole
    with pytest.raises(MultiviewError, match=r"shard-00001.h5 is damaged: it has no /label"):
        Store.open(store).labels  # noqa: B018
    assert sorted(path.name for path in store.glob("columns*")) == []


def damage_column(path: Path) -> None:
    content = bytearray((path / NAME).read_bytes())
    content[-1 - 12 * 3 - 12 * 16 - 12] ^= 1  # in the presence of the pictures
    (path / NAME).write_bytes(content)


def damage_header(path: Path) -> None:
    content = (path / NAME).read_bytes()
    (path / NAME).write_bytes(content[:20] + b"}" + content[21:])


def cut(path: Path) -> None:
    os.truncate(path / NAME, (path / NAME).stat().st_size // 2)


def empty(path: Path) -> None:
    (path / NAME).write_bytes(b"")


def exchange_columns(path: Path) -> None:
    content = (path / NAME).read_bytes()
    swapped = content.replace(b'"present/image":{', b'"present/xxxxx":{').replace(
        b'"present/sound":{', b'"present/image":{'
    )
    (path / NAME).write_bytes(swapped.replace(b'"present/xxxxx":{', b'"present/sound":{'))


def of_other_shards(path: Path) -> None:
    preprocess(Toy(seed=5), None, path.parent / "other", shard_rows=5)
    shutil.copy(path.parent / "other" / NAME, path / NAME)


DAMAGE = [damage_column, damage_header, cut, empty, of_other_shards]


@pytest.mark.parametrize("spoil", [*DAMAGE, exchange_columns])
def test_a_wrong_file_is_not_used(written: Path, store: Path, spoil) -> None:
    spoil(store)
    assert facts(store) == facts(written)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_wrong_file_is_made_again(written: Path, store: Path, spoil) -> None:
    spoil(store)
    assert facts(store) == facts(written)
    file = ColumnFile(store, Manifest.read(store / "manifest.json"))
    assert file["present/image"].all()


@pytest.mark.parametrize("spoil", [damage_column, of_other_shards])
def test_verify_names_a_wrong_file(store: Path, spoil) -> None:
    spoil(store)
    (fault,) = verify(store).faults
    assert fault.startswith(f"{NAME}: ")
    assert "Delete this file" in fault


def test_verify_compares_the_file_with_the_shards(store: Path) -> None:
    content = bytearray((store / NAME).read_bytes())
    file = ColumnFile(store, Manifest.read(store / "manifest.json"))
    labels = file["label"]
    first = content.find(labels.tobytes())
    changed = labels.copy()
    changed[7] = 1
    content[first : first + labels.nbytes] = changed.tobytes()
    old, new = (columnfile.hashlib.sha256(each).hexdigest().encode() for each in (labels.tobytes(), changed.tobytes()))
    (store / NAME).write_bytes(bytes(content).replace(old, new))
    assert Store.open(store).labels[7] == changed[7]  # who forges the hash too is found by verify alone
    (fault,) = verify(store).faults
    assert fault.startswith(f"{NAME}: /label is not that of shard-00001.h5")


def test_a_store_is_pickled_without_its_columns(written: Path) -> None:
    found = Store.open(written)
    before = found.labels
    assert len(pickle.dumps(found)) < 8000
    assert b"s11" not in pickle.dumps(found)
    assert pickle.loads(pickle.dumps(found)).labels.tolist() == before.tolist()


def test_a_missing_file_is_no_error_of_its_own(tmp_path: Path, written: Path) -> None:
    manifest = Manifest.read(written / "manifest.json")
    with pytest.raises(FileNotFoundError):
        ColumnFile(tmp_path, manifest)
    (tmp_path / NAME).write_bytes((10**15).to_bytes(8, "little"))
    with pytest.raises(ColumnFileError, match="header is damaged"):
        ColumnFile(tmp_path, manifest)
