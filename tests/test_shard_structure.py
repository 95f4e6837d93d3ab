"""A shard whose index lost or mixed up its chunks is refused."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.store import chunkindex, columnfile, shardfiles
from multiview.data.store.manifest import Provenance
from multiview.data.store.reading import Store
from multiview.data.store.verify import verify
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(6, 5, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(6, 5), unit="m"),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
    Modality(name="clip", kind="video", dtype="uint8", shape=(ANY, 120, 120, 3), unit="", rate=5),
)
COUNT = 8


def sample(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    given = {
        "image": rng.integers(1, 256, (6, 5, 3), "uint8"),
        "depth": rng.random((6, 5), "float32") + 1,
        "sound": rng.integers(1, 99, 9000 + number, "int16"),
        "clip": rng.integers(1, 256, (2, 120, 120, 3), "uint8"),
    }
    return {name: array for name, array in given.items() if name != "depth" or number % 3}


@dataclass(frozen=True)
class Toy:
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [Row(f"s{n}", label="ab"[n % 2], split="train", factors={"n": n}) for n in range(COUNT)]
        return Plan(rows, KINDS, sample)


@pytest.fixture(params=["read", "listed"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indices are read from the bytes of the file, as those of many chunks, or listed by h5py."""
    monkeypatch.setattr(chunkindex, "FEW", 0 if request.param == "read" else 10**9)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of an older version, without a column file: all is read from its shards."""
    preprocess(Toy(), None, tmp_path / "s", shard_rows=100)
    (tmp_path / "s" / columnfile.NAME).unlink()
    return tmp_path / "s"


def accept(store: Path) -> None:
    """Writes the changed shard's size into the manifest; training does not check its hash."""
    data = json.loads((store / "manifest.json").read_text())
    data.pop("checksum", None)
    data["shards"][0]["size"] = (store / "shard-00000.h5").stat().st_size
    (store / "manifest.json").write_text(json.dumps(data))


def read_all(store: Path) -> None:
    opened = Store.open(store)
    rows = opened.rows()
    for kind in KINDS:
        opened.read(rows, kind.name)
        opened.present(kind.name)
    assert opened.labels is not None
    assert opened.ids is not None
    opened.rows("train")
    opened.factor("n")


def remade(store: Path, name: str, written: Callable[[np.ndarray], Any], **options: Any) -> None:
    """Makes a dataset anew with the same chunks, of which only `written(all rows)` are written."""
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        data, chunks = file[name][()], file[name].chunks
        del file[name]
        usual = {"chunks": chunks, "fletcher32": True} | options
        new = file.create_dataset(name, shape=data.shape, dtype=data.dtype, **usual)
        for part in written(np.arange(len(data))):
            new[part] = data[part]
    accept(store)


FIXED, RAGGED = ("image", "depth"), ("sound", "clip")
WHOLE = ("label", "split", "id", "factor/n", "present/image", "present/depth", "length/sound", "length/clip")


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("missing", [0, 4, 7])
def test_a_sample_that_the_index_lacks_is_damage(store: Path, name: str, missing: int) -> None:
    there = [n for n in range(COUNT) if name in sample(n)]
    lost = min(there, key=lambda n: abs(n - missing))
    remade(store, name, lambda rows: [row for row in rows.tolist() if row in there and row != lost])
    with pytest.raises(MultiviewError, match=rf"shard-00000.h5 is damaged: /{name} lacks samples.*Restore it"):
        Store.open(store).read([0], name)
    assert not verify(store).rows


def test_a_sample_at_the_row_of_an_absent_one_is_damage(store: Path) -> None:
    remade(store, "depth", lambda rows: [0, 2, 4, 5, 7])  # sample 1 at row 0, which has no depth
    with pytest.raises(MultiviewError, match="/depth lacks samples"):
        read_all(store)


@pytest.mark.parametrize("name", RAGGED)
@pytest.mark.parametrize("place", [0, -1])
def test_a_part_of_concatenated_samples_that_the_index_lacks_is_damage(store: Path, name: str, place: int) -> None:
    with h5py.File(store / "shard-00000.h5") as file:
        step = file[name].chunks[0]

    def parts(rows: np.ndarray) -> list[slice]:
        every = [slice(start, start + step) for start in range(0, len(rows), step)]
        return [part for part in every if part != every[place]]

    remade(store, name, parts)
    with pytest.raises(MultiviewError, match=f"/{name} lacks samples"):
        read_all(store)


@pytest.mark.parametrize("name", WHOLE)
def test_a_column_that_was_never_written_is_damage(store: Path, name: str) -> None:
    remade(store, name, lambda rows: [])
    with pytest.raises(MultiviewError, match=r"shard-00000.h5 is damaged: /.* (lacks samples|holds? )"):
        read_all(store)


