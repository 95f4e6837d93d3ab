"""Class folders of pictures: classes, splits, tables, names, links."""

import io
import os
import pickle
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from pictures import noise, rows, save, write_list, write_pets
from PIL import Image

from multiview.cli import run
from multiview.data.columns.picture_columns import encoded_column
from multiview.data.files import images
from multiview.data.files.encoded import LazyImage, decoded
from multiview.data.listing.filetree import find_files, ids_of, without_ending
from multiview.data.listing.splits import parse_shares, split_by_hash
from multiview.data.source import BadSample
from multiview.data.sources.folder import Folder
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_pets(tmp_path)


def test_classes_are_the_first_folders(pets: Path) -> None:
    (pets / "cats" / "notes.txt").write_text("stray")
    (pets / "cats" / ".hidden.png").write_text("stray")
    (pets / ".thumbs").mkdir()
    save(pets / ".thumbs" / "x.png", noise(99))
    save(pets / "stray.png", noise(98))
    plan = Folder().plan(pets)
    found = rows(plan)
    assert len(found) == 13
    assert found["cats/2024 é/n 1"][0] == "cats"
    assert found["Hunde, groß/2024 é/n 0"][0] == "Hunde, groß"
    assert found["stray"][0] is None
    assert plan.modalities[0].shape == (6, 6, 3)
    assert any("1 .txt" in note for note in plan.notes)
    assert any("1 of 13 images are in no class folder; they have no label" in note for note in plan.notes)
    assert [row.id for row in plan.rows] == sorted(found)
    reader = pickle.loads(pickle.dumps(plan.read))
    assert np.array_equal(reader([row.id for row in plan.rows].index("cats/2024 é/n 1"))["image"], noise(1))


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.jpg", noise(number))
    assert {label for label, _ in rows(Folder().plan(tmp_path)).values()} == {None}


@pytest.mark.parametrize(("name", "split"), [("val", "val"), ("valid", "val"), ("Validation", "val"), ("test", "test")])
def test_folders_named_as_splits(tmp_path: Path, name: str, split: str) -> None:
    save(tmp_path / "train" / "a" / "1.png", noise(1))
    save(tmp_path / name / "b" / "deep" / "2.png", noise(2))
    save(tmp_path / name / "3.png", noise(3))
    found = rows(Folder().plan(tmp_path))
    assert found == {"train/a/1": ("a", "train"), f"{name}/b/deep/2": ("b", split), f"{name}/3": (None, split)}


def test_a_class_called_train_beside_others_is_a_class(tmp_path: Path) -> None:
    save(tmp_path / "train" / "1.png", noise(1))
    save(tmp_path / "plane" / "2.png", noise(2))
    assert {label for label, _ in rows(Folder().plan(tmp_path)).values()} == {"train", "plane"}


def test_splits_are_stable(pets: Path) -> None:
    before = rows(Folder().plan(pets))
    save(pets / "birds" / "new.png", noise(50))
    after = rows(Folder().plan(pets))
    assert {name: after[name] for name in before} == before
    # What these ids got when this was written: a store made then and one made now agree.
    assert "".join(split_by_hash(f"sample {number}", (70, 10, 20))[1] for number in range(16)) == "errrrreerrrerrrr"


def test_shares_of_splits() -> None:
    counts = Counter(split_by_hash(str(number), parse_shares("70/10/20")) for number in range(10_000))
    assert abs(counts["train"] - 7000) < 150
    assert abs(counts["val"] - 1000) < 100
    assert {split_by_hash(str(number), parse_shares("50/50")) for number in range(50)} == {"train", "test"}
    assert {split_by_hash(str(number), parse_shares("100")) for number in range(50)} == {"train"}
    for wrong in ("70/10", "a/b", "", "120/-20", "25/25/25/25", "nan"):
        with pytest.raises(MultiviewError, match="give percentages that make 100"):
            Folder(split=wrong)


