"""Two runs that open the same data at the same time."""

from __future__ import annotations

import threading
from pathlib import Path

from multiview.data.load.open_data import open_data
from multiview.data.write.lock import locked


def test_the_second_run_waits_for_the_first_and_says_so_once(tmp_path: Path) -> None:
    out, said, held = tmp_path / "scenes-6", [], threading.Event()
    out.mkdir()
    waited = threading.Event()

    def first() -> None:
        with locked(out):
            held.set()
            waited.wait(60)

    def say(text: str) -> None:
        said.append(text)
        waited.set()

    other = threading.Thread(target=first)
    other.start()
    held.wait(60)
    assert len(open_data("scenes:6", tmp_path, say)) == 6
    other.join()
    assert "is being written by process" in said[0]
    assert said[0].endswith("Waiting for that process; press Ctrl-C to stop waiting.")
    assert [line.split(":")[0] for line in said[1:]] == ["prepared scenes"]
