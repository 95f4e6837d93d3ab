"""A typed length of training replaces a usual one: steps replace epochs, and epochs steps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

STEPS, EPOCHS = "train.steps", "train.epochs"
LENGTHS = {STEPS: EPOCHS, EPOCHS: STEPS}
"""An option that says how long a run trains -> the other one."""


def with_typed_length(words: Sequence[str]) -> list[str]:
    """The words, with the usual epochs or steps switched off where the other was typed alone.

    `--train.steps 60` would otherwise end with the epochs of the recipe, if those are fewer steps.
    A file of --config counts where the words say nothing.
    """
    typed = _of_words(words) or _of_files(words)
    if len(typed) != 1:
        return [*words]
    (name,) = typed
    return [*words, f"--{LENGTHS[name]}=null"]


def _of_words(words: Sequence[str]) -> set[str]:
    """The options among the words that set a length; the last value of each counts."""
    found: dict[str, bool] = {}
    for word, following in pairwise([*words, ""]):
        if match := re.fullmatch(r"--(?:train\.)?(steps|epochs)(?:=(.*))?", word):
            found[f"train.{match[1]}"] = (following if match[2] is None else match[2]) not in ("null", "None")
    return {name for name, is_set in found.items() if is_set}


def _of_files(words: Sequence[str]) -> set[str]:
    given = [word.partition("=")[2] or following for word, following in pairwise([*words, ""]) if _is_config(word)]
    train: dict[str, Any] = {}
    for file in given:
        try:
            content = yaml.safe_load(Path(file).read_text("utf8"))
        except (OSError, ValueError, yaml.YAMLError):  # the parser of the options says what is wrong
            return set()
        part = content.get("train") if isinstance(content, Mapping) else None
        train |= part if isinstance(part, Mapping) else {}
    return {name for name in LENGTHS if train.get(name.partition(".")[2]) is not None}


def _is_config(word: str) -> bool:
    return word == "--config" or word.startswith("--config=")
