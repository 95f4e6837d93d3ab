"""Reading a store: order, presence, checksums, processes, and damaged manifests."""

import json
import pickle
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.store import columnfile
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.store.shardfiles import OPEN_SHARDS
from multiview.data.store.statistics import Moments
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

COUNT, PER_SHARD = 47, 10
BAD = (3, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)  # all of shard 2 is bad
MODALITIES = (
    Modality(name="image", kind="image", dtype="uint8", shape=(5, 4, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(5, 4), unit="m"),
    Modality(name="audio", kind="audio", dtype="int16", shape=(32,), unit="sample", rate=8000),
)


def sample(number: int) -> dict[str, np.ndarray]:
    if number in BAD:
        raise BadSample(f"file-{number}: made bad")
    random = np.random.default_rng(number)
    given = {
        "image": random.integers(0, 256, (5, 4, 3), dtype="uint8"),
        "depth": random.random((5, 4), dtype="float32") * (random.random((5, 4)) > 0.5),
        "audio": random.integers(-9, 9, 32, dtype="int16"),
    }
    return given if number % 4 else {name: given[name] for name in ("image", "audio")}


@dataclass(frozen=True)
class Made:
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [
            Row(
                f"dir {number}/é{number}",
                label=(None, "cat", "dog")[number % 3],
                split=("train", "test", None)[number % 3],
                factors={"number": number} if number % 2 else {},
            )
            for number in range(COUNT)
        ]
        return Plan(rows, MODALITIES, sample)


KEPT = [number for number in range(COUNT) if number not in BAD]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store") / "a store"
    preprocess(Made(), None, out, shard_rows=PER_SHARD, max_bad=0.5)
    return out


@pytest.fixture
def store(folder: Path) -> Store:
    return Store.open(folder)


def test_rows_are_the_planned_rows_without_the_bad_ones(store: Store) -> None:
    assert len(store) == len(KEPT)
    assert store.ids == [f"dir {number}/é{number}" for number in KEPT]
    assert [shard.rows for shard in store.manifest.shards] == [9, 10, 0, 10, 7]
    assert store.manifest.rejected == len(BAD)


def test_labels_splits_and_factors(store: Store) -> None:
    assert store.manifest.classes == ("cat", "dog")
    assert store.labels.dtype == np.int64
    assert store.labels.tolist() == [(number % 3) - 1 for number in KEPT]
    assert store.split_names == ("train", "test")
    assert [KEPT[row] for row in store.rows("test")] == [number for number in KEPT if number % 3 == 1]
    assert dict(store.manifest.splits) == {name: len(store.rows(name)) for name in ("train", "test")}
    assert store.rows().tolist() == list(range(len(KEPT)))
    expected = [float(number) if number % 2 else np.nan for number in KEPT]
    assert np.array_equal(store.factor("number"), expected, equal_nan=True)


def test_presence(store: Store) -> None:
    assert store.present("image").all()
    assert store.present("depth").tolist() == [number % 4 != 0 for number in KEPT]
    absent = np.flatnonzero(~store.present("depth"))
    assert not store.read(absent, "depth").any()


@pytest.mark.parametrize("cached", [False, True])
def test_reads_in_the_order_asked_with_repeats(store: Store, cached: bool) -> None:
    reader = store.cached(["image", "depth", "audio"], 10**6) if cached else store
    rows = [35, 0, 0, 11, 12, 13, 2, 12, 35, 28, 9, 8]
    for name in ("image", "audio"):
        expected = np.stack([sample(KEPT[row])[name] for row in rows])
        got = reader.read(rows, name)
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)
    assert reader.read([], "depth").shape == (0, 5, 4)


@given(rows=st.lists(st.integers(0, len(KEPT) - 1), max_size=60))
def test_any_rows(folder: Path, rows: list[int]) -> None:
    got = Store.open(folder).read(rows, "image")
    assert all(np.array_equal(each, sample(KEPT[row])["image"]) for each, row in zip(got, rows, strict=True))


@pytest.mark.parametrize("row", [-1, len(KEPT)])
def test_negative_and_too_large_rows_are_refused(store: Store, row: int) -> None:
    with pytest.raises(IndexError, match="rows 0 to"):
        store.read([0, row], "image")


