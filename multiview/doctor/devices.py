"""What torch finds and how fast it multiplies. Only the functions import torch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.cores import available_cores
from multiview.doctor.finding import ADVICE, BROKEN, OK, Finding, reason
from multiview.doctor.launching import launching
from multiview.files import size_text

if TYPE_CHECKING:
    from torch import device as Device

MODULES = ("numpy", "PIL.Image", "h5py", "safetensors.torch", "soundfile", "torchvision", "torchaudio")
"""Modules with compiled parts, each of which a broken installation can spoil."""
SIZE, REPEATS, LONGEST = 768, 8, 1.0
GAIN = 0.6
"""Share of the speed of one core, times the number of cores, below which advice is given."""


def torch() -> Iterator[Finding]:
    """Whether torch can be imported, and how it was built."""
    start = time.perf_counter()
    trouble = _import_fails("torch")
    if trouble:
        advice = "Install torch again (https://pytorch.org/get-started/locally)."
        yield Finding("torch", BROKEN, trouble, advice)
        return
    built = import_module("torch")
    kind = f"CUDA {built.version.cuda}" if built.version.cuda else f"ROCm {built.version.hip}"
    text = f"{built.__version__}, built for {kind if built.version.cuda or built.version.hip else 'CPUs alone'}"
    yield Finding("torch", OK, f"{text}; imported in {time.perf_counter() - start:.1f} s")


def imports() -> Iterator[Finding]:
    """Whether the modules with compiled parts can be imported."""
    broken = [text for name in MODULES if (text := _import_fails(name))]
    for text in broken:
        package = text.partition(" ")[0].partition(".")[0]
        yield Finding(
            "imports", BROKEN, text, f"Install it again with versions that fit torch: `pip install -U {package}`."
        )
    if not broken:
        yield Finding("imports", OK, f"{', '.join(name.partition('.')[0] for name in MODULES)}")


def _import_fails(module: str) -> str:
    """Why a module cannot be imported; "" = it can."""
    try:
        import_module(module)
    except Exception as cause:  # a library that does not fit raises anything
        return f"{module} cannot be imported: {reason(cause)}"
    return ""


def device() -> Iterator[Finding]:
    """The devices, each of which multiplies two small matrices."""
    import torch

    names = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    names += ["mps"] if torch.backends.mps.is_available() else []
    for name in names:
        yield _device(torch.device(name))
    if not names:
        yield _without_gpu()


def _device(device: Device) -> Finding:
    import torch

    try:
        ones = torch.ones(64, 64, device=device)
        right = float((ones @ ones).sum()) == 64.0**3
    except Exception as cause:  # a driver raises anything
        advice = "The driver and torch do not fit: update one of them, or hide the device with CUDA_VISIBLE_DEVICES=''."
        return Finding("device", BROKEN, f"{device}: {reason(cause)}", advice)
    if not right:
        return Finding("device", BROKEN, f"{device} multiplies wrongly", "Do not train on it.")
    return Finding("device", OK, f"{device}{_about(device)}")


def _about(device: Device) -> str:
    """Name, memory and generation of a GPU."""
    import torch

    if device.type != "cuda":
        return ""
    facts = torch.cuda.get_device_properties(device)
    free = torch.cuda.mem_get_info(device)[0]
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    memory = f"{size_text(free)} of {size_text(facts.total_memory)} free"
    return f" ({facts.name}, {memory}, capability {facts.major}.{facts.minor}, {build})"


def _without_gpu() -> Finding:
    """What to say when torch finds no GPU although there may be one."""
    import torch

    seen = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    if not seen:
        return Finding("device", OK, "cpu (no GPU)")
    built = torch.version.cuda or torch.version.hip
    why = "torch cannot use it" if built else "this torch is built for CPUs alone"
    advice = "Update the driver, or install a torch for it (https://pytorch.org/get-started/locally)."
    return Finding("device", ADVICE, f"cpu; the machine has an NVIDIA GPU, but {why}", advice)


def accelerate_launch() -> Iterator[Finding]:
    """What `accelerate launch` starts here."""
    import torch

    yield from launching(torch.cuda.device_count() if torch.cuda.is_available() else 0)


BUSY = "The cores are shared or busy: look for other programs, or set --threads lower."


def matrix_product() -> Iterator[Finding]:
    """How fast one core multiplies matrices, and how much all cores add."""
    import torch

    number = available_cores()
    factors = torch.ones(SIZE, SIZE), torch.ones(SIZE, SIZE)
    speeds = []
    for threads in dict.fromkeys((1, number)):
        torch.set_num_threads(threads)
        speeds.append(2 * SIZE**3 / _shortest(lambda: torch.mm(*factors)) / 1e9)
    text = f"{speeds[0]:.0f} Gflop/s on one core (float32)"
    if number > 1:
        text += f", {speeds[-1]:.0f} on {number}"
    if speeds[-1] < GAIN * number * speeds[0]:
        yield Finding("matrix product", ADVICE, text, BUSY)
    else:
        yield Finding("matrix product", OK, text, "")


def _shortest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some calls, which other programs disturbed least."""
    best, start = float("inf"), time.perf_counter()
    for _ in range(REPEATS):
        before = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - before)
        if time.perf_counter() - start > LONGEST:
            break
    return best