def test_files_with_the_same_stem_keep_their_endings(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        save(tmp_path / name, noise(1))
    assert sorted(rows(Folder().plan(tmp_path))) == ["a.jpg", "a.png", "b"]
    assert ids_of(["a.jpg", "a.jpg.png", "a.png", "b.png"]) == ["a.jpg", "a.jpg.png", "a.png", "b"]


def test_images_of_different_sizes_get_one_size(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0, 40, 30))
    save(tmp_path / "b.png", noise(1, 20, 50))
    save(tmp_path / "c.png", noise(2, 300, 400))
    plan = Folder().plan(tmp_path)
    assert plan.modalities[0].shape == (30, 30, 3)  # the median shorter side
    assert any("image sizes differ (50x20 to 400x300): all become 30x30 by 'crop'" in note for note in plan.notes)
    assert all(plan.read(number)["image"].shape == (30, 30, 3) for number in range(3))
    assert Folder(size=9, resize="pad").plan(tmp_path).modalities[0].shape == (9, 9, 3)
    large = Folder().plan(save(tmp_path / "large" / "x.png", noise(0, 300, 500)).parent)
    assert large.modalities[0].shape == (300, 500, 3)  # one size is kept
    with pytest.raises(MultiviewError, match=r"'crp' is not a resize policy.*Did you mean 'crop'"):
        Folder(resize="crp")  # type: ignore[arg-type]
    with pytest.raises(MultiviewError, match="size is 0"):
        Folder(size=0)


def test_images_of_another_size_can_be_rejected(pets: Path) -> None:
    plan, strict = Folder().plan(pets), Folder(resize="keep").plan(pets)
    save(pets / "cats" / "2024 é" / "n 1.PNG", noise(1, 7, 5))
    number = [row.id for row in plan.rows].index("cats/2024 é/n 1")
    assert plan.read(number)["image"].shape == (6, 6, 3)
    with pytest.raises(BadSample, match=r"n 1\.PNG: is 5x7, the others are 6x6"):
        strict.read(number)
    with pytest.raises(MultiviewError, match=r"image sizes differ \(5x7 to 6x6\) and --resize keep takes one size"):
        Folder(resize="keep").plan(pets)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"no image below .*looked for \.avif, \.bmp, .*found no file at all"):
        Folder().plan(tmp_path)
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.csv").touch()
    (tmp_path / "c.csv").touch()
    with pytest.raises(MultiviewError, match=r"found 3 files of other types \(2 \.csv, 1 \.txt\)"):
        Folder().plan(tmp_path)
    with pytest.raises(MultiviewError, match="is a file"):
        Folder().plan(tmp_path / "a.txt")
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(MultiviewError, match=r"none of the 1 images .* can be read; the first: x\.png: no image"):
        Folder().plan(tmp_path)


def test_damaged_images_are_skipped_and_listed(pets: Path, tmp_path: Path) -> None:
    victim = pets / "cats" / "2024 é" / "n 3.PNG"
    victim.write_bytes(victim.read_bytes()[:60])
    report = preprocess(Folder(), pets, tmp_path / "out", max_bad=1)
    assert (report.written, report.rejected) == (11, 1)
    listed = (tmp_path / "out" / "rejects.jsonl").read_text(encoding="utf-8")
    assert "cats/2024 é/n 3.PNG: " in listed
    with pytest.raises(MultiviewError, match=r"1 of 12 samples cannot be read.*\n  cats/2024 é/n 3\.PNG: "):
        preprocess(Folder(), pets, tmp_path / "strict", max_bad=0)


def test_circular_links_end(pets: Path) -> None:
    (pets / "cats" / "again").symlink_to(pets)
    (pets / "linked").symlink_to(pets / "cats" / "2024 é")
    found = find_files(pets).files
    assert len(found) == 18
    assert sum(path.startswith("linked/") for path in found) == 6


