"""The files of docs/cluster start two nodes of two processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_runs import FAST, losses, run

from multiview.distributed import free_port
from multiview.train.checkpoint import newest

CLUSTER = Path(__file__).parents[1] / "docs/cluster"
# Layer norm, so that a process's part of a batch does not change what a sample becomes.
WORDS = [*FAST, "--encoder", "timm:test_vit", "--width", "1", "--size", "32", "--save_every", "1"]


def environment(**variables: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **variables}


def two_nodes(script: str, *words: str) -> list[subprocess.Popen[str]]:
    port = str(free_port())
    return [
        subprocess.Popen(
            ["bash", str(CLUSTER / script), "cmc_lab", *words],
            env=environment(NODES="2", NODE=str(node), PROCESSES="2", MAIN="127.0.0.1", PORT=port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for node in range(2)
    ]


def assert_equals_one_process(out: Path, scenes: Path, alone: Path) -> None:
    assert run("cmc_lab", scenes, alone, *WORDS[len(FAST) :]) == 0
    together, one = losses(out), losses(alone)
    assert [line["step"] for line in together] == [line["step"] for line in one] == [1, 2, 3, 4, 5, 6]
    assert [line["loss"] for line in together] == pytest.approx([line["loss"] for line in one], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["torchrun.sh", "accelerate.sh"])
def test_two_nodes_of_two_processes_equal_one_process(script: str, scenes: Path, tmp_path: Path) -> None:
    nodes = two_nodes(script, "--data", str(scenes), "--out", str(tmp_path / "four"), *WORDS)
    errors = [node.communicate(timeout=600)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors[0][-2000:] + errors[1][-2000:]
    assert_equals_one_process(tmp_path / "four", scenes, tmp_path / "one")


@pytest.mark.slow
def test_the_file_for_slurm_starts_a_task_on_every_node(scenes: Path, tmp_path: Path) -> None:
    """With programs of Slurm that do what Slurm's do on two nodes of this machine."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text("#!/bin/bash\nprintf '127.0.0.1\\n127.0.0.1\\n'\n")
    (tools / "srun").write_text('#!/bin/bash\nshift\nSLURM_NODEID=1 "$@" &\nSLURM_NODEID=0 "$@"\nwait $!\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "2", "SLURM_JOB_ID": "7"}
    known = environment(CLUSTER=str(CLUSTER), **slurm)
    known["PATH"] = f"{tools}{os.pathsep}{known['PATH']}"
    words = ["cmc_lab", "--data", str(scenes), "--out", str(tmp_path / "four"), *WORDS]
    done = subprocess.run(
        ["bash", str(CLUSTER / "slurm.sbatch"), *words],
        env=known,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equals_one_process(tmp_path / "four", scenes, tmp_path / "one")


@pytest.mark.slow
def test_a_killed_node_is_named_and_one_process_resumes(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    nodes = two_nodes("torchrun.sh", "--data", str(scenes), "--out", str(out), *WORDS, "--steps", "2000")
    deadline = time.monotonic() + 600
    while not (out / "metrics.jsonl").exists() or len(losses(out)) < 8:
        assert nodes[0].poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    lost = psutil.Process(nodes[1].pid)
    for process in [*lost.children(recursive=True), lost]:
        process.send_signal(signal.SIGKILL)
    errors = nodes[0].communicate(timeout=120)[1]
    nodes[1].communicate()
    assert nodes[0].returncode != 0
    assert "ended or does not answer" in errors
    step = newest(out / "checkpoints").state["step"]
    assert run("cmc_lab", scenes, out, *WORDS[len(FAST) :], "--resume", "--steps", str(step + 2)) == 0
    assert [line["step"] for line in losses(out)] == list(range(1, step + 3))
