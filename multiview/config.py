"""How a run is trained: plain frozen values, every field of which is a command-line option."""

from dataclasses import dataclass
from typing import Literal

from multiview import require
from multiview.errors import MultiviewError


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimiser and its learning-rate schedule.

    Args:
        name: sgd, adamw, or lars (timm's).
        lr: learning rate at the reference batch, see `per`.
        per: batch that `lr` is stated for; the rate is scaled by batch / per (SimCLR and SimSiam: 256). None leaves it as it is.
        momentum: of sgd and lars.
        weight_decay: on every parameter of sgd; lars and adamw leave out biases and norms.
        schedule: `steps` multiplies by `gamma` at the milestones; `cosine` falls to 0 over the run; `constant` stays.
        milestones: epochs at which `steps` acts.
        gamma: factor of `steps`.
        warmup: epochs of linear rise from 0 at the start.
        fix_predictor_lr: SimSiam's predictor keeps the initial learning rate whatever the schedule, as in the original recipe.
    """

    name: Literal["sgd", "adamw", "lars"] = "sgd"
    lr: float = 0.03
    per: int | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: Literal["steps", "cosine", "constant"] = "cosine"
    milestones: tuple[int, ...] = (120, 160, 200)
    gamma: float = 0.1
    warmup: float = 0.0
    fix_predictor_lr: bool = True

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise MultiviewError(f"lr is {self.lr}; give a learning rate above 0.")
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or self.warmup < 0:
            raise MultiviewError("momentum must be from 0 to below 1, weight_decay and warmup 0 or more.")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise MultiviewError(f"milestones are {list(self.milestones)}; give epochs in rising order.")

    def rate(self, batch: int) -> float:
        """The learning rate for a global batch."""
        return self.lr if self.per is None else self.lr * batch / self.per


@dataclass(frozen=True, kw_only=True)
class Train:
    """How long and how a run trains.

    Args:
        epochs: passes over the training split.
        steps: stop after this many steps (batches, see accumulate), whatever `epochs` says (None = no limit).
        batch: samples a step over all processes together.
        optimizer: the optimiser and its schedule.
        precision: `no` is float32; bf16 or fp16 run the encoders in autocast. Losses are float32 always.
        clip: largest norm of the gradient (None = not clipped).
        accumulate: steps whose gradients are averaged before the optimiser moves; it does not enlarge the batch of an in-batch
            objective (see micro_batch), and a run stops and saves only where the optimiser has moved.
        micro_batch: samples that a process runs through the encoders at a time (None = all of its part of the batch). The objectives see
            the whole batch and the gradient is its gradient, but every micro-batch is computed twice (GradCache), and batch norm sees
            one at a time.
        channels_last: memory layout of images; often faster with bf16.
        compile: encoders, and the colour conversions of views, go through torch.compile, as with `accelerate launch
            --dynamo_backend inductor`: half a minute at the start, and other last digits. It is meant for GPUs; on a CPU the conversions
            are faster, convolutions are not. Without a C++ compiler a CPU run says so and goes on uncompiled.
        workers: data-loading processes a process (0 = in this process; -1 = 0 for data held in memory, else half of the cores).
        threads: CPU threads a process (0 = all cores shared among the processes).
        knn_every: epochs between online kNN measurements (0 = never).
        save_every: epochs between checkpoints; the last step is always saved.
        save_minutes: longest time without a checkpoint, where epochs are long (0 = no limit).
        keep: newest checkpoints kept.
        log_every: steps between lines of metrics.jsonl.
    """

    epochs: int = 200
    steps: int | None = None
    batch: int = 128
    optimizer: Optimizer = Optimizer()
    precision: Literal["no", "bf16", "fp16"] = "no"
    clip: float | None = None
    accumulate: int = 1
    micro_batch: int | None = None
    channels_last: bool = False
    compile: bool = False
    workers: int = -1
    threads: int = 0
    knn_every: int = 5
    save_every: int = 10
    save_minutes: float = 15.0
    keep: int = 2
    log_every: int = 10

    def __post_init__(self) -> None:
        counts = ("epochs", "batch", "accumulate", "save_every", "keep", "log_every")
        require.options(self, counts, lambda count: count >= 1, "1 or more")
        require.options(self, ("threads", "knn_every", "save_minutes"), lambda count: count >= 0, "0 or more")
        if self.workers < -1:
            raise MultiviewError(f"workers is {self.workers}; give 0 or more, or -1 for what suits the data.")
        if self.steps is not None and self.steps < 1:
            raise MultiviewError(f"steps is {self.steps}; give 1 or more, or null for no limit.")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise MultiviewError(f"micro_batch is {self.micro_batch}; give 1 or more, or null for the whole batch.")
        if self.clip is not None and not self.clip > 0:
            raise MultiviewError(f"clip is {self.clip}; give a norm above 0, or null for no clipping.")