@pytest.fixture
def from_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modalities that were read from disk, one entry per shard."""
    asked: list[str] = []
    read_into = Store._read_into
    monkeypatch.setattr(Store, "_read_into", lambda self, *given: (asked.append(given[-1]), read_into(self, *given))[1])
    return asked


def test_cache_keeps_to_its_limit(store: Store, from_disk: list[str]) -> None:
    image, audio = len(store) * 5 * 4 * 3, len(store) * 32 * 2
    store.cached(["image"], image - 1)
    assert from_disk == []
    store.cached(["image"], image).cached(["audio"], image + audio - 1)
    assert set(from_disk) == {"image"}
    store.cached(["audio"], image + audio)
    assert set(from_disk) == {"image", "audio"}


def test_cached_modalities_are_read_from_disk_once(store: Store, from_disk: list[str]) -> None:
    expected = store.read([3, 1], "image")
    from_disk.clear()
    store.cached(["image"], 10**6)
    shards = sum(shard.rows > 0 for shard in store.manifest.shards)
    assert from_disk == ["image"] * shards
    store.cached(["image", "audio"], 10**6).cached(["image"], 10**6)
    assert from_disk == ["image"] * shards + ["audio"] * shards
    assert np.array_equal(store.read([3, 1], "image"), expected)
    assert len(from_disk) == 2 * shards, "reading goes to the memory"


def test_statistics_are_those_of_the_train_split(store: Store) -> None:
    train = [number for number in KEPT if number % 3 == 0]
    pixels = np.concatenate([sample(number)["image"].reshape(-1, 3) for number in train]).astype("float64")
    found = store.manifest.statistics["image"]
    assert found.count == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0))
    np.testing.assert_allclose(found.std, pixels.std(axis=0))
    assert (found.low, found.high) == (tuple(pixels.min(axis=0)), tuple(pixels.max(axis=0)))
    depths = np.concatenate([sample(number)["depth"].reshape(-1) for number in train if number % 4]).astype("float64")
    measured = depths[depths > 0]  # what was not measured is no depth of 0 metres
    assert store.manifest.statistics["depth"].count == len(measured)
    np.testing.assert_allclose(store.manifest.statistics["depth"].mean, measured.mean())


@given(parts=st.lists(st.lists(st.floats(-1e3, 1e3), max_size=5), min_size=1, max_size=5))
def test_joined_moments_equal_those_of_the_whole_set(parts: list[list[float]]) -> None:
    moments = Moments.none(1)
    for part in parts:
        moments = moments.joined(Moments.of(np.array(part, "float64").reshape(-1, 1)))
    whole = np.concatenate([np.array(part, "float64") for part in parts])
    found = moments.statistics()
    assert (found is None) == (len(whole) == 0)
    if found is not None:
        np.testing.assert_allclose([found.mean[0], found.std[0]], [whole.mean(), whole.std()], rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda store: store.rows("tset"),
            r"'tset' is not a split of this store; available: test, train. Did you mean",
        ),
        (lambda store: store.read([0], "dept"), r"'dept' is not a modality of this store; .*Did you mean 'depth'"),
        (lambda store: store.factor("nmber"), r"Did you mean 'number'"),
        (lambda store: store.present("sound"), r"available: audio, depth, image"),
    ],
)
def test_unknown_names(store: Store, ask, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MultiviewError, match=message):
        ask(store)


def test_pickles_without_its_files(store: Store) -> None:
    before = store.read([1, 2], "image")
    assert len(store.labels)
    copy = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 10_000
    assert np.array_equal(copy.read([1, 2], "image"), before)
    kept = pickle.loads(pickle.dumps(store.cached(["image"], 10**6)))
    assert np.array_equal(kept.read([1, 2], "image"), before)


def read_rows(store: Store, rows: list[int]) -> np.ndarray:
    return store.read(rows, "image")


@pytest.mark.parametrize("method", ["fork", "spawn"] if sys.platform != "win32" else ["spawn"])
def test_workers_read_while_the_parent_does(store: Store, method: str) -> None:
    rows = [[start, 35 - start] for start in range(12)]
    expected = [read_rows(store, each) for each in rows]  # the parent's files are open before the fork
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, which other tests start
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            waiting = [pool.submit(read_rows, store, each) for each in rows]
            here = [read_rows(store, each) for each in rows]
            there = [each.result(timeout=60) for each in waiting]
    assert np.array_equal(here, expected)
    assert np.array_equal(there, expected)


def test_a_forked_copy_of_an_open_store_can_read(store: Store) -> None:
    """A fork copies the store with its open files, as in a worker of DataLoader."""
    before = store.read([0, 30], "image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = get_context("fork")
        ours, theirs = context.Pipe()
        child = context.Process(target=lambda: theirs.send(store.read([0, 30], "image")))
        child.start()
    assert ours.poll(60)
    assert np.array_equal(ours.recv(), before)
    child.join(60)
    assert child.exitcode == 0
    assert np.array_equal(store.read([0, 30], "image"), before)


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    preprocess(Made(), None, tmp_path / "s", shard_rows=1, max_bad=0.5)
    store = Store.open(tmp_path / "s")
    got = store.read(store.rows(), "image")
    assert np.array_equal(got, np.stack([sample(number)["image"] for number in KEPT]))
    assert len(store.files._handles) <= OPEN_SHARDS
    store.close()
    assert np.array_equal(store.read([5], "image")[0], sample(KEPT[5])["image"])


def flip(path: Path, dataset: str, chunk: int) -> None:
    with h5py.File(path) as file:
        offset = file[dataset].id.get_chunk_info(chunk).byte_offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_names_shard_and_row(tmp_path: Path) -> None:
    preprocess(Made(), None, tmp_path / "s", shard_rows=PER_SHARD, max_bad=0.5)
    flip(tmp_path / "s" / "shard-00001.h5", "image", 4)
    store = Store.open(tmp_path / "s")
    assert np.array_equal(store.read([12], "image")[0], sample(KEPT[12])["image"])
    with pytest.raises(MultiviewError, match=r"shard-00001.h5 is damaged: the checksum of /image .* row 4 \(row 13 of"):
        store.read(range(9, 19), "image")


@pytest.mark.parametrize("column", ["label", "id", "split"])
def test_a_flipped_bit_in_a_column(tmp_path: Path, column: str) -> None:
    preprocess(Made(), None, tmp_path / "s", shard_rows=PER_SHARD, max_bad=0.5)
    flip(tmp_path / "s" / "shard-00003.h5", column, 0)
    store = Store.open(tmp_path / "s")
    assert len(store.labels) == len(store.ids)  # the column file holds what was written
    (tmp_path / "s" / columnfile.NAME).unlink()
    store = Store.open(tmp_path / "s")
    with pytest.raises(MultiviewError, match=rf"shard-00003.h5 is damaged: the checksum of /{column} "):
        _ = (store.labels, store.ids, store.rows("train"))


def test_a_missing_or_cut_shard(tmp_path: Path) -> None:
    preprocess(Made(), None, tmp_path / "s", shard_rows=PER_SHARD, max_bad=0.5)
    last = tmp_path / "s" / "shard-00004.h5"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(MultiviewError, match=r"shard-00004.h5 is damaged: it has \d+ bytes, not \d+"):
        Store.open(tmp_path / "s")
    last.unlink()
    with pytest.raises(MultiviewError, match=r"shard-00004.h5 is damaged: it is missing"):
        Store.open(tmp_path / "s")


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    data = {**json.loads(path.read_text()), **changes}
    data.pop("checksum")  # as in the manifest of an older version
    path.write_text(json.dumps(data))


def test_a_newer_schema_says_what_to_do(tmp_path: Path) -> None:
    preprocess(Made(), None, tmp_path / "s", max_bad=0.5)
    rewrite(tmp_path / "s", schema=3, unheard_of=1)
    with pytest.raises(MultiviewError, match=r"made by schema 3, this version reads up to 2: update multiview-cmc"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 5},
        {"modalities": [{"name": "x"}]},
        {"splits": 3},
        {"statistics": []},
        {"shards": [{"name": "../../etc/shard-00000.h5", "rows": 36, "size": 1, "sha256": ""}]},
    ],
)
def test_a_damaged_manifest(tmp_path: Path, changes: dict[str, object]) -> None:
    preprocess(Made(), None, tmp_path / "s", max_bad=0.5)
    rewrite(tmp_path / "s", **changes)
    with pytest.raises(MultiviewError, match=r"manifest.json is damaged"):
        Store.open(tmp_path / "s")
    (tmp_path / "s" / "manifest.json").write_text("{")
    with pytest.raises(MultiviewError, match=r"manifest.json is damaged"):
        Store.open(tmp_path / "s")


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="does not exist; make a store with `multiview preprocess"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(MultiviewError, match="is no store"):
        Store.open(tmp_path)


def test_data_in_another_file_is_refused(tmp_path: Path) -> None:
    preprocess(Made(), None, tmp_path / "s", shard_rows=100, max_bad=0.5)
    shard = tmp_path / "s" / "shard-00000.h5"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = np.zeros((len(KEPT), 5, 4, 3), "uint8")
    with h5py.File(shard, "r+") as file:
        del file["image"]
        file["image"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "image")
    rewrite(
        tmp_path / "s", shards=[{"name": shard.name, "rows": len(KEPT), "size": shard.stat().st_size, "sha256": ""}]
    )
    with pytest.raises(MultiviewError, match="/image is a link to another place"):
        Store.open(tmp_path / "s").read([0], "image")


def test_a_manifest_survives_a_round_trip_through_json(store: Store) -> None:
    text = store.manifest.to_json()
    again = Manifest.from_json(text)
    assert again == store.manifest
    assert again.to_json() == text
    assert again.hash == store.manifest.hash
    assert replace(again, classes=("dog", "cat")).hash != again.hash
    assert list(again.splits) == ["train", "test"]
