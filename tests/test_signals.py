"""Stop signals to all processes of a run, a closed terminal, and workers that do not answer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from small_runs import FAST, ROOT, losses
from torch.utils.data import DataLoader

import multiview as mv
from multiview.child import STOP_SIGNALS, leave_stopping_to_parent
from multiview.data.load import dataset
from multiview.train import loop
from multiview.train.checkpoint import newest
from multiview.train.stopping import StopRequest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_whole_group_saves_a_checkpoint(number: int, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, str(ROOT / "recipes/simclr.py"), "--data", str(scenes), "--out", str(out), *FAST]
    command += ["--steps", "5000", "--workers", "2"]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or len(losses(out)) < 2:
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = psutil.Process(run.pid).children(recursive=True)
        os.killpg(run.pid, number)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert newest(out / "checkpoints").state["step"] == losses(out)[-1]["step"]
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=10)[1]


def _worker(pipe) -> None:
    leave_stopping_to_parent()
    pipe.send("ready")
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_worker_ignores_signals_of_strangers_and_obeys_its_parent(number: int) -> None:
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=_worker, args=(theirs,))
    worker.start()
    assert ours.recv() == "ready"
    stranger = f"import os; os.kill({worker.pid}, {int(number)})"
    subprocess.run([sys.executable, "-c", stranger], check=True)
    worker.join(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, os, time\n"
        "from multiview.child import leave_stopping_to_parent\n"
        "def work():\n    leave_stopping_to_parent()\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.get_context('spawn').Process(target=work, daemon=True).start()\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=10)


def test_two_signals_at_once_are_one_request_and_a_later_one_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher forwards the signal that the terminal has sent to every process."""
    said: list[str] = []
    request = StopRequest()
    with request.listening(said.append):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        assert request.signal == signal.SIGTERM
        monkeypatch.setattr(request, "since", request.since - 5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert len(said) == 1


def test_nohup_keeps_a_run_going() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest().listening(print):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class _Stuck(torch.utils.data.Dataset):
    def __getitem__(self, _: object) -> None:
        time.sleep(30)


def test_a_worker_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "ANSWER_SECONDS", 1)
    loader = dataset.Loader.__new__(dataset.Loader)
    pool = DataLoader(_Stuck(), batch_size=None, sampler=[0], num_workers=1, timeout=1)
    with pytest.raises(mv.MultiviewError, match=r"no data worker has answered for 2 s \(processes \d+\)"):
        next(loader._from_workers(pool))


@pytest.mark.parametrize("received", [0, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_only_the_vote_decides_whether_a_run_ends(received: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives on this process after the vote must not change what it does next."""
    epochs: list[int] = []
    here = loop.Loop.__new__(loop.Loop)
    here.step, here.steps, here.stopped_by, here.batches = 0, 8, 0, [None]
    here.train, here.stop = mv.Train(), StopRequest()
    monkeypatch.setattr(loop, "largest", lambda numbers, _: [0, 0])
    here.saver = type("Saver", (), {"is_due": lambda *_: False})()
    here.window = loop.Window()
    here.parts = type(
        "Parts", (), {"accelerator": type("A", (), {"device": torch.device("cpu")}), "wrapped": torch.nn.ReLU()}
    )()
    here.loader = type("Loader", (), {"for_epoch": lambda *_: [None]})()

    def step(*_: object) -> None:
        here.step += 1
        here.stop.signal = received

    monkeypatch.setattr(here, "_step", step)
    monkeypatch.setattr(here, "_end_of_epoch", lambda epoch, _: epochs.append(epoch))
    here._epoch(None, None)
    assert epochs == [0]
