"""Two processes on one device: they are refused, or compute what one process computes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import torch

from multiview.check.device_rows import BROKEN, OK, Row
from multiview.distributed import free_port

SECONDS = 90
PROGRAM = """
import sys, torch
from multiview.config import Train
from multiview.distributed import gather, rank
from multiview.errors import MultiviewError
from multiview.train.processes import start
try:
    accelerator = start(Train(threads=1), "SCRIPT.py")
except MultiviewError as error:
    sys.exit(f"refused: {error}")
found = gather(torch.full((1,), float(rank()), device=accelerator.device)).tolist()
print("right" if found == [0.0, 1.0] else f"wrong: {found}")
"""
PART = "two processes on one device"


def shared_device(device: torch.device) -> Iterator[Row]:
    """Starts two processes that share the device, and says what became of them."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    if device.type == "cpu":
        shared["ACCELERATE_USE_CPU"] = "true"
    else:
        shared["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    ranks = [{"RANK": number, "LOCAL_RANK": number, "ACCELERATE_MIXED_PRECISION": "no"} for number in "01"]
    words = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(
            words, env={**os.environ, **shared, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for own in ranks
    ]
    try:
        said = ["".join(process.communicate(timeout=SECONDS)) for process in started]
    except subprocess.TimeoutExpired:
        yield Row(PART, "they do not end", None, "", f"within {SECONDS} s", BROKEN)
        return
    finally:
        for process in started:
            process.kill()
    yield _verdict(said)


def _verdict(said: list[str]) -> Row:
    if all("right" in text for text in said):
        return Row(PART, "they gather each other's numbers", None, "", "right", OK)
    if all("refused: " in text for text in said):
        return Row(PART, "they are refused", None, "", said[0].partition("refused: ")[2].splitlines()[0], OK)
    last = next((text.strip().splitlines()[-1] for text in said if "right" not in text and text.strip()), "no message")
    return Row(PART, "they fail", None, "", last, BROKEN)
