"""The options of training and of the optimiser. Every field is a command-line option."""

from dataclasses import dataclass, replace
from typing import Literal

from multiview import require
from multiview.errors import MultiviewError

LAST, BEST_OF, FEW = "last", "best:", 2
"""Values of `Train.keep`; the second is followed by a measure. The newest checkpoints then."""
USUAL_EPOCHS, LEAST_STEPS = 44, 2_000
"""The least length of a run with `epochs: auto`."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimiser and its learning-rate schedule.

    Args:
        name: sgd, adamw, or lars (from timm).
        lr: learning rate; with `per`, the learning rate for a batch of that size.
        per: scales the learning rate by batch / per (SimCLR and SimSiam: 256); null does not scale.
        momentum: momentum of sgd and lars, at least 0 and less than 1.
        weight_decay: weight decay; adamw and lars leave out biases and norms, sgd does not.
        schedule: steps (multiplies by `gamma` at every milestone), cosine (falls to 0 at the end of
            the run) or constant.
        milestones: epochs at which `steps` multiplies the learning rate by `gamma`.
        gamma: factor of the schedule `steps`.
        warmup: epochs at the start in which the learning rate rises linearly from 0.
        fix_predictor_lr: keep the learning rate of SimSiam's predictor constant, as in the paper.

    Example:
        >>> mv.Optimizer(name="sgd", lr=0.05, per=256).rate(batch=512)
        0.1
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
        require.options(self, ("momentum",), lambda x: 0 <= x < 1, "a number that is at least 0 and less than 1")
        require.options(self, ("weight_decay", "warmup"), lambda x: x >= 0, "0 or more")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise MultiviewError(f"milestones are {list(self.milestones)}; give epochs in rising order.")

    @property
    def moments(self) -> int:
        """Numbers that the optimiser keeps for each weight."""
        return 2 if self.name == "adamw" else 1

    def rate(self, batch: int) -> float:
        """The learning rate for a global batch."""
        return self.lr if self.per is None else self.lr * batch / self.per


OF_GRAPHS = Optimizer(name="adamw", lr=1e-3, warmup=1.0)
"""Of graphs that name no optimiser. Without a warm-up, texts became alike in the first steps."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """The options of training.

    Args:
        epochs: passes over the training split (null = as many as `steps` take; 200 without steps).
            auto takes 44, and more where these are fewer than 2,000 steps; then `knn_every` and
            `save_every` are as much longer, unless you change them.
        steps: number of steps (null = as many as `epochs` take). On the command line, steps replace
            the usual epochs of a recipe, and epochs its usual steps. Where both are given, the
            shorter one ends the run.
        batch: samples per step, over all processes together.
        optimizer: the optimiser and its learning-rate schedule.
        precision: no (float32), bf16 or fp16 (the encoders run in autocast; losses stay float32).
        clip: largest norm of the gradient (null = no clipping).
        accumulate: steps whose gradients are averaged into one step of the optimiser. The objective
            still sees one batch at a time; micro_batch is for batches that do not fit into memory.
        micro_batch: samples that a process runs through the encoders at a time (null = its whole
            part of the batch). Saves memory: the loss and its gradient are those of the whole
            batch, but every sample is encoded twice (GradCache), and batch norm sees one
            micro-batch at a time.
        channels_last: store images with the channels last in memory; often faster with bf16.
        sync_bn: batch norm sees the batch of all processes (SyncBatchNorm, and the same on CPUs),
            as SimCLR and SimSiam do. Then several processes train what one process would.
        compile: run encoders and colour conversions through torch.compile, as `accelerate launch
            --dynamo_backend inductor` does. Compiling takes half a minute, and results differ in
            the last digits. Meant for GPUs. A CPU needs a C++ compiler; without one the run
            continues uncompiled and says so.
        workers: data-loading workers per training process. 0 loads in the training process. -1 is
            automatic: no workers if the data are in memory, otherwise half of the process's cores.
        threads: CPU threads per process (0 = OMP_NUM_THREADS where you set it, else the cores
            divided by the number of processes).
        knn_every: epochs between kNN measurements during training (0 = none).
        save_every: epochs between checkpoints; the last step is always saved.
        save_minutes: longest time between two checkpoints, in minutes (0 = no limit).
        keep: number of newest checkpoints to keep (`last`: 2), of which the last one is the result
            of the run. `best:MEASURE` also keeps the checkpoint with the highest value on the
            validation split, measured every `knn_every` epochs, and that one is the result.
            MEASURE: `retrieval` (the mean R@1 of all pairs of views, without labels), `knn`, or one
            of these by name, such as `knn/L`.
        log_every: steps between lines of metrics.jsonl.
        answer_minutes: longest time that a process waits for another one in a step; then the run
            ends and names the process that does not answer. Long work of the first process, such as
            preparing data, has no limit.
        order: the order of the samples in an epoch. exact shuffles all samples, in a table of 24
            bytes per sample; window shuffles the shards of the store, and the samples of 64 shards
            at a time, and needs no memory for each sample. auto is exact for fewer than 2 million
            training samples, otherwise window.

    Example:
        >>> mv.Train(epochs=10, batch=64, optimizer=mv.Optimizer(name="adamw", lr=1e-3)).batch
        64
    """

    epochs: int | Literal["auto"] | None = None
    steps: int | None = None
    batch: int = 128
    optimizer: Optimizer = Optimizer()
    precision: Literal["no", "bf16", "fp16"] = "no"
    clip: float | None = None
    accumulate: int = 1
    micro_batch: int | None = None
    channels_last: bool = False
    sync_bn: bool = False
    compile: bool = False
    workers: int = -1
    threads: int = 0
    knn_every: int = 5
    save_every: int = 10
    save_minutes: float = 15.0
    keep: int | str = 2
    log_every: int = 10
    answer_minutes: float = 30.0
    order: Literal["auto", "exact", "window"] = "auto"

    def __post_init__(self) -> None:
        counts = ("batch", "accumulate", "save_every", "log_every")
        require.options(self, counts, lambda count: count >= 1, "1 or more")
        require.options(self, ("threads", "knn_every", "save_minutes"), lambda count: count >= 0, "0 or more")
        require.options(self, ("answer_minutes",), lambda minutes: minutes > 0, "above 0")
        _check_keep(self.keep, self.knn_every)
        if self.workers < -1:
            raise MultiviewError(f"workers is {self.workers}; give 0 or more, or -1 for the automatic choice.")
        require.options(self, ("steps",), lambda count: count is None or count >= 1, "1 or more")
        require.options(self, ("epochs",), _is_length, "1 or more, auto, or null")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise MultiviewError(f"micro_batch is {self.micro_batch}; give 1 or more, or null for the whole batch.")
        if self.clip is not None and not self.clip > 0:
            raise MultiviewError(f"clip is {self.clip}; give a norm above 0, or null for no clipping.")

    def with_epochs(self, per_epoch: int) -> "Train":
        """The options with `epochs: auto` as a number, and usual intervals as much longer."""
        if self.epochs != "auto":
            return self
        epochs = max(USUAL_EPOCHS, -(-LEAST_STEPS // per_epoch))
        longer = -(-epochs // USUAL_EPOCHS)
        usual = {name: getattr(Train, name) for name in ("knn_every", "save_every")}
        often = {name: longer * count for name, count in usual.items() if getattr(self, name) == count}
        return replace(self, epochs=epochs, **often)

    def epochs_of(self, per_epoch: int) -> int | None:
        """The passes over the training split; None where `steps` alone say the length."""
        epochs = self.with_epochs(per_epoch).epochs
        assert epochs != "auto"
        return epochs

    @property
    def checkpoints(self) -> int:
        """The number of newest checkpoints to keep."""
        return self.keep if isinstance(self.keep, int) else FEW

    @property
    def keeps_best(self) -> bool:
        """Whether the best checkpoint is the result of the run."""
        return isinstance(self.keep, str) and self.keep.startswith(BEST_OF)


def _is_length(epochs: int | str | None) -> bool:
    if epochs is None or epochs == "auto":
        return True
    return not isinstance(epochs, str) and epochs >= 1


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What `--plan` computes beside the run: sizes for other numbers of processes and samples.

    Args:
        processes: number of processes (null = those of the run).
        samples: number of training samples, such as 1e8 (null = those of the data).
        bandwidth: GB/s at which all processes together read the data.
    """

    processes: int | None = None
    samples: float | None = None
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        given = [name for name in ("processes", "samples") if getattr(self, name) is not None]
        require.options(self, given, lambda count: count >= 1 and count == int(count), "a whole number, 1 or more")
        require.options(self, ("bandwidth",), lambda speed: speed > 0, "GB/s, above 0")

    @property
    def asked(self) -> bool:
        """Whether anything else than the run itself is asked for."""
        return self != Scale()


def _check_keep(keep: int | str, every: int) -> None:
    """Raises MultiviewError for a wrong `keep`, and when nothing would be measured."""
    measure = str(keep).removeprefix(BEST_OF)
    known = measure.split("/")[0] in ("knn", "retrieval") and measure != keep
    if (isinstance(keep, int) and (keep < 1 or isinstance(keep, bool))) or (
        isinstance(keep, str) and keep != LAST and not known
    ):
        raise MultiviewError(
            f"keep is {keep!r}; give 1 or more newest checkpoints, last, best:retrieval or best:knn, or one view or "
            "pair of views: best:knn/VIEW, 'best:retrieval/VIEW -> VIEW'."
        )
    if isinstance(keep, str) and keep != LAST and not every:
        raise MultiviewError(f"--keep {keep} needs measurements in training; give --knn_every 1 or more.")
