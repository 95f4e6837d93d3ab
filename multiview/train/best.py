"""The best checkpoint of a run by a measure of the validation split: `--keep best:MEASURE`.

It stands in the folder `best` of the run, beside the newest checkpoints, from which a run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from multiview.config import BEST_OF
from multiview.distributed import from_first, on_first
from multiview.errors import MultiviewError, unknown_name
from multiview.train import checkpoint
from multiview.train.runfolder import CHECKPOINTS, CONFIG, MALFORMED_YAML

if TYPE_CHECKING:
    from multiview.train.saving import Saver

FOLDER = "best"


def result_folder(run: Path) -> Path:
    """The folder whose newest checkpoint is the result of a run: the best one, or the newest."""
    try:
        keep = str(yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))["train"]["keep"])
    except MALFORMED_YAML:
        keep = ""
    best = run / FOLDER
    return best if keep.startswith(BEST_OF) and checkpoint.any_saved(best) else run / CHECKPOINTS


class Best:
    """Keeps the checkpoint with the highest value of a measure.

    A resumed run knows the best one of before. Measured again at the same step, an equal value
    changes nothing, so that the result does not depend on where a run was killed.

    Args:
        saver: writes the checkpoint.
        keep: the option, `best:MEASURE`.
        resumed: whether an earlier best checkpoint counts.
    """

    def __init__(self, saver: Saver, keep: str, *, resumed: bool) -> None:
        self.saver, self.measure = saver, keep.removeprefix(BEST_OF)
        self.folder = saver.out / FOLDER
        self.value = on_first(self._earlier) if resumed else None

    def see(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps the checkpoint of `step` if it is better. Every process must call it.

        values: what was measured at this step, the same in every process. Raises MultiviewError
        when the measure is not among them.
        """
        own = [value for name, value in values.items() if self.measure in (name, name.split("/")[0])]
        if not own:
            raise unknown_name(
                "measure of the validation split",
                self.measure,
                dict.fromkeys([*(name.split("/")[0] for name in values), *values]),
                "kNN needs labelled validation samples; --keep best:retrieval needs none.",
            )
        value = sum(own) / len(own)
        if on_first(lambda: self.value is None or value > self.value):
            self.value = value
            self.saver.save_best(self.folder, step, {"measure": self.measure, "value": value})

    def restore(self) -> tuple[int, float] | None:
        """Gives the model the best weights; returns their step and value, None when there are none.

        Every process must call it, at the end of the run.
        """
        found = on_first(self._load)
        from_first(list(self.saver.parts.model.state_dict().values()))
        return found

    def _load(self) -> tuple[int, float] | None:
        if not checkpoint.any_saved(self.folder):
            return None
        saved = checkpoint.newest(self.folder)
        self.saver.parts.model.load_state_dict(saved.tensors["model"])
        return saved.state["step"], saved.state["best"]["value"]

    def _earlier(self) -> float | None:
        """The value of the best checkpoint of before; None without one, or by another measure."""
        try:
            known = checkpoint.newest(self.folder).state["best"]
        except (MultiviewError, KeyError):
            return None
        return known["value"] if known["measure"] == self.measure else None
