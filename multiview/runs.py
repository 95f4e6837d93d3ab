"""A run folder as plain values: config, environment, metrics, evaluation. Read without PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from multiview.errors import MultiviewError
from multiview.jsonlines import read_lines
from multiview.measure.files import EVALUATION, SEGMENTATION, rows_from_json
from multiview.measure.rows import Measure
from multiview.parsing import parsing
from multiview.train.checkpoint import is_whole
from multiview.train.runfolder import CHECKPOINTS, CONFIG, ENVIRONMENT, METRICS

NO_RUN = "Type the folder that training wrote: the one given with --out, or one under runs/."


def _runs_inside(folder: Path) -> str:
    """The sentence that names the runs in a folder that is no run itself."""
    inside = sorted(path.parent for path in folder.glob(f"*/{ENVIRONMENT}"))
    if not inside:
        return NO_RUN
    more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
    return f"It holds the runs {', '.join(map(str, inside[:3]))}{more}; type one of them, or {folder}/* for all."


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder holds.

    Args:
        folder: where it is.
        config: the options of the recipe, as in config.yaml.
        environment: versions, git commit, the recipe's origin, and the facts of the data.
        metrics: a record for each logged step: `step`, `epoch`, `loss`, and other numbers.
        evaluation: rows of kNN, linear probe and segmentation; None when nothing was evaluated.
    """

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    metrics: tuple[dict[str, float], ...]
    evaluation: tuple[Measure, ...] | None

    @property
    def health(self) -> dict[str, dict[str, float]]:
        """Edge or view -> measure -> latest value, of all metrics with a name like `std/view`."""
        latest: dict[str, dict[str, float]] = {}
        for record in self.metrics:
            for key, value in record.items():
                measure, slash, name = key.partition("/")
                if slash:
                    latest.setdefault(name, {})[measure] = value
        return latest

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Steps of the whole checkpoints, in rising order; hashes every file of each checkpoint."""
        named = {path.name.removeprefix("step-"): path for path in (self.folder / CHECKPOINTS).glob("step-*")}
        return tuple(sorted(int(step) for step, path in named.items() if step.isdigit() and is_whole(path)))


def read(folder: str | Path) -> Run:
    """The run in a folder; raises MultiviewError for a folder that is no run, or a damaged file."""
    folder = Path(folder)
    return Run(
        folder=folder,
        environment=environment(folder),
        config=config(folder),
        metrics=tuple(read_lines(folder / METRICS, "remove the line that is no JSON object.")),
        evaluation=evaluation(folder),
    )


def environment(folder: Path) -> dict[str, Any]:
    """The facts of environment.json; raises MultiviewError when the folder is no run."""
    with parsing(f"{folder} is no run folder: its {ENVIRONMENT}", _runs_inside(folder)):
        facts = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
        recipe, data = facts.get("recipe"), facts.get("data", {})
        texts = [*(recipe or {}).values(), *(data[name] for name in ("spec", "path") if name in data)]
        known = recipe is None or "name" in recipe or {"file", "class"} <= recipe.keys()
        if not known or not all(isinstance(text, str) for text in texts):
            raise TypeError("its recipe or its data are no texts")
    return facts


def config(folder: Path) -> dict[str, Any]:
    """The options in config.yaml; raises MultiviewError when the folder is no run."""
    with parsing(f"{folder} is no run folder: its {CONFIG}", _runs_inside(folder), yaml.YAMLError):
        options = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")) or {}
        if not isinstance(options, dict):
            raise TypeError("it holds no options")
    return options


def evaluation(folder: Path) -> tuple[Measure, ...] | None:
    """The rows of evaluation.json and segmentation.json; None when the folder has neither."""
    files = [folder / name for name in (EVALUATION, SEGMENTATION) if (folder / name).is_file()]
    rows: list[Measure] = []
    for file in files:
        try:
            rows += rows_from_json(file.read_text(encoding="utf-8"))
        except (MultiviewError, UnicodeDecodeError) as error:
            raise MultiviewError(f"{file}: {error}") from error
    return tuple(rows) if files else None
