"""Lists without brackets, and null where an option takes none."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import yaml

from multiview.commands.stores import Inspect
from multiview.config import Optimizer, Train
from multiview.errors import MultiviewError
from multiview.options import parse
from multiview.recipes.cmc_lab import CmcLab
from multiview.recipes.cmc_rgbd import CmcRgbd

NULLABLE = {
    "cache_size",
    "group",
    "mix",
    "out",
    "target",
    "weights",
    "train.epochs",
    "train.steps",
    "train.clip",
    "train.micro_batch",
    "train.optimizer.per",
}


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Options that take lists."""

    names: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    shares: tuple[float, float] = (0.0, 1.0)
    rest: tuple[str, ...] | None = None


@pytest.mark.parametrize(
    "words",
    [
        ["--views", "L,ab"],
        ["--views", "L, ab"],
        ["--views=L,ab"],
        ["--views", "L", "ab"],
        ["--views", "(L, ab)"],
        ["--views", "'L','ab'"],
        ["--views", "[L, ab]"],
        ["--views", '["L", "ab"]'],
        ["--views", "L", "ab", "--epochs", "3"],
    ],
)
def test_a_list_needs_no_brackets_and_no_quotes(words: list[str]) -> None:
    assert parse(CmcRgbd, words, prog="it").views == ("L", "ab")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--names", "one"], {"names": ("one",)}),
        (["--names", "no,null,1"], {"names": ("no", "null", "1")}),
        (["--names", "[no,yes]"], None),
        (["--places", "1,2"], {"places": (1, 2)}),
        (["--places", "1", "2"], {"places": (1, 2)}),
        (["--shares", "0.5, 1"], {"shares": (0.5, 1.0)}),
        (["--rest", "a,b"], {"rest": ("a", "b")}),
        (["--rest", "null"], {"rest": None}),
    ],
)
def test_lists_of_every_type(words: list[str], expected: dict[str, object] | None) -> None:
    if expected is None:
        with pytest.raises(MultiviewError):
            parse(Lists, words, prog="it")
    else:
        assert parse(Lists, words, prog="it") == Lists(**expected)  # type: ignore[arg-type]


def test_commas_in_brackets_belong_to_an_item() -> None:
    words = ["store", "--views", "L,table:columns=[0,3],bands:bands=8"]
    options = parse(Inspect, words, prog="multiview inspect", words="STORE [options]")
    assert options.views == ("L", "table:columns=[0,3]", "bands:bands=8")
    assert options.store == "store"


def test_the_word_after_a_list_may_be_a_folder() -> None:
    options = parse(Inspect, ["--views", "L", "store"], prog="multiview inspect", words="STORE [options]")
    assert (options.views, options.store) == (("L",), "store")


def _nested(name: str, value: object) -> object:
    first, _, rest = name.partition(".")
    return {first: _nested(rest, value) if rest else value}


ALL = [field.name for field in fields(CmcLab)] + [f"train.{field.name}" for field in fields(Train)]
ALL += [f"train.optimizer.{field.name}" for field in fields(Optimizer)]


@pytest.mark.parametrize("name", ALL)
def test_null_in_a_file_is_taken_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(_nested(name, None)))
    if name in NULLABLE:
        parse(CmcLab, ["--config", str(config)], prog="it")
    else:
        with pytest.raises(MultiviewError, match=rf"^{name} is null, but (takes|has) .*leave {name} out"):
            parse(CmcLab, ["--config", str(config)], prog="it")


@pytest.mark.parametrize("text", ["train: 5", "train: []", "train: {optimizer: 3}", "objective: 5", "train: word"])
def test_a_value_in_place_of_options_is_refused(text: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(text)
    with pytest.raises(MultiviewError, match=r"has options of its own|a YAML file of its options"):
        parse(CmcLab, ["--config", str(config)], prog="it")


@pytest.mark.parametrize("text", ["", "null", "[1]", "5"])
def test_a_file_without_options_is_refused(text: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(text)
    with pytest.raises(MultiviewError, match="instead of options; write lines such as"):
        parse(CmcLab, ["--config", str(config)], prog="it")
