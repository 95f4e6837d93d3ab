"""A word in the place of a command or of a recipe: the message holds the line to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiview import cli
from multiview.errors import MultiviewError
from multiview.plugins import installed


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "my photos", "runs/a", "runs/a/model"):
        Path(folder).mkdir(parents=True)
    for file in ("labels.csv", "own.py", "runs/a/environment.json", "runs/a/model/model.json"):
        Path(file).touch()


def _line(words: str | list[str]) -> str:
    """The line that the message tells to type."""
    with pytest.raises(MultiviewError) as error:
        cli.run(words.split() if isinstance(words, str) else words)
    return str(error.value).partition("type `")[2].removesuffix("`.")


@pytest.mark.parametrize("name", [each.name for each in installed("recipes") if each.name != "graph"])
def test_a_recipe_in_the_place_of_a_command(name: str) -> None:
    assert _line(f"{name} --data X --train.steps 3") == f"multiview train {name} --data X --train.steps 3"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("graph.yaml --data photos", "multiview train graph.yaml --data photos"),
        ("paper:cmc_imagenet", "multiview train paper:cmc_imagenet"),
        ("photos --plan", "multiview train auto --data photos --plan"),
        ("labels.csv", "multiview train auto --data labels.csv"),
        ("scenes:200", "multiview train auto --data scenes:200"),
        ("s3://bucket/photos", "multiview train auto --data s3://bucket/photos"),
        ("own.py --epochs 2", "accelerate launch own.py --epochs 2"),
        ("runs/a", "multiview report runs/a"),
        ("runs/a/model", "multiview embed runs/a/model INPUT OUT"),
        ("folder photos out", "multiview preprocess folder photos out"),
        ("view lab", "multiview check view lab"),
        ("--data photos", "multiview train auto --data photos"),
        ("--data photos simclr", "multiview train simclr --data photos"),
        ("--data photos study auto", "multiview study auto --data photos"),
        ("train runs/a", "multiview report runs/a"),
        ("train photos", "multiview train auto --data photos"),
        ("train labels.csv --plan", "multiview train auto --data labels.csv --plan"),
        ("train own.py --epochs 2", "accelerate launch own.py --epochs 2"),
        ("study photos --steps 3", "multiview study auto --data photos --steps 3"),
        ("train simclr photos", "multiview train simclr --data photos"),
        ("train auto scenes:30", "multiview train auto --data scenes:30"),
    ],
)
def test_what_stands_in_the_place_of_a_command_or_a_recipe(words: str, line: str) -> None:
    assert _line(words) == line


def test_a_name_with_a_space_is_quoted() -> None:
    assert _line(["my photos"]) == "multiview train auto --data 'my photos'"


def test_a_word_that_could_be_anything_keeps_the_list_of_commands() -> None:
    with pytest.raises(MultiviewError, match=r"'trane' is not a command .* Did you mean 'train'\?"):
        cli.run(["trane"])
