"""Whether a checkpoint fits the run that is resumed from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multiview.config import Train
from multiview.data.load.identity import Identity
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.plurals import counted

EXACT = "exact"


def check_resumable(
    state: Mapping[str, Any], samples: Identity, batch: int, train: Train, order: str = EXACT
) -> list[str]:
    """Raises MultiviewError when a checkpoint does not fit the run; returns notes for the user.

    Args:
        state: of the checkpoint.
        samples: the training samples of today.
        batch: samples per step today.
        train: the options of today.
        order: of the samples in an epoch, today; checkpoints that name none are of the exact order.
    """
    notes = refuse_other_data(state, samples, batch)
    _refuse_other_order(state, order)
    _refuse_other_optimiser(state, train)
    _refuse_other_accumulation(state, train)
    return notes


def refuse_earlier_end(step: int, steps: int, per_epoch: int) -> None:
    """Raises MultiviewError when the checkpoint lies behind the last step that is asked for.

    Args:
        step: of the checkpoint.
        steps: of the whole run, by today's options.
        per_epoch: steps of an epoch.
    """
    if step > steps:
        raise MultiviewError(
            f"the run has already trained {counted(step, 'step')}, and --epochs and --steps ask for {steps:,} in all: "
            f"steps cannot be taken back. Give --steps {step} to measure the run as it is, more than {step} steps "
            f"(an epoch has {per_epoch:,}) to train on, or another --out for a shorter run."
        )


def refuse_other_data(state: Mapping[str, Any], samples: Identity, batch: int) -> list[str]:
    """Raises MultiviewError when a checkpoint was made with other samples or another batch.

    The rows of its memory banks would belong to other samples, or its step to another place in the
    epoch. Older checkpoints hold the number of samples only: a note says so.
    """
    ways = (
        "Resume with the data that the run began with (environment.json in the run folder names it; give it with "
        "--data), or start a new run with another --out."
    )
    if state["samples"] != samples.count:
        raise MultiviewError(
            f"the run was trained on {state['samples']} samples and the data now has {samples.count}. {ways}"
        )
    if state.get("ids", samples.ids) != samples.ids:
        raise MultiviewError(
            f"the run was trained on other samples: the data still has {samples.count} training samples, but their "
            f"ids or their order differ, so rows of memory banks would belong to the wrong samples. {ways}"
        )
    if state.get("contents", samples.contents) != samples.contents:
        raise MultiviewError(
            "the run was trained on other data: the training samples have the same ids, but other contents, as after "
            f"another preprocessing or in another data set. {ways}"
        )
    if state.get("group_codes", "") != samples.groups:
        raise MultiviewError(
            "the run was trained with other groups of samples, or without groups, and its queues hold their codes; "
            "resume with the --group and the data that the run began with, or start a new run."
        )
    _refuse_other_mix(state, samples)
    if state["batch"] != batch:
        raise MultiviewError(
            f"the run was trained with a batch of {state['batch']} and is resumed with {batch}, which would continue "
            f"at another place in the data; give --batch {state['batch']}, or start a new run."
        )
    if "ids" in state:
        return []
    return [
        "the checkpoint is of an older version and holds no ids of its samples: only their number was compared with "
        "the data"
    ]


def _refuse_other_mix(state: Mapping[str, Any], samples: Identity) -> None:
    if state.get("mix", "") != samples.mix:
        before = f"--mix {state['mix']}" if state.get("mix") else "no --mix"
        raise MultiviewError(
            f"the run was trained with {before}, so that its next batches would be others; resume with {before}, or "
            "start a new run with another --out."
        )


def _refuse_other_order(state: Mapping[str, Any], order: str) -> None:
    """A step of an epoch would belong to other samples: some would be seen twice, others never."""
    before = str(state.get("order", EXACT))
    if before == order:
        return
    word, now = before.split()[0], order.split()[0]
    ways = (
        f"give --train.order {word}, or start a new run"
        if word != now
        else "resume with the store that the run began with, whose shards are others, or start a new run"
    )
    raise MultiviewError(
        f"the run takes its samples in the order '{word}' and is resumed with another order, '{now}', which would "
        f"continue at another place in the data; {ways}."
    )


def optimiser_kind(state: Mapping[str, Any]) -> str:
    """The optimiser of a checkpoint; in older ones the options of its groups show the name."""
    options = {name for group in state.get("groups", ()) for name in group}
    inferred = "adamw" if "betas" in options else "lars" if "trust_coeff" in options else "sgd"
    return str(state.get("optimizer", inferred))


def starts(graph: ContrastGraph) -> dict[str, dict[str, float]]:
    """The first values of the numbers that the edges learn: edge -> name -> value."""
    scalars = {name: edge.objective.scalars() for name, edge in graph.named_edges().items()}
    return {name: {key: scalar.start for key, scalar in own.items()} for name, own in scalars.items() if own}


def unused_starts(state: Mapping[str, Any], graph: ContrastGraph) -> list[str]:
    """A note for each changed first value of a learned number: the learned value stays in use."""
    before = state.get("starts", {})
    return [
        f"edge {edge}: {name} is learned and continues from the checkpoint. The changed first value is not used"
        for edge, own in starts(graph).items()
        for name, value in own.items()
        if before.get(edge, {}).get(name, value) != value
    ]


def _refuse_other_optimiser(state: Mapping[str, Any], train: Train) -> None:
    before, now = optimiser_kind(state), train.optimizer.name
    if before != now:
        raise MultiviewError(
            f"the run was trained with the optimiser {before} and is resumed with {now}, which cannot continue from "
            f"the state of {before}; give --train.optimizer.name {before}, or start a new run with another --out."
        )


def _refuse_other_accumulation(state: Mapping[str, Any], train: Train) -> None:
    """A checkpoint holds no gradients, so it must lie between two moves of the optimiser."""
    step = state["step"]
    if step % train.accumulate:
        fitting = [str(count) for count in range(1, step + 1) if step % count == 0 and count <= 64]
        raise MultiviewError(
            f"accumulate is {train.accumulate}, but the checkpoint is of step {step}, in the middle of "
            f"{train.accumulate} accumulated steps, whose gradients no checkpoint holds; give "
            f"--accumulate {' or '.join(fitting)}."
        )
