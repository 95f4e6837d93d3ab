"""Manifests: columns of files, numbers, lists and texts; what is missing; what is refused."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import soundfile
from pictures import noise, save
from PIL import Image

from multiview.data.listing import splits
from multiview.data.source import BadSample
from multiview.data.sources.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

ROWS = [
    {"id": "löwe 1", "class": "lion", "split": "train", "photo": "bilder/löwe 1.png", "range": "depth/a.png",
     "call": "wav/a.wav", "f1": 1.5, "f2": -2, "text": "ein Löwe"},
    {"id": "b", "class": "lion", "split": "valid", "photo": "bilder/b.png", "range": None,
     "call": "wav/b.wav", "f1": 0, "f2": 3, "text": None},
    {"id": "c", "class": None, "split": "test", "photo": None, "range": "depth/c.png",
     "call": None, "f1": None, "f2": None, "text": "none"},
]  # fmt: skip
MODALITIES = {"photo": "photo", "range:depth": "range", "call": "call", "f": "f*", "text": "text"}


def write(folder: Path, ending: str, rows: list[dict[str, object]] | None = None, name: str = "manifest") -> Path:
    """The rows as a table of each kind."""
    rows = ROWS if rows is None else rows
    path = folder / f"{name}.{ending}"
    if ending == "jsonl":
        lines = [json.dumps({key: cell for key, cell in row.items() if cell is not None}) for row in rows]
        path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    elif ending == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        lines = [",".join(rows[0]), *(",".join("" if c is None else str(c) for c in row.values()) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    root = tmp_path / "Tiere, groß"
    for number, name in enumerate(("löwe 1", "b")):
        save(root / "bilder" / f"{name}.png", noise(number))
    for name in ("a", "c"):
        save(root / "depth" / f"{name}.png", np.full((6, 6), 1500, "uint16"))
    (root / "wav").mkdir()
    for number, name in enumerate(("a", "b")):
        soundfile.write(root / "wav" / f"{name}.wav", np.full(100 + number, 0.25), 8000)
    return root


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_same_store_from_every_kind_of_table(animals: Path, tmp_path: Path, ending: str) -> None:
    write(animals, ending)
    report = preprocess(Manifest(modalities=MODALITIES), animals, tmp_path / "out")
    store = Store.open(report.out)
    assert (report.written, report.rejected) == (3, 0)
    assert store.ids == ["löwe 1", "b", "c"]
    assert store.labels.tolist() == [0, 0, -1]
    assert store.manifest.splits == {"train": 1, "val": 1, "test": 1}
    assert {each.name: each.kind for each in store.manifest.modalities} == {
        "photo": "image",
        "range": "depth",
        "call": "audio",
        "f": "table",
        "text": "text",
    }
    there = {name: store.present(name).tolist() for name in ("photo", "range", "call", "f", "text")}
    assert there == {
        "photo": [True, True, False],
        "range": [True, False, True],
        "call": [True, True, False],
        "f": [True, True, False],
        "text": [True, False, True],
    }
    assert np.array_equal(store.read([1], "photo")[0], noise(1))
    assert (store.read([2], "range")[0] == 1.5).all()
    assert [len(sound) for sound in store.read([0, 1], "call")] == [100, 101]
    assert store.read([0, 1], "f").tolist() == [[1.5, -2], [0, 3]]
    assert store.modality("f").names == ("f1", "f2")
    assert bytes(store.read([0], "text")[0]) == "ein Löwe".encode()


def test_every_kind_of_table_gives_the_same_bytes(animals: Path, tmp_path: Path) -> None:
    rows = [*ROWS[1:], ROWS[0]]  # in JSON Lines the first one lacks columns in the middle
    found = {}
    for ending in ("csv", "jsonl", "parquet"):
        report = preprocess(Manifest(), write(animals, ending, rows), tmp_path / ending, shard_rows=2)
        origin = Store.open(report.out).manifest.provenance.origin().encode()
        shards = [path.read_bytes() for path in sorted(report.out.glob("*.h5"))]
        assert [shard.count(origin) for shard in shards] == [1, 1], "what was read, the path of the table included"
        found[ending] = [shard.replace(origin, b"") for shard in shards]
    assert found["csv"] == found["jsonl"] == found["parquet"]


def test_modalities_are_guessed_from_columns(animals: Path) -> None:
    path = write(animals, "csv", [{**row, "age": 3, "note": "x"} for row in ROWS])
    plan = Manifest().plan(path)
    found = {each.name: each.kind for each in plan.modalities}
    assert found == {"photo": "image", "range": "image", "call": "audio", "f": "table", "text": "text"}
    assert "skipped the columns age, note; add them with --modalities." in plan.notes
    assert [each.name for each in Manifest(modalities=("photo", "age")).plan(path).modalities] == ["photo", "age"]
    shorter = Manifest(modalities=("text",), text_bytes=5).plan(path)
    assert shorter.modalities[0].shape == (5,)
    assert bytes(shorter.read(0)["text"]) == b"ein L"
    assert "1 text of 'text' cut at 5 bytes." in shorter.notes


def test_usual_names_are_understood(animals: Path) -> None:
    """Such as those of an image folder's metadata.csv."""
    lines = "ID,Label,file_name,depth_file\n1,lion,bilder/b.png,depth/a.png\n"
    (animals / "metadata.csv").write_text(lines, encoding="utf-8")
    plan = Manifest().plan(animals)
    assert [(each.name, each.kind) for each in plan.modalities] == [("image", "image"), ("depth_file", "depth")]
    assert (plan.rows[0].id, plan.rows[0].label) == ("1", "lion")


