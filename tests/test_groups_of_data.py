"""Where groups come from, what a store keeps of them, and that no split of ours cuts one."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_runs import assert_same_end, run

import multiview as mv
from multiview.cli import run as cli
from multiview.data.listing.groups import groups_by_id
from multiview.data.load.open_data import open_data
from multiview.data.sources.arrays import Arrays
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.train.groups import grouping_of, values_of

PATIENTS = [f"p{number // 4:02d}" for number in range(60)]
"""15 patients with 4 samples each."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of numbers; one sample has no patient."""
    generator = np.random.default_rng(0)
    lines = ["id,patient,site,x1,x2,y1,y2"]
    for number, patient in enumerate(PATIENTS):
        values = ",".join(f"{x:.3f}" for x in generator.normal(size=4))
        lines.append(f"{patient}_{number:02d},{patient if number else ''},{number % 3},{values}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def prepared(source: str, data: Path, out: Path, *words: str) -> Store:
    assert cli(["preprocess", source, str(data), str(out), "--view_statistics", "false", *words]) == 0
    return Store.open(out)


def splits_of(store: Store, groups: list[str | None]) -> dict[str | None, set[str]]:
    """Group -> the splits that hold its samples."""
    found = defaultdict(set)
    for split in store.split_names:
        for row in store.rows(split).tolist():
            found[groups[row]].add(split)
    return found


def test_a_store_keeps_the_column_and_its_splits_keep_groups_whole(table: Path, tmp_path: Path) -> None:
    plain = prepared("manifest", table, tmp_path / "plain")
    assert any(len(splits) > 1 for splits in splits_of(plain, PATIENTS).values()), "or the test shows nothing"
    store = prepared("manifest", table, tmp_path / "grouped", "--group", "patient")
    assert store.group("patient") == [None, *PATIENTS[1:]]
    assert store.manifest.schema == 2
    assert len(store.split_names) == 3
    found = splits_of(store, store.group("patient"))
    del found[None]
    assert {len(splits) for splits in found.values()} == {1}


def test_a_store_without_groups_is_as_before(table: Path, tmp_path: Path) -> None:
    store = prepared("manifest", table, tmp_path / "plain")
    written = json.loads((tmp_path / "plain" / "manifest.json").read_text())
    assert set(written["groups"]) == {"target:patient"}, "kept for probes, not as groups"
    assert store.group_names == ()


def test_other_ways_to_name_groups(table: Path, tmp_path: Path) -> None:
    store = prepared("manifest", table, tmp_path / "ids", "--group", r"id:^(\w+)_")
    assert store.group(r"id:^(\w+)_") == PATIENTS
    assert values_of(store, "id:^p0") == ["p0" if name < "p10" else None for name in PATIENTS]
    with pytest.raises(mv.MultiviewError, match="finds a group in no id; ids are like 'p00_00'"):
        values_of(store, "id:^(q)")
    with pytest.raises(mv.MultiviewError, match="is no regular expression"):
        values_of(store, "id:(")
    with pytest.raises(mv.MultiviewError, match="'patient' is not a column of groups; available: folder, id"):
        values_of(store, "patient")
    assert groups_by_id("folder", ["a/b/1", "a/2", "3"]) == ["a/b", "a", None]


def test_an_unknown_column_is_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(
        mv.MultiviewError, match=r"has no column 'pateint'; it has: id, patient.* Did you mean 'patient'\?"
    ):
        prepared("manifest", table, tmp_path / "x", "--group", "pateint")


def test_samples_that_share_files_and_groups_stay_together(tmp_path: Path) -> None:
    """Two patients share a photo: all samples of both are in one split."""
    lines = ["id,patient,photo"]
    for number, patient in enumerate(PATIENTS):
        name = "shared.png" if number in (0, 5) else f"{number}.png"
        Image.fromarray(np.full((4, 4, 3), number, "uint8")).save(tmp_path / name)
        lines.append(f"{number:02d},{patient},{name}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    for number in range(20):
        store = prepared(
            "manifest",
            tmp_path,
            tmp_path / f"out{number}",
            "--group",
            "patient",
            "--split",
            f"{50 - number}/{50 + number}",
        )
        linked = ["both" if patient in ("p00", "p01") else patient for patient in PATIENTS]
        assert {len(splits) for splits in splits_of(store, linked).values()} == {1}


def test_arrays_and_csv_files_of_folders_give_columns(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((60, 3)), patient=np.array(PATIENTS), day=np.arange(60) // 2)
    store = prepared("arrays", tmp_path / "a.npz", tmp_path / "a", "--group", "patient")
    assert store.group("patient") == PATIENTS
    assert {each.name for each in store.manifest.modalities} == {"day", "x"}
    rows = ["id,label,patient"]
    (tmp_path / "images").mkdir()
    for number, patient in enumerate(PATIENTS):
        Image.fromarray(np.full((4, 4, 3), number, "uint8")).save(tmp_path / "images" / f"{number:02d}.png")
        rows.append(f"{number:02d},x,{patient}")
    (tmp_path / "images" / "own.csv").write_text("\n".join(rows) + "\n")
    words = ["--csv", "own.csv", "--split_column", "null", "--group", "patient"]
    assert prepared("folder", tmp_path / "images", tmp_path / "b", *words).group("patient") == PATIENTS


def test_groups_survive_split_and_merge_and_decide_a_split(table: Path, tmp_path: Path) -> None:
    prepared("manifest", table, tmp_path / "all", "--group", "patient", "--split", "100")
    assert cli(["split", str(tmp_path / "all"), str(tmp_path / "new"), "--by", "patient", "--split", "50/50"]) == 0
    store = Store.open(tmp_path / "new")
    assert store.group("patient") == [None, *PATIENTS[1:]]
    found = splits_of(store, store.group("patient"))
    assert {len(splits) for name, splits in found.items() if name} == {1}
    assert len(store.split_names) == 2
    words = ["--group", "patient", "--shard_rows", "20"]
    for part in (1, 2):
        prepared("manifest", table, tmp_path / f"part{part}", *words, "--shard", f"{part}/2")
    whole = prepared("manifest", table, tmp_path / "whole", *words)
    assert cli(["merge", str(tmp_path / "joined"), str(tmp_path / "part1"), str(tmp_path / "part2")]) == 0
    joined = Store.open(tmp_path / "joined")
    assert joined.manifest.hash == whole.manifest.hash
    assert joined.group("patient") == whole.group("patient")
    assert cli(["verify", str(tmp_path / "joined")]) == 0


def test_a_manifest_with_damaged_groups_is_refused(table: Path, tmp_path: Path) -> None:
    store = prepared("manifest", table, tmp_path / "s", "--group", "patient")
    text = store.manifest.to_json()
    data = json.loads(text)
    assert Manifest.from_json(text).groups == store.manifest.groups
    del data["checksum"]
    data["groups"]["patient"][1] = data["groups"]["patient"][0]
    with pytest.raises(mv.MultiviewError, match="twice"):
        Manifest.from_json(json.dumps(data))
    data["groups"]["patient"] = ["p01"]
    (tmp_path / "s" / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(mv.MultiviewError, match="damaged: its groups 'patient' go from -1 to 14, of 1 names"):
        Store.open(tmp_path / "s").group("patient")
    assert cli(["verify", str(tmp_path / "s")]) == 1


def test_data_that_is_prepared_for_a_run_is_split_by_groups(table: Path, tmp_path: Path) -> None:
    store = open_data(str(table), tmp_path / "cache", say=lambda _: None, group="patient")
    assert store.group("patient") == [None, *PATIENTS[1:]]
    again = open_data(str(table), tmp_path / "cache", say=lambda _: None, group="patient")
    assert again.path == store.path
    assert open_data(str(table), tmp_path / "cache", say=lambda _: None).path != store.path
    files = open_data(f"folder:{table}", tmp_path / "cache", group="patient")
    assert files.group("patient") == store.group("patient")


FAST = ["--evaluate", "false", "--knn_every", "0"]


def test_a_run_says_what_its_groups_cost(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simclr", scenes, tmp_path / "run", "--plan", "--group", "label") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "groups label: 8 groups" in out
    assert "of all pairs are of one group and excluded; the codes take 1.344 kB" in out
    assert "the splits cut" not in out, "classes are meant to be in all splits"
    assert run("simclr", scenes, tmp_path / "run", "--plan", "--group", "id:.$") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "the splits cut 10 groups of 'id:.$' (80 samples) in two" in out
    assert "`multiview split STORE OUT --by 'id:.$'`" in out


def test_groups_without_effect_and_without_sense_are_said(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("simsiam", scenes, tmp_path / "run", "--plan", "--group", "label") == 0
    assert "changes nothing: no objective of this run has negatives" in capsys.readouterr().out
    assert run("simclr", scenes, tmp_path / "run", "--plan", "--group", "id:^.") == 2
    assert "into one group: no sample has a negative. Give a column" in capsys.readouterr().err


def test_groups_that_leave_one_to_the_train_split_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = np.array(["train", "val", "test"])[np.arange(30) % 3]
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", image=images, split=splits, label=splits)
    preprocess(Arrays(), tmp_path / "a.npz", tmp_path / "store")
    assert run("simclr", tmp_path / "store", tmp_path / "run", "--plan", "--group", "label") == 2
    assert "The data have 3 groups, of which the train split holds one" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["moco", "cmc_lab"])
def test_a_resumed_run_with_groups_ends_as_one_without_a_break(recipe: str, scenes: Path, tmp_path: Path) -> None:
    words = ["--group", "label", "--save_every", "1"]
    assert run(recipe, scenes, tmp_path / "whole", *words) == 0
    assert run(recipe, scenes, tmp_path / "broken", *words, "--steps", "3") == 0
    assert run(recipe, scenes, tmp_path / "broken", "--resume", "--steps", "6") == 0
    assert_same_end(tmp_path / "whole", tmp_path / "broken")


def test_other_groups_are_refused_on_resume(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", "--group", "label", "--steps", "3") == 0
    assert run("cmc_lab", scenes, tmp_path / "run", "--resume", "--group", "null") == 2
    assert "was trained with other groups of samples" in capsys.readouterr().err


def test_a_group_that_fills_batches_is_said(scenes: Path) -> None:
    graph = mv.ContrastGraph.full(["a", "b"], mv.SimCLR())
    grouping = grouping_of("label", Store.open(scenes), "train", graph)
    assert grouping.without_negatives(batch=1) == pytest.approx(1)
    assert grouping.without_negatives(batch=int(grouping.counts.max()) + 1) == 0
    counts, n = grouping.counts.tolist(), len(grouping.codes)
    assert grouping.without_negatives(batch=2) == pytest.approx(sum(c * (c - 1) for c in counts) / n / (n - 1))
    assert grouping.excluded == pytest.approx(grouping.without_negatives(batch=2))
    assert any("will find no negative in their batch of 2" in note for note in grouping.notes(graph, 2))


def test_an_objective_that_does_not_know_groups_is_refused(scenes: Path) -> None:
    class Plain(mv.SimCLR):
        excludes_groups = False

    with pytest.raises(mv.MultiviewError, match="edge a-b: Plain does not know groups"):
        grouping_of("label", Store.open(scenes), "train", mv.ContrastGraph.full(["a", "b"], Plain()))
