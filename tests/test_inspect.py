"""What `multiview inspect` prints and draws."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image, ImageFont

from multiview.data.inspect import lettering, pictures
from multiview.data.inspect.contact_sheet import CELL, GAP, LEFT, TOP, contact_sheet, render_view
from multiview.data.inspect.inspection import inspect_store
from multiview.data.inspect.summary import summarise
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.view import Channels, Crop, View

MODALITIES = (
    Modality(name="image", kind="image", dtype="uint8", shape=(16, 32, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(16, 32), unit="m"),
    Modality(name="normal", kind="normal", dtype="float16", shape=(16, 32, 3), unit="unit vector"),
    Modality(name="mask", kind="mask", dtype="uint8", shape=(16, 32), unit="identity"),
    Modality(name="audio", kind="audio", dtype="int16", shape=(400, 2), unit="full scale", rate=8000),
    Modality(name="table", kind="table", dtype="float32", shape=(6,), unit="none"),
)


def sample(number: int) -> dict[str, np.ndarray]:
    if number == 5:
        raise BadSample("5.png: broken")
    depth = np.full((16, 32), 1.0 + number, "float32")
    depth[:, :8] = 0
    sound = np.sin(np.arange(800) / 9).reshape(400, 2) * 9000
    found = {
        "image": np.full((16, 32, 3), (255, 0, 0), "uint8"),
        "depth": depth,
        "normal": np.full((16, 32, 3), (0, 0, 1), "float16"),
        "mask": (depth > 0).astype("uint8"),
        "audio": sound.astype("int16"),
        "table": np.arange(6, dtype="float32"),
    }
    if number == 0:
        del found["depth"]
    return found


@dataclass(frozen=True)
class All:
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [
            Row(f"{number}", label="ab"[number % 2] if number else None, split="train", factors={"size": number / 2})
            for number in range(9)
        ]
        return Plan(rows, MODALITIES, sample)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("inspect") / "store"
    preprocess(All(), None, out, max_bad=1)
    return Store.open(out)


def test_summary(store: Store) -> None:
    said = dict(summarise(store))
    assert said["samples"] == "8, 1 rejected (rejects.jsonl)"
    assert said["splits"] == "train 8"
    assert said["classes"] == "2: a 4, b 3, 1 unlabelled"
    assert said["depth"] == "depth, float32 16x32, m; 2 to 9, mean 5.429 ± 2.44 (train); 1 sample lacks it"
    assert said["mask"].endswith("; 0 to 1 (train)")  # a mean of identities means nothing
    assert "audio, int16 400x2, full scale, 8000 Hz" in said["audio"]
    assert said["factors"] == "1: size 0 to 4"
    assert "all" in said["made from"]


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_contact_sheet_has_a_cell_for_everything(store: Store, tmp_path: Path) -> None:
    views = {
        "grey": View(modality="image", channels=Channels("grey", 1, "sRGB", 0, 1), crop=Crop(), mean=(0.5,), std=(0.5,))
    }
    half = np.full((1, 16, 32), 0.5)
    path = contact_sheet(store, tmp_path / "deep" / "sheet.png", views, lambda *_: half, n=4)
    sheet = opened(path)
    assert sheet.shape == (TOP + 4 * (CELL + GAP), LEFT + 7 * (CELL + GAP), 3)

    def centre(row: int, column: int) -> list[int]:
        return sheet[TOP + row * (CELL + GAP) + CELL // 2, LEFT + column * (CELL + GAP) + CELL // 2].tolist()

    assert centre(0, 0) == [255, 0, 0]
    assert centre(0, 1) == [pictures.ABSENT] * 3  # the first sample has no depth
    assert centre(3, 1) == [253, 231, 37]  # the last one is the farthest
    assert centre(2, 2) == [128, 128, 255]  # towards the viewer
    assert centre(1, 6) == [128, 128, 128]
    for column in range(7):
        start = LEFT + column * (CELL + GAP)
        assert (sheet[:TOP, start : start + CELL] < 100).any(), "a column without a title"


def test_inspect_store_draws_installed_views(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = inspect_store(store.path, tmp_path / "sheet.png", samples=2, views=["L", "ab"])
    assert opened(path).shape[1] == LEFT + (len(MODALITIES) + 2) * (CELL + GAP)
    assert "8, 1 rejected" in capsys.readouterr().out
    assert opened(inspect_store(store.path, tmp_path / "all.png", samples=1)).shape[1] > LEFT + 8 * (CELL + GAP)
    with pytest.raises(MultiviewError, match=r"'Lb' is not a view"):
        inspect_store(store.path, views=["Lb"])
    with pytest.raises(MultiviewError, match="cannot be written"):
        inspect_store(store.path, store.path / "manifest.json" / "sheet.png", views=[])


def test_a_view_whose_modality_is_not_there(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Only:
        needs_input: ClassVar[bool] = False

        def plan(self, root: Path | None) -> Plan:
            return Plan([Row("0")], MODALITIES[:1], lambda number: {"image": sample(0)["image"]})

    preprocess(Only(), None, tmp_path / "s")
    with pytest.raises(MultiviewError, match=r"view 'depth' reads 'depth', which .* does not hold; it holds image"):
        inspect_store(tmp_path / "s", views=["depth"])


def test_rendered_planes_are_in_the_views_unit() -> None:
    from multiview.views import lab

    planes = render_view(lab.lightness(Crop()), MODALITIES[0], np.full((4, 4, 3), 255, "uint8"))
    assert planes.shape == (1, 4, 4)
    np.testing.assert_allclose(planes, 100, atol=1e-3)
    assert render_view(lab.chroma(Crop()), MODALITIES[0], np.full((4, 4, 3), 255, "uint8")).shape == (2, 4, 4)


def test_chroma_looks_like_its_colours() -> None:
    for planes, strongest in [((1, 1), 0), ((-1, 1), 1), ((0, -1), 2)]:  # red, green, blue
        pixel = pictures.of_planes(np.array(planes, "float64").reshape(2, 1, 1), -1, 1)[0, 0]
        assert pixel.argmax() == strongest


def test_identities_differ_in_colour() -> None:
    colours = pictures.of_identities(np.arange(13).reshape(1, 13))[0]
    assert colours[0].tolist() == [255, 255, 255]
    assert len(np.unique(colours, axis=0)) == 13


def test_a_waveform_spans_its_samples() -> None:
    sound = np.concatenate([np.zeros(100), np.tile([1.0, -1.0], 50)])
    dark = pictures.waveform(sound, height=21, width=10).mean(axis=-1) < 255
    assert dark[:, 7].all()
    assert dark[:, 2].sum() <= 3
    assert dark[10, 2]
    assert pictures.waveform(np.zeros(0)).shape == (64, 128, 3)


def test_characters_that_no_font_has_are_written_as_their_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    own = lettering.choose_font("plain", 14)
    assert own == ("plain", lettering.choose_font("x", 14)[1])
    assert lettering.choose_font("a…", 14) == ("a…", own[1])
    monkeypatch.setattr(lettering, "FONTS", ())
    lettering._all_fonts.cache_clear()
    assert lettering.choose_font("猫 cat", 14) == (r"\u732b cat", own[1])
    assert lettering.choose_font("c\u0327a va", 14)[0] == r"\xe7a va"
    lettering._all_fonts.cache_clear()


def test_the_font_that_lacks_the_fewest_characters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    default, there = lettering.choose_font("x", 14)[1], ImageFont.load_default(20)

    def truetype(name: str, size: int) -> object:
        if name != "second":
            raise OSError(f"cannot open {name} in {size}")
        return there

    monkeypatch.setattr("PIL.ImageFont.truetype", truetype)
    monkeypatch.setattr(lettering, "FONTS", ("first", "second"))
    monkeypatch.setattr(
        lettering, "_has", lambda font, character: character.isascii() or (font is there) == (character == "ç")
    )
    lettering._all_fonts.cache_clear()
    assert lettering.choose_font("ça", 14) == ("ça", there)
    assert lettering.choose_font("éè", 14) == ("éè", default)
    assert lettering.choose_font("çéè", 14) == (r"\xe7éè", default)
    lettering._all_fonts.cache_clear()


def test_views_with_options_are_drawn_in_the_range_of_what_they_take(store: Store, tmp_path: Path) -> None:
    names = ["table:columns=6", "table:columns=[5, 0]", "canny:low=0.05:high=0.3", "rgb:modality=image"]
    sheet = opened(inspect_store(store.path, tmp_path / "sheet.png", samples=1, views=names))
    assert sheet.shape[1] == LEFT + (len(MODALITIES) + 4) * (CELL + GAP)
    cells = [sheet[TOP:, LEFT + place * (CELL + GAP) :][:CELL, :CELL] for place in (5, 6, 7, 9)]
    assert (cells[0] == cells[1]).all(), "all columns, as the store has them, drawn alike"
    high, low = cells[2][CELL // 2, [CELL // 2 - 1, CELL // 2]].tolist()
    assert (high, low) == ([40, 80, 140], [255, 255, 255])
    assert cells[3][CELL // 2, CELL // 2].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("table", r"does not know how many columns .*Options follow the name: --views '\[\"table:OPTION=VALUE\"\]'"),
        ("table:6", "'table:6' is not a view with options; write NAME:OPTION=VALUE, such as bands:bands=8"),
        ("table:columns=7", "view 'table' reads 7 channels of 'table', which has 6"),
        ("table:columns=[6]", r"view 'table' reads the channels \(6,\) of 'table', which has 6, counted from 0"),
        ("table:columns=all", "the view 'table': columns is 'all'; give a number, or a tuple of numbers from 0"),
        ("semantic:classes=[0, x]", r"the view 'semantic': classes is \(0, 'x'\); give a number, or a tuple"),
        ("canny:low=little", "'canny:low=little' has an option of the wrong kind: "),
        ("table:columns=-1", "the view 'table': columns is -1; give a number"),
        ("table:column=6", "'column' is not an option of the view 'table'.*Did you mean 'columns'"),
    ],
)
def test_options_that_do_not_fit_a_view(store: Store, view: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        inspect_store(store.path, views=[view])


@pytest.mark.parametrize("times", [1, 2, 40, 128, 5000])
def test_curves_are_lines_without_gaps(times: int) -> None:
    values = np.sin(np.linspace(0, 6, times))[None] + np.random.default_rng(0).normal(0, 0.3, (1, times))
    inked = (pictures.curves(values, -3, 3) != pictures.GROUND).any(axis=-1)
    assert inked.any(axis=0).all()
    for left, right in pairwise(np.flatnonzero(column) for column in inked.T):
        assert left[0] <= right[-1] + 1
        assert right[0] <= left[-1] + 1
        assert len(left) == left[-1] - left[0] + 1


def test_curves_reach_the_highest_value_of_a_long_series() -> None:
    values = np.zeros((1, 10_000))
    values[0, 5_001] = 1.0
    inked = (pictures.curves(values, -1, 1) != pictures.GROUND).any(axis=-1)
    assert inked[0].sum() in (1, 2)