def test_lists_are_tables_and_series(tmp_path: Path) -> None:
    rows = [{"v": [1, 2, 3], "walk": [[0, 1]] * 4}, {"v": [4, 5, 6], "walk": [[2, 3]] * 4}, {"v": [7, 8]}]
    plan = Manifest(modalities={"v": "v", "walk:series": "walk"}, rate=50).plan(write(tmp_path, "jsonl", rows))
    assert [(each.kind, each.shape) for each in plan.modalities] == [("table", (3,)), ("series", (4, 2))]
    reader = pickle.loads(pickle.dumps(plan.read))
    assert reader(1)["walk"].tolist() == [[2, 3]] * 4
    with pytest.raises(BadSample, match=r"manifest\.jsonl, row 3: v has shape \(2,\), the others \(3,\)"):
        reader(2)


@pytest.mark.parametrize("kinds", [None, {"acc:series": "acc", "gyr:series": "gyr"}])
def test_lists_of_different_lengths_are_series(kinds: dict[str, str] | None, tmp_path: Path) -> None:
    rows = [{"acc": [[n, 1]] * (3 + n), "gyr": [0.5 * n] * (9 - n)} for n in range(5)]
    plan = Manifest(modalities=kinds, series_rate=50).plan(write(tmp_path, "jsonl", rows))
    assert [(each.kind, each.shape, each.rate) for each in plan.modalities] == [
        ("series", (-1, 2), 50),
        ("series", (-1, 1), 50),
    ]
    assert [plan.read(4)[name].shape for name in ("acc", "gyr")] == [(7, 2), (5, 1)]


def test_a_list_of_another_length_is_a_mistake_where_others_agree(tmp_path: Path) -> None:
    rows = [{"v": [1, 2, 3]} for _ in range(30)] + [{"v": [1, 2]}]
    plan = Manifest().plan(write(tmp_path, "jsonl", rows))
    assert [(each.kind, each.shape) for each in plan.modalities] == [("table", (3,))]
    with pytest.raises(BadSample, match=r"v has shape \(2,\), the others \(3,\)"):
        plan.read(30)


