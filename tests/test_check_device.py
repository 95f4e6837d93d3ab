"""`multiview check device`: its parts on small sizes, its table, its JSON and its verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multiview.check import device, device_numbers, device_speed
from multiview.check.device_rows import BROKEN, OK, Row, judged
from multiview.check.options import CheckDevice
from multiview.check.shared_device import _verdict, shared_device
from multiview.errors import MultiviewError
from multiview.train import processes

CPU = torch.device("cpu")
TINY = device_speed.Sizes(2**16, 32, 8, 300, 8, 32, (16,), 8, "convnet", 0.1, 0.0, compiled=False)


def test_numbers_of_the_device_agree_with_those_of_the_cpu() -> None:
    rows = [*device_numbers.parity(CPU), *device_numbers.precision(CPU)]
    assert {"cmc", "moco", "simclr", "simsiam"} <= {row.what for row in rows}
    assert [row for row in rows if row.state != OK] == []
    by_precision = {row.what: row.value for row in rows if row.what.endswith("embeddings")}
    assert 0 < by_precision["float16 embeddings"] < by_precision["bfloat16 embeddings"]


def test_the_table_the_json_and_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    floors, bandwidth, rate = device_speed.floors(CPU, TINY)
    rows = [*floors, *device_speed.kernels(CPU, TINY, bandwidth, rate), *device_speed.steps(CPU, TINY, lambda: 99.0)]
    assert {row.part for row in rows} == {"floors", "kernels", "steps"}
    assert all(row.value is not None and row.value > 0 for row in rows)
    monkeypatch.setattr(device, "_rows", lambda *_: iter([*rows, judged("parity", "cmc", 2.0, 1.0)]))
    assert device.run(CheckDevice(quick=True, out=str(tmp_path / "found.json"))) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["rows"][-1] == {**vars(Row("parity", "cmc", 2.0, "", "at most 1", BROKEN))}
    out = capsys.readouterr().out
    assert "pictures per second" in out
    assert "1 row broken" in out


def test_no_size_is_compiled_for_which_no_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([200.0, 95.0, 95.0])  # the first size takes 105 s, so the second is expected to take more than is left
    monkeypatch.setattr(device_speed, "has_compiler", lambda: True)
    monkeypatch.setattr(device_speed, "_step", lambda _, __, size, compiled: iter([(size, compiled)]))
    sizes = replace(TINY, crops=(16, 32), compiled=True)
    *measured, last = device_speed.steps(CPU, sizes, lambda: next(times))
    assert measured == [(16, False), (32, False), (16, True)]
    assert last == Row("steps", "32 px, compiled", None, "", "left out: no time is left")


@pytest.mark.slow
def test_two_processes_share_a_cpu() -> None:
    assert [row.state for row in shared_device(CPU)] == [OK]


def test_what_is_said_of_two_processes() -> None:
    assert _verdict(["right", "right"]).state == OK
    refused = _verdict(["refused: 2 processes were launched", "refused: 2 processes were launched"])
    assert (refused.state, refused.beside) == (OK, "2 processes were launched")
    assert _verdict(["right", "Traceback\nRuntimeError: lost"]).beside == "RuntimeError: lost"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(MultiviewError, match="2 processes were launched on this machine, which has 1 GPU"):
        processes.refuse_shared_gpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    processes.refuse_shared_gpu()
