"""What `accelerate launch` would start by its configuration file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from multiview.cores import available_cores
from multiview.doctor.finding import ADVICE, BROKEN, OK, Finding, reason, short

CHECK = "accelerate launch"
NONE = "NO"
CPU = ("MULTI_CPU", NONE)
SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
AGAIN = "Run `accelerate config` again, or give --num_processes and the other options on the command line."


def configuration_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that `accelerate config` writes."""
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser() / "accelerate" / "default_config.yaml"


def launching(gpus: int) -> Iterator[Finding]:
    """What the configuration file asks for, beside the `gpus` that the machine has."""
    file = configuration_file()
    if not file.exists():
        started = f"{gpus} processes, one per GPU" if gpus > 1 else "one process"
        yield Finding(CHECK, OK, f"no configuration file ({short(file)}): starts {started}")
        return
    try:
        asked = yaml.safe_load(file.read_text("utf8"))
        if not isinstance(asked, dict):
            raise ValueError("the file holds no options")
        yield _finding(asked, file, gpus)
    except (OSError, ValueError, yaml.YAMLError) as cause:
        advice = f"Run `accelerate config` again, or remove {short(file)}."
        yield Finding(CHECK, BROKEN, f"{short(file)} cannot be read: {reason(cause)}", advice)


def _finding(asked: dict[str, Any], file: Path, gpus: int) -> Finding:
    kind = str(asked.get("distributed_type") or NONE)
    processes, machines = (int(asked.get(name) or 1) for name in ("num_processes", "num_machines"))
    parts = [f"{short(file)} starts {processes} process{'es' * (processes > 1)}"]
    parts += [f"on {machines} machines"] * (machines > 1) + [kind] + _options(asked)
    text = ", ".join(parts)
    uses_cpu = kind in CPU or bool(asked.get("use_cpu"))
    here = processes / max(1, machines)
    if kind in SHARDED:
        return Finding(CHECK, BROKEN, f"{text}: this splits the model, which multiview does not support", AGAIN)
    if not uses_cpu and here > max(1, gpus):
        return Finding(CHECK, BROKEN, f"{text}: this machine has {gpus} usable GPUs", AGAIN)
    if uses_cpu and gpus:
        return Finding(CHECK, ADVICE, f"{text}: leaves {gpus} GPUs unused", AGAIN)
    if uses_cpu and here > available_cores():
        return Finding(CHECK, ADVICE, f"{text}: more processes than the {available_cores()} cores", AGAIN)
    return Finding(CHECK, OK, text)


def _options(asked: Mapping[str, Any]) -> list[str]:
    """The options that change the numbers of a run."""
    precision = str(asked.get("mixed_precision") or "no")
    backend = str((asked.get("dynamo_config") or {}).get("dynamo_backend") or NONE)
    named = [f"mixed precision {precision}"] * (precision != "no")
    return named + [f"torch.compile by {backend.lower()}"] * (backend != NONE)