def test_columns_of_plain_numbers_are_offered_as_a_table(tmp_path: Path) -> None:
    rows = [{"name": f"p{n}", "age": n, "body mass": n / 2, "city": "Rome"} for n in range(4)]
    with pytest.raises(MultiviewError) as raised:
        Manifest().plan(write(tmp_path, "jsonl", rows))
    typed = json.loads(str(raised.value).partition("--modalities '")[2].partition("'")[0])
    plan = Manifest(modalities=typed).plan(tmp_path / "manifest.jsonl")
    assert [(each.kind, each.names) for each in plan.modalities] == [("table", ("age", "body mass"))]


def test_cells_that_are_no_numbers_are_rejected(tmp_path: Path) -> None:
    rows = [
        {"f1": 1, "f2": 2},
        {"f1": "nan", "f2": 2},
        {"f1": 1, "f2": None},
        {"f1": "oops", "f2": 1},
        {"f1": "1e300", "f2": 1},
    ]
    rows = [*rows, *rows[:1] * 9]
    report = preprocess(Manifest(), write(tmp_path, "csv", rows), tmp_path / "out", max_bad=4)
    assert (report.written, report.rejected) == (10, 4)
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text()
    assert "manifest.csv, row 2: 'f1' is 'nan', which is no finite number" in rejects
    assert "manifest.csv, row 3: 'f2' is empty, other columns of 'f' are not" in rejects
    assert "manifest.csv, row 4: 'f1' is 'oops', which is no finite number" in rejects
    assert "manifest.csv, row 5: 'f1' is '1e300', too large for float32" in rejects


def shared_pictures(count: int) -> list[dict[str, object]]:
    """Rows in which three samples in a row share a photo, and three photos in a row a sketch."""
    return [
        {
            "id": f"s{n:03d}",
            "photo": f"p{n // 3}.png",
            "sketch": f"k{n // 3 // 3}.png" if n % 3 else None,
            "back": "b.png",
        }
        for n in range(count)
    ]


def test_samples_that_share_a_file_are_in_one_split(tmp_path: Path) -> None:
    rows = shared_pictures(180)
    for name in {str(cell) for row in rows for cell in list(row.values())[1:] if cell}:
        save(tmp_path / name, noise(0))
    plan = Manifest().plan(write(tmp_path, "csv", rows))
    assert "180 samples share files with others; samples that share a file are in one split." in plan.notes
    groups = [plan.rows[start : start + 9] for start in range(0, 180, 9)]
    assert all(len({row.split for row in group}) == 1 for group in groups)
    assert {row.split for row in plan.rows} == {"train", "val", "test"}, "a file that all have ties none"
    assert [group[0].split for group in groups] == [splits.split_by_hash(group[0].id, (70, 10, 20)) for group in groups]


def test_samples_that_share_nothing_are_split_by_their_own_ids() -> None:
    ids = [f"{n}" for n in range(50)]
    assert splits.group_leaders(ids, []) == ids
    assert splits.group_leaders(ids, [[None] * 50, [f"{n}.png" for n in ids]]) == ids
    assert splits.group_leaders(["c", "a", "b", "d"], [["x", "x", "y", "z"], ["p", None, "x", "q"]]) == [
        "c",
        "a",
        "b",
        "d",
    ]
    assert splits.group_leaders(["c", "a", "b", "d"], [["x", "x", "y", "z"]]) == ["a", "a", "b", "d"]


@pytest.mark.parametrize("given", ["../secret.png", "/etc/hosts.png", "bilder/../../x.png"])
def test_paths_stay_in_the_folder(animals: Path, given: str) -> None:
    path = write(animals, "csv", [{"id": 1, "photo": "bilder/b.png"}, {"id": 2, "photo": given}])
    with pytest.raises(MultiviewError, match=r"manifest\.csv, row 2, column 'photo': '.*' is outside the folder"):
        Manifest().plan(path)


