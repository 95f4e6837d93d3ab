"""Starting Accelerate the way the user meant it, and saying so when the launch did something else."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DynamoBackend

from multiview import moved
from multiview.config import Train
from multiview.cores import available_cores
from multiview.errors import MultiviewError
from multiview.heap import keep_freed_memory

__getattr__ = moved.names_of("train.processes")

WORKING_LAUNCH = (
    "ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {n} --num_machines 1 --mixed_precision no "
    "--dynamo_backend no {script}"
)


def start(train: Train, script: str) -> Accelerator:
    """The Accelerator of this process, with its threads and its heap set.

    Raises MultiviewError when several processes were launched but each believes to be alone (they would train the same thing and write
    over each other), and when the precision does not exist on this device.
    """
    AcceleratorState._reset_state()  # a second run in one Python process may have another precision
    try:
        accelerator = Accelerator(
            mixed_precision=train.precision,
            gradient_accumulation_steps=train.accumulate,
            dynamo_backend="inductor" if train.compile else None,
        )
    except ValueError as error:
        raise MultiviewError(
            f"precision {train.precision} does not work here: {error} Use --precision no or bf16."
        ) from error
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and accelerator.num_processes == 1:
        raise MultiviewError(
            f"{launched} processes were launched, but each of them is alone: this launch does not join them. On a machine without GPUs "
            f"type:\n  {WORKING_LAUNCH.format(n=launched, script=script)}"
        )
    if accelerator.device.type == "cpu":
        # accelerate launch sets OMP_NUM_THREADS=1, which would leave all cores but one idle.
        torch.set_num_threads(train.threads or max(1, available_cores() // accelerator.num_processes))
        keep_freed_memory()
        if compiles(accelerator) and not has_compiler():
            accelerator.state.dynamo_plugin.backend = DynamoBackend.NO
            accelerator.print(
                "torch.compile needs a C++ compiler on a CPU, and there is none: this run goes on without. Install g++."
            )
    return accelerator


def compiles(accelerator: Accelerator) -> bool:
    """Whether Accelerate puts the model through `torch.compile`: by --compile, or by `--dynamo_backend` of its launch or its config."""
    return accelerator.state.dynamo_plugin.backend != DynamoBackend.NO


def has_compiler() -> bool:
    """Whether `torch.compile` finds a C++ compiler for what runs on a CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True
