"""The chunks of a dataset, read from the bytes of its index, are those that h5py lists."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from multiview.data.store import chunkindex
from multiview.data.store.chunkindex import Chunks, OtherFormError, chunks_of

NAMES = ("first", "size", "skipped", "place")


def listed(dataset: h5py.Dataset) -> Chunks:
    return chunkindex._listed(dataset)


def same(one: Chunks, other: Chunks) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in NAMES)


@pytest.fixture(params=[256, 3])
def together(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunkindex, "TOGETHER", request.param)


@pytest.mark.usefixtures("together")
@pytest.mark.parametrize("count", [257, 1000])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 1)])
@pytest.mark.parametrize("hole", [1, 3])
def test_chunks_are_those_that_h5py_lists(tmp_path: Path, count: int, shape: tuple[int, ...], hole: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("x", (count, *shape), "f4", chunks=(1, *shape), fletcher32=True)
        for row in range(0, count, hole):
            made[row] = row
        for number in range(40):  # the object header continues elsewhere
            made.attrs[f"attribute {number}"] = "text " * 20
    with h5py.File(tmp_path / "a.h5") as file:
        found = chunkindex._read(file["x"])
        assert len(found) == -(-count // hole)
        assert same(found, listed(file["x"]))
        assert same(found, chunks_of(file["x"]))


@pytest.mark.parametrize("written", [0, 1])
def test_few_chunks_are_listed(tmp_path: Path, written: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("x", (3, 2), "f4", chunks=(1, 2))
        made[:written] = 1
        file.flush()
        assert len(chunks_of(made)) == written


@pytest.mark.parametrize("libver", ["v110", "latest"])
@pytest.mark.parametrize("userblock", [0, 512])
def test_other_forms_are_listed_by_h5py(tmp_path: Path, libver: str, userblock: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=libver, userblock_size=userblock) as file:
        file.create_dataset("x", data=np.ones((300, 2)), chunks=(1, 2))
    with h5py.File(tmp_path / "a.h5") as file:
        with pytest.raises(OtherFormError):
            chunkindex._read(file["x"])
        assert len(chunks_of(file["x"])) == 300


def test_a_damaged_index_is_never_taken_for_another(tmp_path: Path) -> None:
    """One byte of a node is changed: the chunks are again those that h5py lists, or both refuse."""
    path, rng = tmp_path / "a.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", (300, 2), "f4", chunks=(1, 2), fletcher32=True)
        made[:] = 1
    whole = path.read_bytes()
    node = whole.index(b"TREE\1")
    for place in rng.integers(node, node + 3000, 150).tolist():
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with h5py.File(path, "r", locking=False) as file:
            try:
                wanted = listed(file["x"])
            except (OSError, RuntimeError):
                with pytest.raises((OSError, RuntimeError)):
                    chunks_of(file["x"])
            else:
                assert same(chunks_of(file["x"]), wanted)
