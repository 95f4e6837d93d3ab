"""Stores that are merged from parts or from other stores, and stores in new splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import toy_with_holes
from toy_with_holes import KINDS, Toy, hashes, make

from multiview.cli import main, run
from multiview.data.source import Plan, Row
from multiview.data.store.reading import Store
from multiview.data.write.derived import Resplit
from multiview.data.write.merge import merge
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

undivided = toy_with_holes.undivided


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_merged_parts_equal_the_undivided_run(tmp_path: Path, undivided: Path, order: tuple[int, ...]) -> None:
    for number in (1, 2, 3):
        make(tmp_path / f"part{number}", shard=f"{number}/3")
    counts = [len(Store.open(tmp_path / f"part{number}")) for number in (1, 2, 3)]
    assert sum(counts) == 56
    assert min(counts) > 10
    report = merge(tmp_path / "out", [tmp_path / f"part{number}" for number in order])
    assert hashes(tmp_path / "out") == hashes(undivided)
    assert (report.written, report.rejected) == (56, 4)
    assert merge(tmp_path / "out", [tmp_path / f"part{number}" for number in order]).already


def test_merging_incomplete_or_foreign_parts_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        make(tmp_path / f"part{number}", shard=f"{number}/3")
    make(tmp_path / "other", Toy(count=59), shard="3/3")
    one, two, other = (tmp_path / name for name in ("part1", "part2", "other"))
    with pytest.raises(MultiviewError, match=r"part 3/3 is not there; give all 3 parts"):
        merge(tmp_path / "out", [one, two])
    with pytest.raises(MultiviewError, match=r"are both part 1/3; give each part once"):
        merge(tmp_path / "out", [one, one, two])
    with pytest.raises(MultiviewError, match=r"are parts of different stores; merge the parts of one command"):
        merge(tmp_path / "out", [one, two, other])
    with pytest.raises(MultiviewError, match=r"it holds|holds another store: its part is 1/3, not 2/3"):
        make(one, shard="2/3")
    assert not (tmp_path / "out").exists()


def content(store: Store) -> dict[str, tuple[bytes, ...]]:
    columns = [store.read(store.rows(), kind.name) for kind in KINDS]
    return {name: tuple(array.tobytes() for array in arrays) for name, *arrays in zip(store.ids, *columns, strict=True)}


def test_other_stores_are_merged_one_after_the_other(tmp_path: Path, undivided: Path) -> None:
    @dataclass(frozen=True)
    class More(Toy):
        def plan(self, root: Path | None) -> Plan:
            rows = [Row(f"t{n}", label="cb"[n % 2], split="val") for n in range(5)]
            return Plan(rows, KINDS[:1], lambda n: {"image": np.full((6, 6, 3), n, "uint8")})

    preprocess(More(), None, tmp_path / "more")
    report = merge(tmp_path / "out", [undivided, tmp_path / "more"])
    store, first = Store.open(tmp_path / "out"), Store.open(undivided)
    assert report.written == len(store) == 61
    assert store.ids == first.ids + [f"t{n}" for n in range(5)]
    assert store.manifest.classes == ("a", "b", "c")
    assert dict(store.manifest.splits) == {"train": 37, "val": 5, "test": 19}
    assert [store.manifest.classes[label] for label in store.labels[-5:]] == list("cbcbc")
    assert store.present("sound")[-5:].tolist() == [False] * 5
    assert content(first).items() <= content(store).items()
    assert np.array_equal(store.factor("group")[:56], first.factor("group"))
    with pytest.raises(MultiviewError, match=r"both .*more and .*more hold a sample 't0'"):
        merge(tmp_path / "again", [tmp_path / "more", tmp_path / "more"])
    with pytest.raises(MultiviewError, match=r"is one of the stores to merge"):
        merge(undivided, [undivided, tmp_path / "more"])


def splits_of(store: Store) -> list[str | None]:
    names: list[str | None] = [None] * len(store)
    for name in store.split_names:
        for row in store.rows(name):
            names[row] = name
    return names


@pytest.mark.parametrize("by", ["id", "class", "group"])
def test_a_store_in_new_splits(tmp_path: Path, undivided: Path, by: str) -> None:
    old = Store.open(undivided)
    preprocess(Resplit(store=str(undivided), split="50/20/30", by=by), None, tmp_path / "out", name="split")
    store = Store.open(tmp_path / "out")
    assert content(store) == content(old)
    assert store.split_names == ("train", "val", "test")
    names = np.array(splits_of(store))
    if by == "class":
        for label in (0, 1):
            share = [(names[store.labels == label] == name).mean() for name in store.split_names]
            assert share == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
    if by == "group":
        assert all(len(set(names[store.factor("group") == group])) == 1 for group in range(10))
    train = np.concatenate([each.reshape(-1, 3) for each in store.read(store.rows("train"), "image")])
    np.testing.assert_allclose(store.manifest.statistics["image"].mean, train.mean(axis=0))
    assert store.manifest.provenance.options["of"] == old.manifest.hash


def test_splits_by_a_table(tmp_path: Path, undivided: Path) -> None:
    table = tmp_path / "splits.csv"
    table.write_text("id,split\ns0,test\ns2,valid\nelsewhere,train\n")
    assert run(["split", str(undivided), str(tmp_path / "out"), "--by", str(table), "--workers", "1"]) == 0
    store = Store.open(tmp_path / "out")
    assert {name: split for name, split in zip(store.ids, splits_of(store), strict=True) if split} == {
        "s0": "test",
        "s2": "val",
    }
    table.write_text("id,split\nelsewhere,train\n")
    with pytest.raises(
        MultiviewError, match=r"no id of .*splits.csv is in the store; the ids of the store look like 's0'"
    ):
        Resplit(store=str(undivided), by=str(table)).plan(None)
    with pytest.raises(MultiviewError, match=r"'gruop' is not an? way to split; .*Did you mean 'group'"):
        Resplit(store=str(undivided), by="gruop").plan(None)


def test_merge_and_split_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--count", "6", "--size", "8", "--shard-rows", "2", "--workers", "1"]
    for number in (1, 2):
        assert run(["preprocess", "scenes", str(tmp_path / f"p{number}"), *words, "--shard", f"{number}/2"]) == 0
    assert run(["merge", str(tmp_path / "out"), str(tmp_path / "p1"), str(tmp_path / "p2")]) == 0
    assert f"{tmp_path / 'out'}: 6 samples in 3 shards." in capsys.readouterr().out
    assert run(["preprocess", "scenes", str(tmp_path / "whole"), *words]) == 0
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), file.name
    assert run(["split", str(tmp_path / "out"), str(tmp_path / "again"), "--workers", "1"]) == 0
    assert "L" in Store.open(tmp_path / "again").view_statistics
    with pytest.raises(MultiviewError, match=rf"takes the new store first: `multiview merge {tmp_path / 'new'} "):
        run(["merge", str(tmp_path / "p1"), str(tmp_path / "p2"), str(tmp_path / "new")])
    for words, code in ((["merge", "--help"], 0), (["merge", str(tmp_path / "out")], 2)):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == code
