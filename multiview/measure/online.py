"""kNN accuracy, or retrieval without labels, while training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.jsonlines import LineFile, read_lines
from multiview.measure.embeddings import Embedded, embed, share_buffers
from multiview.measure.knn import weighted_knn
from multiview.measure.labelled_splits import filled_splits, has_two_classes, labelled_positions
from multiview.measure.partners import Plan, plan
from multiview.measure.retrieval import Partners, ranks
from multiview.measure.untrained import untrained_model

if TYPE_CHECKING:
    from multiview.objectives.needs import Head
    from multiview.trained import Trained

TRAIN_SAMPLES, TEST_SAMPLES = 4000, 1000
MOST_PAIRS = 6
"""Pairs of views that are searched while training goes on."""
FALLEN = "below untrained"
"""The symptom in health.jsonl."""
NOISE = 0.03
"""How far a measure must fall below the untrained weights before that is said."""
EARLY = 0.2
"""Share of the run in which nothing is said: the first steps often cost a little."""


def online_knn(trained: Trained, device: torch.device) -> dict[str, float]:
    """`knn/VIEW` -> accuracy of every view on validation samples, with neighbours in train.

    Chooses up to 1000 labelled validation samples for each view, or test samples when no validation
    sample has a label, and 4000 labelled training samples. Empty when the data has no labels. Every
    process of a run must call it. Afterwards the model is in training mode.
    """
    share_buffers(trained.model)
    splits = [name for name in filled_splits(trained.store) if has_two_classes(trained.store, name)]
    held_out = next((name for name in ("val", "test") if name in splits), None)
    if "train" not in splits or held_out is None:
        return {}
    chosen = {
        split: labelled_positions(trained.store, split, trained.setup.views, most)
        for split, most in (("train", TRAIN_SAMPLES), (held_out, TEST_SAMPLES))
    }
    if not all(map(len, chosen.values())):
        return {}
    train, test = (_embedded(trained, split, positions, device) for split, positions in chosen.items())
    trained.model.train()
    labels = {view: (train.labels_of(view), test.labels_of(view)) for view in trained.setup.views}
    return {
        f"knn/{view}": weighted_knn(train.features[view], train_y, test.features[view], test_y)
        for view, (train_y, test_y) in labels.items()
        if (train_y >= 0).any() and (test_y >= 0).any()
    }


def _embedded(trained: Trained, split: str, positions: NDArray[np.int64], device: torch.device) -> Embedded:
    return embed(trained.store, split, trained.setup.views, trained.features, device, positions=positions)


def online_recall(trained: Trained, device: torch.device) -> dict[str, float]:
    """`recall/QUERY-GALLERY` -> R@1 between views of up to 1000 held-out samples; needs no labels.

    Pairs of pictures with one crop are left out: the place of the crop gives the partner away. At
    most six pairs are searched, each in one direction. Afterwards the model is in training mode.
    """
    found = plan(trained.setup, trained.store, filled_splits(trained.store))
    pairs = _searched(trained, found) if found else []
    if not found or not pairs:
        return {}
    positions = np.unique(np.concatenate([pair.positions for pair, _ in pairs]))
    held_out = _embedded(trained, found.split, positions, device)
    values = {}
    for pair, heads in pairs:
        at = np.searchsorted(positions, pair.positions)
        at = at[held_out.present[pair.query][at] & held_out.present[pair.gallery][at]]
        z = [
            _projected(trained, view, head, held_out.features[view][at], device)
            for view, head in zip((pair.query, pair.gallery), heads, strict=True)
        ]
        values[f"recall/{pair.query}-{pair.gallery}"] = float((ranks(*z) == 1).mean()) if len(at) else 0.0
    trained.model.train()
    return values


def _searched(trained: Trained, found: Plan) -> list[tuple[Partners, tuple[Head, Head]]]:
    views = trained.setup.views
    return [
        (replace(pair, positions=pair.positions[:TEST_SAMPLES]), heads)
        for pair, heads in zip(found.pairs, found.heads, strict=True)
        if pair.query < pair.gallery
        and not (
            views[pair.query].crop == views[pair.gallery].crop
            and all("height" in views[v].axes for v in (pair.query, pair.gallery))
        )
    ][:MOST_PAIRS]


@torch.no_grad()
def _projected(
    trained: Trained, view: str, head: Head, h: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    return trained.model.eval().projector(view, head)(torch.from_numpy(h).to(device)).float().cpu().numpy()


@dataclass
class Watch:
    """Measures a run while it trains, first with the weights it starts from, and says what falls.

    The first measurement is made with calibrated batch norm, as the untrained control has it.

    Args:
        trained: the run.
        device: of the encoders.
        file: health.jsonl of the run, which gets the sentence too; None in processes that write
            nothing. A resumed run does not say again what it holds.
    """

    trained: Trained
    device: torch.device
    file: Path | None = None
    untrained: dict[str, float] | None = None
    said: bool = False

    def start(self) -> dict[str, float]:
        """The measures of the untrained weights; every process must call it."""
        earlier = read_lines(self.file, "remove it.") if self.file else []
        self.said = any(line.get("symptom") == FALLEN for line in earlier)
        self.untrained = self._measured(replace(self.trained, model=untrained_model(self.trained, self.device)))
        return self.untrained

    def look(self, step: int, steps: int) -> tuple[dict[str, float], str]:
        """The measures now, and a sentence the first time that a view has fallen below untrained.

        Nothing is said in the first fifth of the run.

        Args:
            step: that is done.
            steps: of the whole run.
        """
        values, first = self._measured(self.trained), self.untrained or {}
        fallen = {name for name, value in values.items() if value < first.get(name, 0.0) - NOISE}
        if not fallen or self.said or step < EARLY * steps:
            return values, ""
        self.said = True
        text = fallen_text({name: (first[name], values[name]) for name in sorted(fallen)})
        if self.file:
            of = ", ".join(name.partition("/")[2] for name in sorted(fallen))
            LineFile(self.file).append([{"step": step, "symptom": FALLEN, "of": of, "text": text}])
        return values, text

    def _measured(self, trained: Trained) -> dict[str, float]:
        return online_knn(trained, self.device) or online_recall(trained, self.device)


def fallen_text(fallen: Mapping[str, tuple[float, float]]) -> str:
    """The sentence about measures that are below those of the untrained weights."""
    listed = ", ".join(
        f"{name.partition('/')[2]} {100 * now:.1f} % (untrained {100 * first:.1f} %)"
        for name, (first, now) in fallen.items()
    )
    measure = "kNN" if next(iter(fallen)).startswith("knn/") else "R@1"
    return (
        f"training has lost what the untrained weights had: {measure} of {listed}. Something that the augmentation or "
        "the other view changes may be what matters: try a milder augmentation, larger crops or another edge."
    )