@pytest.mark.parametrize("name", ["image", "sound", "label"])
@pytest.mark.parametrize("layout", ["contiguous", "no checksums", "empty contiguous"])
def test_a_layout_without_checksums_is_refused(store: Path, name: str, layout: str) -> None:
    options: dict[str, Any] = {"fletcher32": False, "chunks": None} if "contiguous" in layout else {"fletcher32": False}
    remade(store, name, lambda rows: [] if "empty" in layout else [slice(len(rows))], **options)
    with pytest.raises(MultiviewError, match=f"/{name} has no checksums"):
        read_all(store)


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize(
    ("name", "row", "other", "other_row"),
    [("image", 2, "image", 3), ("sound", 0, "sound", 1), ("clip", 5, "clip", 6), ("label", 0, "factor/n", 0)],
)
def test_an_address_that_leads_to_another_part_is_damage(
    store: Path, name: str, row: int, other: str, other_row: int
) -> None:
    """Both chunks have valid checksums: only the check of addresses finds the wrong values."""
    shard = store / "shard-00000.h5"
    with h5py.File(shard) as file:
        wrong, right = (file[each].id.get_chunk_info(n).byte_offset for each, n in ((other, other_row), (name, row)))
    data = shard.read_bytes()
    assert data.count(struct.pack("<Q", right)) == 1
    shard.write_bytes(data.replace(struct.pack("<Q", right), struct.pack("<Q", wrong)))
    with pytest.raises(MultiviewError, match=r"shard-00000.h5 is damaged: its index leads to one place twice"):
        read_all(store)


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        ("image", "int8", "/image does not hold uint8"),
        ("depth", ">f4", "/depth does not hold float32"),
        ("sound", "uint16", "/sound does not hold int16"),
        ("label", "uint64", "/label does not hold int64"),
        ("id", "int64", "/id holds no texts of one width"),
    ],
)
def test_another_dtype_is_damage(store: Path, name: str, dtype: str, message: str) -> None:
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        shape, chunks = file[name].shape, file[name].chunks
        there = np.flatnonzero(file["present/depth"]).tolist() if name == "depth" else [slice(shape[0])]
        del file[name]
        new = file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)
        for rows in there:
            new[rows] = 1
    accept(store)
    with pytest.raises(MultiviewError, match=message):
        read_all(store)


@pytest.mark.parametrize("shape", [(COUNT, 6, 5, 1), (COUNT + 1, 6, 5, 3), (COUNT, 5, 6, 3), (COUNT,)])
def test_another_shape_is_damage(store: Path, shape: tuple[int, ...]) -> None:
    """NumPy would repeat a picture of one channel into three."""
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        del file["image"]
        file.create_dataset("image", data=np.ones(shape, "uint8"), chunks=(1, *shape[1:]), fletcher32=True)
    accept(store)
    with pytest.raises(MultiviewError, match=r"/image (has the shape .*, not \(8, 6, 5, 3\)|does not hold one chunk)"):
        read_all(store)


@pytest.mark.parametrize("name", ["image", "present", "length/sound", "factor/n"])
def test_another_kind_of_object_is_damage(store: Path, name: str) -> None:
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        del file[name]
        file[name] = np.dtype("f8")
    accept(store)
    with pytest.raises(MultiviewError, match=rf"/{name} is no dataset"):
        read_all(store)


