"""kNN accuracy, or retrieval without labels, while training goes on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.jsonlines import LineFile, read_lines
from multiview.measure.embeddings import Embedded, embed, share_buffers
from multiview.measure.intervals import hits_fact, paired_margin
from multiview.measure.knn import knn_hits
from multiview.measure.labelled_splits import (
    FEW,
    HELD_OUT,
    filled_splits,
    has_two_classes,
    labelled_positions,
    watched_splits,
)
from multiview.measure.partners import Plan, distinct_views, plan
from multiview.measure.retrieval import Partners, ranks
from multiview.measure.untrained import untrained_model

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.objectives.needs import Head
    from multiview.trained import Trained
    from multiview.view import View

Hits = dict[str, NDArray[np.bool_]]
"""Name of a measure -> which samples are right."""
Pairs = list[tuple["Partners", tuple["Head", "Head"]]]
TRAIN_SAMPLES, TEST_SAMPLES = 4000, 1000
MOST_PAIRS = 6
"""Pairs of views that are searched while training goes on."""
FALLEN = "below untrained"
"""The symptom in health.jsonl."""
LEAST = 0.03
"""How far a measure must fall below the untrained weights, beyond noise, before that is said."""
EARLY = 0.2
"""Share of the run in which nothing is said: the first steps often cost a little."""


def online_knn(trained: Trained, device: torch.device, among: Collection[str] = HELD_OUT) -> dict[str, float]:
    """`knn/VIEW` -> accuracy of every view on validation samples, see `hits_by_knn`."""
    return _shares(hits_by_knn(trained, device, among))


def hits_by_knn(
    trained: Trained, device: torch.device, among: Collection[str] = HELD_OUT, still: Collection[str] = ()
) -> Hits:
    """`knn/VIEW` -> which validation samples are right, with neighbours in train.

    Views in `still`, whose encoders do not learn, are left out unless all are.

    Chooses up to 1000 labelled validation samples for each view, or test samples when few or no
    validation samples have labels (`watched_splits`), and 4000 labelled training samples. Empty
    when the data has no labels. Every process of a run must call it. Afterwards the model is in
    training mode.
    """
    share_buffers(trained.model)
    held_out = _labelled_split(trained, among)
    if held_out is None:
        return {}
    distinct = distinct_views(trained.setup)
    views = {name: trained.setup.views[name] for name in distinct if set(distinct) <= set(still) or name not in still}
    chosen = {
        split: labelled_positions(trained.store, split, views, most)
        for split, most in (("train", TRAIN_SAMPLES), (held_out, TEST_SAMPLES))
    }
    if not all(map(len, chosen.values())):
        return {}
    train, test = (_embedded(trained, split, positions, device, views) for split, positions in chosen.items())
    trained.model.train()
    labels = {view: (train.labels_of(view), test.labels_of(view)) for view in views}
    return {
        f"knn/{view}": knn_hits(train.features[view], train_y, test.features[view], test_y)
        for view, (train_y, test_y) in labels.items()
        if (train_y >= 0).any() and (test_y >= 0).any()
    }


def _shares(hits: Hits) -> dict[str, float]:
    """The share of samples that are right; 0 of none."""
    return {name: int(each.sum()) / max(1, len(each)) for name, each in hits.items()}


def _labelled_split(trained: Trained, among: Collection[str]) -> str | None:
    """The held-out split whose labels are watched; None without labels there or in train."""
    held = [name for name in watched_splits(trained.store, among) if name != "train"]
    labelled = [name for name in (*held, "train") if name in filled_splits(trained.store)]
    labelled = [name for name in labelled if has_two_classes(trained.store, name)]
    return labelled[0] if "train" in labelled[1:] else None


def watched_split(trained: Trained, among: Collection[str] = HELD_OUT) -> str:
    """The split on which `hits_by_knn` or else `hits_by_recall` measures; "" when there is none."""
    found = _labelled_split(trained, among)
    return found or (of_pairs[0].split if (of_pairs := _watched_pairs(trained, among)) else "")


def watched_note(store: Store, split: str) -> str:
    """A sentence when a run is watched on other samples than those of the validation split."""
    if split in ("", "val"):
        return ""
    held = store.count("val") if "val" in store.split_names else 0
    why = f"the validation split holds {held or 'no'} samples, fewer than {FEW}" if held < FEW else "val cannot be used"
    use = "They show the progress and choose nothing" if split == "test" else "They show how well it fits its data"
    return f"the {split} samples are measured while the run trains, because {why}. {use}."


def _embedded(
    trained: Trained, split: str, positions: NDArray[np.int64], device: torch.device, views: Mapping[str, View]
) -> Embedded:
    return embed(trained.store, split, views, trained.features, device, positions=positions)


def hits_by_recall(trained: Trained, device: torch.device, among: Collection[str] = HELD_OUT) -> Hits:
    """`recall/QUERY-GALLERY` -> which of up to 1000 held-out samples are found first; no labels.

    The samples are those of the first of `watched_splits` that has pairs of views. Pairs of
    pictures with one crop are left out: the place of the crop gives the partner away. At most six
    pairs are searched, each in one direction. Afterwards the model is in training mode.
    """
    watched = _watched_pairs(trained, among)
    if watched is None:
        return {}
    found, pairs = watched
    positions = np.unique(np.concatenate([pair.positions for pair, _ in pairs]))
    held_out = _embedded(trained, found.split, positions, device, trained.setup.views)
    hits: Hits = {}
    for pair, heads in pairs:
        at = np.searchsorted(positions, pair.positions)
        at = at[held_out.present[pair.query][at] & held_out.present[pair.gallery][at]]
        z = [
            _projected(trained, view, head, held_out.features[view][at], device)
            for view, head in zip((pair.query, pair.gallery), heads, strict=True)
        ]
        hits[f"recall/{pair.query}-{pair.gallery}"] = ranks(*z) == 1 if len(at) else np.zeros(0, bool)
    trained.model.train()
    return hits


def _watched_pairs(trained: Trained, among: Collection[str]) -> tuple[Plan, Pairs] | None:
    """What is searched while a run trains; None when no split has pairs of views."""
    for split in watched_splits(trained.store, among):
        found = plan(trained.setup, trained.store, [split])
        if found and (pairs := _searched(trained, found)):
            return found, pairs
    return None


def _searched(trained: Trained, found: Plan) -> Pairs:
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
        among: the held-out splits that may be measured; only `val` when the best checkpoint is
            chosen by what is measured.
        still: views whose encoder does not learn; their kNN says nothing about training.
    """

    trained: Trained
    device: torch.device
    file: Path | None = None
    among: tuple[str, ...] = HELD_OUT
    still: tuple[str, ...] = ()
    untrained: Hits | None = None
    said: bool = False

    def start(self) -> dict[str, float]:
        """The measures of the untrained weights; every process must call it."""
        earlier = read_lines(self.file, "remove it.") if self.file else []
        self.said = any(line.get("symptom") == FALLEN for line in earlier)
        model = untrained_model(self.trained, self.device)
        self.untrained = self._measured(replace(self.trained, model=model))
        return _shares(self.untrained)

    def look(self, step: int, steps: int) -> tuple[dict[str, float], str]:
        """The measures now, and a sentence the first time that a view has fallen below untrained.

        A view has fallen when it is lower by three points and more, and beyond noise on the same
        samples. Nothing is said in the first fifth of the run.

        Args:
            step: that is done.
            steps: of the whole run.
        """
        hits, before = self._measured(self.trained), self.untrained or {}
        values, first = _shares(hits), _shares(before)
        lower = [name for name, value in values.items() if value < first.get(name, 0.0) - LEAST]
        fallen = {name for name in lower if _is_clear(hits[name], before[name])}
        if not fallen or self.said or step < EARLY * steps:
            return values, ""
        self.said = True
        text = fallen_text({name: (first[name], values[name]) for name in sorted(fallen)})
        if self.file:
            of = ", ".join(name.partition("/")[2] for name in sorted(fallen))
            LineFile(self.file).append([{"step": step, "symptom": FALLEN, "of": of, "text": text}])
        return values, text

    def _measured(self, trained: Trained) -> Hits:
        knn = hits_by_knn(trained, self.device, self.among, self.still)
        return knn or hits_by_recall(trained, self.device, self.among)


def _is_clear(now: NDArray[np.bool_], first: NDArray[np.bool_]) -> bool:
    """Whether fewer of the same samples are right, beyond noise."""
    return paired_margin(hits_fact(now)["hits"], hits_fact(first)["hits"], len(now)).high < 0


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
