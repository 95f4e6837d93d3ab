"""Starts Accelerate, and refuses a launch whose processes do not work together."""

from __future__ import annotations

import datetime
import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DynamoBackend, InitProcessGroupKwargs

from multiview import old_import_paths
from multiview.config import Train
from multiview.cores import available_cores
from multiview.distributed import announce, answer_within
from multiview.errors import MultiviewError
from multiview.heap import keep_freed_memory
from multiview.plurals import counted

__getattr__ = old_import_paths.names_of("train.processes")

SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
"""Variables that `accelerate launch` sets for trainers that split the model, and their names."""
WORKING_LAUNCH = (
    "ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {n} --num_machines 1 --mixed_precision no "
    "--dynamo_backend no {script}"
)


def start(train: Train, script: str) -> Accelerator:
    """The Accelerator of this process; also sets the number of threads and the use of the heap.

    Args:
        train: the options of training.
        script: the path of the recipe, for the command in an error message.

    Raises:
        MultiviewError: several processes were launched but do not know of each other, so each would
            do the whole training alone; or the device does not support the precision.
    """
    refuse_sharded_training()
    refuse_shared_gpu()
    AcceleratorState._reset_state()  # an earlier run in this Python process may have set another precision
    try:
        accelerator = Accelerator(
            mixed_precision=train.precision,
            gradient_accumulation_steps=train.accumulate,
            dynamo_backend="inductor" if train.compile else None,
            kwargs_handlers=_limits(train),
        )
    except ValueError as error:
        raise MultiviewError(
            f"this device does not support precision {train.precision}: {error} Use --precision no or bf16."
        ) from error
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and accelerator.num_processes == 1:
        raise MultiviewError(
            f"{launched} processes were launched but do not know of each other. Each process would do the whole "
            f"training alone. On a machine without GPUs type:\n  {WORKING_LAUNCH.format(n=launched, script=script)}"
        )
    if accelerator.device.type == "cpu":
        _set_up_cpu(accelerator, train)
    announce()
    return accelerator


def _limits(train: Train) -> list[Any]:
    """How long processes wait for each other; nothing to set for one process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return []
    answer_within(train.answer_minutes)
    return [InitProcessGroupKwargs(timeout=datetime.timedelta(minutes=train.answer_minutes))]


def refuse_sharded_training() -> None:
    """Raises MultiviewError for a launch that splits the model: memories need it whole."""
    for variable, name in SHARDED.items():
        if os.environ.get(variable, "").lower() in ("1", "true", "yes", "y", "on"):
            raise MultiviewError(
                f"this launch asks for {name}, which splits the model between processes, and multiview trains only "
                "with the whole model on each process (DistributedDataParallel). Type `accelerate launch --multi_gpu "
                f"...` without the options of {name}, or run `accelerate config` again."
            )


def refuse_shared_gpu() -> None:
    """Raises MultiviewError when more processes are launched on this machine than it has GPUs."""
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "y", "on")
    if not on_cpu and torch.cuda.is_available() and launched > (found := torch.cuda.device_count()):
        raise MultiviewError(
            f"{launched} processes were launched on this machine, which has {counted(found, 'GPU')}: processes that "
            f"share a GPU cannot exchange their numbers. Launch {counted(found, 'process', 'processes')}; or train on "
            "the CPU with ACCELERATE_USE_CPU=true."
        )


def _set_up_cpu(accelerator: Accelerator, train: Train) -> None:
    torch.set_num_threads(train.threads or _usual_threads(accelerator.num_processes))
    keep_freed_memory()
    if compiles(accelerator) and not has_compiler():
        accelerator.state.dynamo_plugin.backend = DynamoBackend.NO
        accelerator.print(
            "torch.compile needs a C++ compiler on a CPU, and none is installed: this run continues without "
            "torch.compile. Install g++ to use it."
        )


def _usual_threads(processes: int) -> int:
    """OMP_NUM_THREADS of the user, else this process's share of the cores.

    Launchers set OMP_NUM_THREADS to 1, which leaves all cores but one idle; theirs does not count.
    """
    theirs = any(name in os.environ for name in ("ACCELERATE_MIXED_PRECISION", "LOCAL_RANK"))
    asked = "" if theirs else os.environ.get("OMP_NUM_THREADS", "")
    own = int(asked) if asked.isdecimal() else 0
    return own or max(1, available_cores() // processes)


def compiles(accelerator: Accelerator) -> bool:
    """Whether Accelerate compiles the model: by --compile, or by --dynamo_backend of the launch."""
    return accelerator.state.dynamo_plugin.backend != DynamoBackend.NO


def has_compiler() -> bool:
    """Whether `torch.compile` finds a C++ compiler for the CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
