"""A small campaign with a fixed seed of the damage that `make torture` draws at random."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = ("--seed", "7", "--rounds", "1", "--kills", "4", "--minutes", "10")


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs the campaign in a fresh process, which forks its attempts."""
    command = [sys.executable, "-m", "torture", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", ["store", "run", "preprocess", "conditions", "kill"])
def test_a_round_of_the_campaign_finds_no_fault(part: str) -> None:
    done = campaign(*CAMPAIGN, "--only", part)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 faults" in done.stdout


def test_the_campaign_can_find_a_fault() -> None:
    done = campaign(*CAMPAIGN, "--only", "store manifest.json, read", "--plant")
    assert done.returncode == 1
    assert "silent wrong value" in done.stdout
