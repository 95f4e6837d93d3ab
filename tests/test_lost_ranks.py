"""Two processes of which one works for long, fails alone, dies, or sees another disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import datetime, os, sys, time
import torch, torch.distributed as dist
from multiview import distributed
from multiview.errors import MultiviewError
from multiview.train.loop import Loop
rank, meeting, case = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2,
                        timeout=datetime.timedelta(seconds=2))

def work():
    time.sleep(4)
    if case == "mistake":
        raise MultiviewError("no such data")
    return "made"

class Saver:
    def resume(self):
        if case == "refused" and rank == 1:
            raise MultiviewError("damaged")
        return (7 if rank == 0 or case == "shared" else 0), ["resumed"]

class Parts:
    class accelerator:
        device = torch.device("cpu")

distributed.ANSWER_SECONDS = 1.0
distributed.announce()
try:
    with distributed.naming_lost_ranks():
        if case in ("long", "mistake"):
            print(distributed.on_first(work))
        elif case == "dies":
            if rank == 1:
                os._exit(9)
            distributed.total(torch.ones(1))
        elif case == "silent":
            if rank == 1:
                time.sleep(4)
                os._exit(9)
            distributed.total(torch.ones(1))
        else:
            loop = Loop.__new__(Loop)
            loop.saver, loop.parts, loop.step = Saver(), Parts(), 0
            print(*loop.resume())
except MultiviewError as error:
    print("MISTAKE", error)
os._exit(0) if case in ("dies", "silent") else None
"""

SAID = {
    "long": ("made", "made"),
    "mistake": ("MISTAKE no such data", "MISTAKE no such data"),
    "dies": ("MISTAKE process 0 cannot go on, because process 1 on ", ""),
    "silent": ("MISTAKE process 0 cannot go on, because process 1 on ", ""),
    "shared": ("resumed", "resumed"),
    "apart": ("MISTAKE the processes of this run do not find the same checkpoint", "MISTAKE the processes"),
    "refused": ("MISTAKE the processes of this run do not find the same checkpoint", "MISTAKE damaged"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SAID)
def test_both_processes_say_the_same_and_none_waits_for_ever(case: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "meeting"), case],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    for (out, errors), said in zip(outputs, SAID[case], strict=True):
        assert out.startswith(said), errors