def test_file_names_that_are_not_unicode(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png"))
    report = preprocess(Folder(), tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    assert Store.open(report.out).ids == ["b\\xff"]


@pytest.fixture
def listed(pets: Path) -> Path:
    return write_list(pets)


def test_a_csv_file_lists_the_samples(listed: Path) -> None:
    plan = Folder(csv="labels.csv", label_column="kind").plan(listed)
    assert rows(plan)["cats/2024 é/n 7"] == ("k1", "val")
    assert len(plan.rows) == 5
    assert any("7 images are left out: " in note for note in plan.notes)
    by_folder = Folder(csv=str(listed / "labels.csv"), split_column=None).plan(listed)
    assert {label for label, _ in rows(by_folder).values()} == {"cats"}


def test_a_listed_file_that_is_missing_is_rejected(listed: Path, tmp_path: Path) -> None:
    with (listed / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("\n../../../etc/passwd,k,train\ncats/gone,k,train\n")
    report = preprocess(Folder(csv="labels.csv"), listed, tmp_path / "out", max_bad=2)
    assert report.rejected == 2
    assert "cats/gone: missing file" in (tmp_path / "out" / "rejects.jsonl").read_text()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "id,splt\na,train",
            {},
            r"has no column 'split'; it has: id, splt. Did you mean 'splt'\? Name yours with --spl",
        ),
        ("who,split\na,train", {}, "has no column 'id'; it has: who, split. Name yours with --id_column"),
        ("id,split\na,train", {"label_column": "class"}, "has no column 'class'; it has: id, split"),
        ("id,split\na,train\na,test", {}, "line 3: the id 'a' was there before"),
        ("id,split\n,train", {}, "line 2: the column 'id' is empty"),
        ("id,split\na,train,x", {}, "line 2: 3 cells under 2 columns"),
        ("id,split", {}, "a header but no rows"),
        ("", {}, "has no column 'id'; it has: none"),
        ("id,split\nzzz,train", {}, "no id of .* is an image below"),
        (b"id,split\n\xff\xfe,train", {}, "is not UTF-8"),
        ('id,split\n"a,train', {}, "line 2"),
    ],
)
def test_mistakes_in_csv_files(pets: Path, text: str | bytes, options: dict[str, str], message: str) -> None:
    (pets / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MultiviewError, match=message):
        Folder(csv="t.csv", **options).plan(pets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("filename", ["cats/tom.jpg", "cats/kit.jpg"]),
        ("name", ["cats/tom", "cats/kit"]),
        ("file", ["cats/kit", "cats/tom.jpg"]),
    ],
)
def test_a_table_may_call_its_ids_otherwise(column: str, cells: list[str], tmp_path: Path) -> None:
    for cell in cells:
        save(tmp_path / "cats" / f"{Path(cell).stem}.jpg", noise(8, 8))
    lines = [f"kind,{column},split", *(f"tabby,{cell},train" for cell in cells)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    plan = Folder().plan(tmp_path)
    assert [row.id for row in plan.rows] == ["cats/kit", "cats/tom"]
    assert any(f"The ids are its column '{column}'." in note for note in plan.notes)


def test_a_column_of_files_comes_before_a_column_of_names(tmp_path: Path) -> None:
    save(tmp_path / "cats" / "tom.jpg", noise(8, 8))
    (tmp_path / "labels.csv").write_text("name,file,split\nThomas,cats/tom.jpg,train")
    assert [row.id for row in Folder().plan(tmp_path).rows] == ["cats/tom"]


def test_a_column_that_repeats_holds_no_ids(tmp_path: Path) -> None:
    save(tmp_path / "cats" / "tom.jpg", noise(8, 8))
    (tmp_path / "labels.csv").write_text("name,split\nme,train\nme,test")
    with pytest.raises(MultiviewError, match="has no column 'id'; it has: name, split"):
        Folder(csv="labels.csv").plan(tmp_path)


def test_a_missing_csv_file(listed: Path) -> None:
    with pytest.raises(MultiviewError, match=r"no CSV file label\.csv.*holds labels\.csv\. Did you mean 'labels\.csv'"):
        Folder(csv="label.csv").plan(listed)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(listed: Path, delimiter: str) -> None:
    text = (listed / "labels.csv").read_text(encoding="utf-8-sig")
    (listed / "labels.csv").write_text(text.replace(",", delimiter))
    assert len(Folder(csv="labels.csv").plan(listed).rows) == 5


# Classes


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("caf\u00e9", "cafe\u0301"):
        save(tmp_path / name / "1.png", noise(1))
    message = r"two classes have one name: 'cafe\\u0301' and 'caf\\xe9' look the same"
    with pytest.raises(MultiviewError, match=message):
        Folder().plan(tmp_path)
    (tmp_path / "labels.csv").write_text("id,class\ncaf\u00e9/1,coffee\n", encoding="utf-8")
    assert {row.label for row in Folder(csv="labels.csv", split_column=None).plan(tmp_path).rows} == {"coffee"}


def test_classes_that_differ_in_spaces_are_refused(tmp_path: Path) -> None:
    for name in ("big cat", "big cat "):
        save(tmp_path / name / "1.png", noise(1))
    with pytest.raises(MultiviewError, match="'big cat' and 'big cat ' look the same, but differ in spaces"):
        Folder().plan(tmp_path)


def test_classes_that_differ_in_capitals_are_noted(tmp_path: Path) -> None:
    for name in ("a", "A", "b"):
        save(tmp_path / "train" / name / "1.png", noise(1))
    plan = Folder().plan(tmp_path)
    assert {row.label for row in plan.rows} == {"a", "A", "b"}
    assert "the classes A and a differ only in capitals and stay apart; rename one if they are the same." in plan.notes


def test_an_empty_class_is_noted(pets: Path) -> None:
    (pets / "birds").mkdir()
    (pets / "fish" / "more").mkdir(parents=True)
    (pets / "fish" / "notes.txt").touch()
    plan = Folder().plan(pets)
    assert {row.label for row in plan.rows} == {"cats", "Hunde, groß"}
    assert "2 class folders without images left out: 'birds', 'fish'." in plan.notes


# Links, and files as they are


def test_links_can_be_skipped(pets: Path) -> None:
    (pets / "linked").symlink_to(pets / "cats")
    (pets / "cats" / "again.png").symlink_to(pets / "cats" / "2024 é" / "n 1.PNG")
    assert len(Folder().plan(pets).rows) == 12 + 6 + 1 + 1
    plan = Folder(links="skip").plan(pets)
    assert len(plan.rows) == 12
    assert "skipped 2 links." in plan.notes
    with pytest.raises(MultiviewError, match="links is 'no'; give follow or skip"):
        Folder(links="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(("form", "size"), [("png", 40), ("jpg", 50), ("webp", 45)])
def test_large_pictures_can_be_stored_encoded(
    form: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's limit is 1,000 pixels here. The limit of a store holds for its readers too."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    pixels = noise(0, size, size)
    save(tmp_path / "in" / "a" / f"1.{form}", pixels)
    save(tmp_path / "in" / "a" / f"2.{form}", pixels[:20, :20])
    report = preprocess(Folder(store="encoded"), tmp_path / "in", tmp_path / "usual", max_bad=1)
    assert (report.written, report.rejected) == (1, 1)
    assert "max_megapixels" not in (tmp_path / "usual" / "manifest.json").read_text().split('"options"')[0]
    preprocess(Folder(store="encoded", max_megapixels=0.01), tmp_path / "in", tmp_path / "large")
    store = Store.open(tmp_path / "large")
    assert store.read([0], "image")[0].shape == (size, size, 3)
    picture = store.read_for_crops(np.array([0]), "image")[0]
    assert picture.part((0, 0, size, size), 8)[0].shape[-1] == 3  # type: ignore[union-attr]
    assert picture.fault is None  # type: ignore[union-attr]
    assert run(["verify", str(tmp_path / "large")]) == 0


def test_an_encoded_bomb_is_refused_whatever_the_store_allows() -> None:
    bomb = io.BytesIO()
    Image.new("L", (20_000, 15_000)).save(bomb, "PNG")  # 900 MB as RGB
    modality = encoded_column("image", ["x.png"], 1e9).modality
    with pytest.raises(BadSample, match="decompression bomb"):
        decoded(modality, np.frombuffer(bomb.getvalue(), "uint8"), "x.png")
    with pytest.raises(BadSample, match="decompression bomb"):
        LazyImage(modality, np.frombuffer(bomb.getvalue(), "uint8"), "x.png")


def test_encoded_files_are_stored_unchanged(tmp_path: Path) -> None:
    files = [
        save(tmp_path / "in" / "a" / "1.jpg", noise(0, 40, 30), quality=90),
        save(tmp_path / "in" / "a" / "2.jpg", noise(1, 20, 50)),
        save(tmp_path / "in" / "b" / "3.jpg", noise(2, 9, 9)),
    ]
    files[2].write_bytes(files[2].read_bytes()[:-300])
    report = preprocess(Folder(store="encoded"), tmp_path / "in", tmp_path / "out", max_bad=1)
    assert (report.written, report.rejected) == (2, 1)
    store = Store.open(report.out)
    assert store.manifest.modalities[0].encoding == "jpeg"
    for picture, file in zip(store.read([0, 1], "image"), files, strict=False):
        assert np.array_equal(picture, images.rgb(file, "x"))
    with pytest.raises(MultiviewError, match=r"'encode' is not a way to store images; available: encoded, raw"):
        Folder(store="encode")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a/b.JPG", "a", "a.", ".hid", "x/.hid.png", "x..y", "a.b/c", "ü/é.Png", "a.tar.gz"])
def test_a_name_loses_the_ending_that_pathlib_names(name: str) -> None:
    assert without_ending(name) == PurePosixPath(name).with_suffix("").as_posix()