def test_links_are_not_followed(animals: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "secret.png", noise(9))
    (animals / "bilder" / "link.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (animals / "linked").symlink_to(tmp_path / "elsewhere")
    names = ["bilder/b.png", "bilder/link.png", "linked/secret.png", "gone.png"]
    path = write(animals, "csv", [{"photo": name} for name in names])
    report = preprocess(Manifest(), path, tmp_path / "out", max_bad=3)
    assert (report.written, report.rejected) == (1, 3)
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text()
    assert "bilder/link.png: 'bilder/link.png' is a link; a manifest does not follow links" in rejects
    assert "linked/secret.png: 'linked' is a link" in rejects
    assert "gone.png: missing file" in rejects


def test_a_hundred_thousand_rows_are_planned_in_no_time(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    lines = ["id,class,split,photo,f1,f2", *(f"s{n},k{n % 7},train,a.png,{n},{n / 7}" for n in range(100_000))]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    start = perf_counter()
    plan = Manifest().plan(tmp_path)
    print(f"{len(plan.rows)} rows planned in {perf_counter() - start:.1f} s")
    assert len(plan.rows) == 100_000
    assert plan.rows[99_999].id == "s99999"
    assert plan.read(99_999)["f"].tolist() == [99_999, np.float32(99_999 / 7)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "id,photo\n1,a.png",
            {"modalities": ("foto",)},
            r"has no column 'foto'; it has: id, photo\. Did you mean 'photo'",
        ),
        ("id,photo\n1,a.png", {"label_column": "kind"}, "has no column 'kind'; it has: id, photo"),
        ("id,photo\n1,a.png", {"modalities": {"x": "g*"}}, r"has no column 'g\*'; it has: id, photo"),
        ("id,photo\n1,a.png", {}, r"none of the 1 images below .* can be read; the first: a\.png: missing file"),
        ("id,photo\n,a.png", {}, "the column 'id' is empty in row 1; every sample needs an id"),
        ("id,age\n1,3", {}, r"has no column that looks like a modality; it has: id, age\. Choose columns"),
        ("id,photo,photo\n1,a,b", {}, "has the column 'photo' twice; rename one"),
        ("id,photo\n1,a,b", {}, "line 2: 3 cells under 2 columns"),
        ("id,photo\n", {}, "has no rows"),
        ("id,word\n1,x\n2,y", {"modalities": {"w:table": "word"}}, r"modality 'w': 'word' is 'x', which is no finite"),
    ],
)
def test_mistakes_in_manifests(tmp_path: Path, text: str, options: dict[str, object], message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(MultiviewError, match=message):
        Manifest(**options).plan(tmp_path)  # type: ignore[arg-type]


def test_files_inside_a_table_are_not_read(animals: Path) -> None:
    picture = {"bytes": (animals / "bilder" / "b.png").read_bytes(), "path": "b.png"}
    path = write(animals, "parquet", [{"image": picture, "f1": 1.0, "f2": 2.0}])
    with pytest.raises(
        MultiviewError,
        match="the column 'image' holds files or objects inside the table, which this source",
    ):
        Manifest().plan(path)
    assert Manifest(modalities={"f": "f*"}).plan(path).read(0)["f"].tolist() == [1, 2]


def test_tables_that_cannot_be_read(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.jsonl").write_text('{"photo": "a.png"}\n[1]\n')
    with pytest.raises(MultiviewError, match=r"m\.jsonl, line 2 is not a JSON object; write one \{\.\.\.\} per line"):
        Manifest().plan(tmp_path / "m.jsonl")
    (tmp_path / "m.jsonl").write_text('{"photo": "a.png"}\n{"photo"')
    with pytest.raises(MultiviewError, match=r"m\.jsonl, line 2: .*delimiter"):
        Manifest().plan(tmp_path / "m.jsonl")
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(MultiviewError, match=r"m\.xlsx is no table that can be read; give \.csv"):
        Manifest().plan(tmp_path / "m.xlsx")
    with pytest.raises(
        MultiviewError, match=r"should hold one manifest .*, but it holds: none\. Give the path of the file"
    ):
        Manifest().plan(animals)
    path = write(animals, "parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MultiviewError, match=r"manifest\.parquet cannot be read: .*Is it truncated\?"):
        Manifest().plan(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MultiviewError, match=r"needs pyarrow; install it with `pip install 'multiview-cmc\[parquet\]'`"
    ):
        Manifest().plan(path)
    with pytest.raises(MultiviewError, match="text_bytes is 0; give 1 or more"):
        Manifest(text_bytes=0)


def test_files_that_link_all_samples_lead_to_a_split_by_id_and_a_note(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number}.png", noise(number))
    rows = [f"s{number},{number}.png,./{number + 1}.png" for number in range(19)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,one,two", *rows]))
    plan = Manifest().plan(tmp_path)
    assert [row.split for row in plan.rows] == [
        splits.split_by_hash(f"s{number}", (70.0, 10.0, 20.0)) for number in range(19)
    ]
    assert any("link 19 of 19 samples" in note for note in plan.notes)


@pytest.mark.parametrize("name", ["../bilder/b.png", "{root}/bilder/b.png", "bilder/b.png"])
def test_the_folder_of_the_files_can_be_named(animals: Path, tmp_path: Path, name: str) -> None:
    (animals / "lists").mkdir()
    given = name.format(root=animals)
    path = write(animals / "lists", "csv", [{"id": 1, "photo": f'"{given}"'}])
    plan = Manifest(root=str(animals)).plan(path)
    assert np.array_equal(plan.read(0)["photo"], noise(1))
    with pytest.raises(MultiviewError, match=r"is outside the folder|missing file"):
        Manifest().plan(path)
    save(tmp_path / "secret.png", noise(1))
    outside = write(animals / "lists", "csv", [{"id": 1, "photo": "../../secret.png"}], "outside")
    with pytest.raises(MultiviewError, match=r"row 1: '\.\./\.\./secret\.png' leads out of"):
        Manifest(root=str(animals)).plan(outside)


@pytest.mark.parametrize("name", ["category", "class_name", "labels"])
def test_columns_of_class_names_are_used_and_noted(animals: Path, name: str) -> None:
    plan = Manifest().plan(write(animals, "csv", [{"id": 1, "photo": "bilder/b.png", name: "lion", "sound": "a.m4a"}]))
    assert [row.label for row in plan.rows] == ["lion"]
    assert f"the classes come from the column '{name}'; choose another with --label_column." in plan.notes
    assert any("the column 'sound' is called like a modality, but its cells, such as 'a.m4a'" in n for n in plan.notes)


@pytest.mark.parametrize("names", [("class_1", "class_2"), ("label1", "label2", "label3"), ("target_0", "target_1")])
def test_numbered_columns_of_labels_are_no_table(animals: Path, names: tuple[str, ...]) -> None:
    rows = [{"id": 1, "photo": "bilder/b.png", **dict.fromkeys(names, 1)}]
    plan = Manifest().plan(write(animals, "csv", rows))
    assert [each.name for each in plan.modalities] == ["photo"]
    assert any(note.startswith("skipped the columns") and names[0] in note for note in plan.notes)


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [3, 4, 6, 8])
@pytest.mark.parametrize("columns", [("left", "right"), ("visible", "thermal", "ultraviolet")])
def test_images_of_a_row_with_different_orientations_are_noted(
    orientation: int, columns: tuple[str, ...], tmp_path: Path
) -> None:
    lines = [",".join(["id", *columns])]
    for row in range(4):
        lines.append(",".join([f"{row}", *(f"{name}/{row}.jpg" for name in columns)]))
        for name in columns:
            save(tmp_path / name / f"{row}.jpg", noise(row, 8, 12))
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    assert not [note for note in Manifest().plan(tmp_path).notes if "orientation" in note]
    turned(tmp_path / columns[1] / "2.jpg", orientation)
    plan = Manifest().plan(tmp_path)
    (note,) = [note for note in plan.notes if "orientation" in note]
    assert note.startswith("1 of 4 rows have images with different EXIF orientations (row 3: ")
    assert f"{columns[1]} {orientation}" in note
    assert f"{columns[0]} 1" in note
    assert len(plan.read(2)) == len(columns), "each image is upright by itself"