def test_a_shard_is_checked_once_per_process(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(shardfiles, "sample_faults", lambda *_: seen.append(1) or iter(()))
    opened = Store.open(store)
    for _ in range(3):
        opened.read([1], "image")
        opened.close()
    assert seen == [1]


LIMITED = """
import resource, sys
from pathlib import Path
import multiview as mv
from multiview.errors import MultiviewError
store = mv.Store.open(sys.argv[1])
store.read([0], "image"); store.close()
resource.setrlimit(getattr(resource, sys.argv[2]), (int(sys.argv[3]),) * 2)
used = [open("/dev/null") for _ in range(int(sys.argv[4]))]
try:
    print(store.read(store.rows(), sys.argv[5]).sum() > 0, len(store.files._handles))
except MultiviewError as error:
    print(error)
"""


def limited(store: Path, *words: object) -> str:
    """What a process prints that reads all of a store under a limit of the system."""
    run = subprocess.run([sys.executable, "-c", LIMITED, str(store), *map(str, words)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def many(tmp_path: Path) -> Path:
    preprocess(Toy(), None, tmp_path / "many", shard_rows=1)
    return tmp_path / "many"


@pytest.mark.parametrize(("limit", "held"), [(20, 5), (24, 6), (64, 8)])
def test_few_file_handles_are_enough(many: Path, limit: int, held: int) -> None:
    assert limited(many, "RLIMIT_NOFILE", limit, 0, "image") == f"True {held}\n"


def test_a_lack_of_file_handles_is_no_damage(many: Path) -> None:
    text = limited(many, "RLIMIT_NOFILE", 24, 18, "image")
    assert "too many open files. Raise the limit with `ulimit -n 4096`" in text
    assert "the shard is not damaged" in text


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    opened = Store.open(store)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    for read in (lambda: opened.labels, lambda: opened.read([0], "image"), lambda: opened.read([0], "sound")):
        with pytest.raises(MultiviewError, match="needs more memory than there is: use a smaller --batch"):
            read()


@pytest.mark.parametrize("padding", [h5py.h5t.STR_NULLTERM, h5py.h5t.STR_SPACEPAD])
def test_texts_of_another_padding_are_damage(store: Path, padding: int) -> None:
    with h5py.File(store / "shard-00000.h5", "r+") as file:
        ids = file["id"][()]
        del file["id"]
        form = h5py.h5t.C_S1.copy()
        form.set_size(ids.dtype.itemsize)
        form.set_strpad(padding)
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_chunk((COUNT,))
        options.set_fletcher32()
        new = h5py.h5d.create(file.id, b"id", form, h5py.h5s.create_simple((COUNT,)), options)
        new.write(h5py.h5s.ALL, h5py.h5s.ALL, ids, mtype=form)
    accept(store)
    with pytest.raises(MultiviewError, match="/id holds no texts of one width"):
        read_all(store)


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize(("name", "row"), [("image", 5), ("image", 1), ("depth", 2), ("clip", 9)])
def test_a_part_that_is_listed_but_not_found_is_damage(store: Path, name: str, row: int) -> None:
    """The last coordinate of a key in the index is always 0; HDF5 lists the chunk, reads zeros."""
    shard = store / "shard-00000.h5"
    with h5py.File(shard) as file:
        dataset = file[name]
        chunk = dataset.id.get_chunk_info_by_coord((row, *(0,) * (dataset.ndim - 1)))
    key = struct.pack("<2I", chunk.size, 0) + struct.pack(f"<{len(chunk.chunk_offset) + 1}Q", *chunk.chunk_offset, 0)
    key += struct.pack("<Q", chunk.byte_offset)
    data = bytearray(shard.read_bytes())
    assert data.count(key) == 1
    data[data.index(key) + len(key) - 16] ^= 8
    shard.write_bytes(data)
    with pytest.raises(MultiviewError, match=r"shard-00000.h5 is damaged"):
        read_all(store)
    with pytest.raises(MultiviewError, match=r"shard-00000.h5 is damaged"):
        Store.open(store).cached([name], 10**9)


def test_plain_h5py_shows_what_a_shard_holds(store: Path) -> None:
    with h5py.File(store / "shard-00000.h5") as file:
        assert list(file["label"].attrs["names"]) == ["a", "b"]
        assert list(file["split"].attrs["names"]) == ["train"]
        kinds = {kind.name: (file[kind.name].attrs["kind"], file[kind.name].attrs["unit"]) for kind in KINDS}
        assert kinds == {kind.name: (kind.kind, kind.unit) for kind in KINDS}
        assert (file["sound"].attrs["rate"], file["clip"].attrs["rate"]) == (100.0, 5.0)
    assert verify(store).faults == ()


def test_a_shard_of_an_older_version_without_attributes_stays(store: Path) -> None:
    shard = store / "shard-00000.h5"
    with h5py.File(shard, "r+") as file:
        for name in ("label", "split", *(kind.name for kind in KINDS)):
            for attribute in list(file[name].attrs):
                del file[name].attrs[attribute]
    before = shard.read_bytes()
    data = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").unlink()
    (store / ".unfinished").write_text(f"{Provenance(**data['provenance']).origin()}\n")
    report = preprocess(Toy(), None, store, shard_rows=100)
    assert (report.reused, shard.read_bytes() == before) == (1, True)
    assert verify(store).faults == ()


LINKS = {"soft": h5py.SoftLink("/label"), "external": h5py.ExternalLink("other.h5", "/label")}


@pytest.mark.parametrize("kind", ["soft", "external"])
def test_a_column_that_is_a_link_is_refused(kind: str, scenes: Path) -> None:
    shard = Store.open(scenes).manifest.shards[0]
    copy = scenes.parent / f"{kind}-{shard.name}"
    copy.write_bytes((scenes / shard.name).read_bytes())
    with h5py.File(copy, "r+") as file:
        del file["split"]
        file["split"] = LINKS[kind]
    files = shardfiles.ShardFiles(copy.parent, [replace(shard, name=copy.name)])
    with pytest.raises(MultiviewError, match="/split is a link to another place"):
        files.column(0, "split")


def test_a_fault_of_another_dataset_is_found_before_the_first_sample(scenes: Path) -> None:
    store = Store.open(scenes)
    shard = store.manifest.shards[0]
    copy = scenes.parent / f"other-{shard.name}"
    copy.write_bytes((scenes / shard.name).read_bytes())
    with h5py.File(copy, "r+") as file:
        del file["image"]
        file["image"] = np.zeros((shard.rows, 2), "uint8")
    files = shardfiles.ShardFiles(copy.parent, [replace(shard, name=copy.name)])
    depth = store.modality("depth")
    with pytest.raises(MultiviewError, match=r"/image .*"):
        files.dataset(0, "depth", depth.dtype, (shard.rows, *depth.shape))
