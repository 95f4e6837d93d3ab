"""The commits that trained runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from multiview.train.runfolder import ENVIRONMENT


def commits_of(runs: Sequence[Path]) -> str:
    """The commits that trained the runs; that of this file where a run does not say it."""
    known = [json.loads(file.read_text("utf-8"))["git"] for run in runs if (file := run / ENVIRONMENT).is_file()]
    return ", ".join(dict.fromkeys((each or _here())[:7] for each in known or [""]))


def _here() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
