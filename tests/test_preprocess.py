"""Writing a store: contents, reruns, sources that break the contract, foreign folders."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from toys import Toy, hashes, make

from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


def test_a_store_of_shards_and_a_manifest(tmp_path: Path) -> None:
    report = make(tmp_path / "deep" / "out")
    assert (report.written, report.rejected, report.shards, report.reused, report.already) == (60, 0, 6, 0, False)
    names = sorted(path.name for path in (tmp_path / "deep" / "out").iterdir())
    assert names == ["columns.safetensors", "manifest.json", *(f"shard-{number:05d}.h5" for number in range(6))]
    manifest = Manifest.from_json((tmp_path / "deep" / "out" / "manifest.json").read_text())
    for shard in manifest.shards:
        assert hashlib.sha256((tmp_path / "deep" / "out" / shard.name).read_bytes()).hexdigest() == shard.sha256
    assert manifest.provenance.source == "toy"
    assert manifest.provenance.options == {"count": 60, "bad": 0, "seed": 0}
    assert report.lines()[-1].endswith("60 samples in 6 shards.")


def test_one_sample_is_counted_as_one(tmp_path: Path) -> None:
    assert make(tmp_path / "out", Toy(count=1)).lines()[-1] == f"{tmp_path / 'out'}: 1 sample in 1 shard."
    assert make(tmp_path / "out", Toy(count=1)).lines()[-1].endswith("is whole already: 1 sample, nothing to do.")
    with pytest.raises(MultiviewError, match="1 of 1 sample cannot be read"):
        make(tmp_path / "none", Toy(count=1, bad=1))


def test_every_dataset_has_a_checksum_and_samples_a_chunk_each(tmp_path: Path) -> None:
    make(tmp_path / "out")
    found: dict[str, h5py.Dataset] = {}
    with h5py.File(tmp_path / "out" / "shard-00000.h5") as file:
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        assert {"image", "label", "split", "id", "present/image"} <= set(found)
        assert all(dataset.fletcher32 for dataset in found.values())
        assert found["image"].chunks == (1, 8, 8, 3)
        assert found["image"].compression is None
        assert found["label"].dtype == "int64"
        assert found["split"].dtype == "uint8"
        assert h5py.check_string_dtype(found["id"].dtype).encoding == "utf-8"


def test_same_input_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "a", Toy(bad=7), max_bad=0.5)
    time.sleep(1.1)  # HDF5 keeps times in seconds
    make(tmp_path / "b", Toy(bad=7), max_bad=0.5)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_whole_already(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    report = make(tmp_path / "out")
    assert report.already
    assert "whole already" in report.lines()[0]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("source", "options", "difference"),
    [
        (Toy(seed=1), {}, "it was made with seed=0, not 1"),
        (Toy(), {"shard_rows": 11}, "its shard_rows is 10, not 11"),
        (Toy(), {"name": "doll"}, "its source is toy, not doll"),
    ],
)
def test_another_store_is_kept_without_overwrite(
    tmp_path: Path, source: Toy, options: dict[str, object], difference: str
) -> None:
    out = tmp_path / "out"
    make(out)
    before = hashes(out)
    with pytest.raises(MultiviewError, match=rf"{difference}\. Replace it with --overwrite, or choose another OUT"):
        make(out, source, **options)
    assert hashes(out) == before
    (out / "notes.txt").write_text("mine")
    make(out, source, **options, overwrite=True)
    make(tmp_path / "fresh", source, **options)
    assert (out / "notes.txt").read_text() == "mine"
    assert {**hashes(tmp_path / "fresh"), "notes.txt": hashes(out)["notes.txt"]} == hashes(out)


def test_strangers_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(MultiviewError, match=r"is not empty and is no store \(it holds thesis.tex\)"):
            make(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(MultiviewError, match="is a file"):
        make(tmp_path / "thesis.tex")


def test_shards_without_a_manifest_are_not_trusted(tmp_path: Path) -> None:
    make(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(MultiviewError, match="holds shards without a manifest"):
        make(tmp_path / "out")
    assert make(tmp_path / "out", overwrite=True).reused == 0


def test_an_unfinished_store_of_another_command_is_kept(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError):
        make(tmp_path / "out", Toy(bad=13), max_bad=3)
    kept = sorted((tmp_path / "out").glob("shard-*.h5"))
    assert kept
    with pytest.raises(MultiviewError, match="unfinished store of another command"):
        make(tmp_path / "out", Toy(seed=5))
    with pytest.raises(MultiviewError, match="is an unfinished store"):
        Store.open(tmp_path / "out")
    assert sorted((tmp_path / "out").glob("shard-*.h5")) == kept


def test_a_damaged_shard_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = hashes(out)
    shard = out / "shard-00002.h5"
    shard.write_bytes(shard.read_bytes()[:-10])
    report = make(out)
    assert (report.reused, report.already) == (5, False)
    assert any("shard-00002.h5" in note for note in report.notes)
    assert hashes(out) == before


def test_a_shard_of_another_store_is_not_taken(tmp_path: Path) -> None:
    make(tmp_path / "mine")
    make(tmp_path / "other", Toy(seed=1))
    before = hashes(tmp_path / "mine")
    (tmp_path / "mine" / "shard-00001.h5").unlink()
    (tmp_path / "other" / "shard-00001.h5").rename(tmp_path / "mine" / "shard-00001.h5")
    (tmp_path / "mine" / "shard-00005.h5").unlink()  # so that all are looked at
    report = make(tmp_path / "mine")
    assert report.reused == 4
    assert any("shard-00001.h5: it belongs to another store" in note for note in report.notes)
    assert hashes(tmp_path / "mine") == before


@pytest.mark.parametrize("options", [{"shard_rows": 0}, {"max_bad": -1}, {"max_bad": float("nan")}])
def test_invalid_options_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(MultiviewError, match=next(iter(options))):
        make(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Odd:
    """A source that breaks the contract in one way."""

    fault: str
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [Row("x"), Row("x" if self.fault == "twice" else "y", label="b")]
        kind = Modality(
            name="label" if self.fault == "name" else "table", kind="table", dtype="float32", shape=(3,), unit=""
        )
        return Plan(rows, (kind,), self.read, classes=("a",) if self.fault == "class" else None)

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        table = np.ones(3, "float32")
        if self.fault == "crash":
            return {"table": table / {}["missing"]}
        if self.fault == "nan":
            table[number] = np.nan
        return {"table": table.astype("float64") if self.fault == "dtype" else table}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("twice", "the id 'x' is given to samples 0 and 1"),
        ("name", "a modality cannot be called 'label'"),
        ("class", "labels samples 'b', which is none of the source's classes"),
        ("dtype", r"gave table of 'x' as float64\(3,\) but declared float32\(3,\)"),
        ("crash", "the source failed at sample 'x': KeyError: 'missing'"),
        ("nan", "2 of 2 samples cannot be read.*"),
    ],
)
def test_a_source_that_breaks_its_contract(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        preprocess(Odd(fault), None, tmp_path / "out", max_bad=5)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    make(tmp_path / "out", Toy(bad=25), max_bad=0.1, progress=lambda *each: seen.append(each))
    assert seen[-1] == (60, 60, 3)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert {total for _, total, _ in seen} == {60}


def test_importing_is_quick() -> None:
    code = (
        "import sys, multiview.data.write.preprocess, multiview.data.store.reading, multiview.data.load.open_data;"
        "assert not {'torch', 'torchvision', 'scipy', 'sklearn', 'h5py', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
