"""Files with one JSON object per line: read also after a power cut, written also to a full disk."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError
from multiview.files import NO_FOLLOW, refuse_link, replace_text
from multiview.parsing import MALFORMED, parsing, reason


def read_lines(path: Path, remedy: str) -> list[dict[str, Any]]:
    """The objects of a file; empty without a file.

    Leaves out a last line without its end, and lines that a power cut filled with zero bytes.
    Raises MultiviewError for any other line that is no JSON object.
    """
    records, faults = _parsed(path, remedy)
    if faults:
        raise MultiviewError(f"{path} is damaged ({faults[0]}); {remedy}")
    return records


class LineFile:
    """Appends objects to a file. A full disk never ends the program: standard error says so once.

    Raises MultiviewError when `path` is a link.
    """

    def __init__(self, path: Path) -> None:
        refuse_link(path)
        self.path = path
        self.reported = False

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Writes each object on a line of its own."""
        data = _text(records).encode()
        if data:
            self._guard(lambda: self._append(data))

    def keep_until(self, step: int) -> list[dict[str, Any]]:
        """Keeps the objects of steps until `step`, and returns them; damaged lines go."""
        kept: list[dict[str, Any]] = []

        def keep() -> None:
            whole = _parsed(self.path, "")[0]
            kept.extend(x for x in whole if type(x.get("step")) is int and x["step"] <= step)
            replace_text(self.path, _text(kept))

        self._guard(keep)
        return kept

    def _append(self, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_FOLLOW
        with os.fdopen(os.open(self.path, flags, 0o666), "ab", buffering=0) as file:
            whole = file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(whole)  # no half line, so that the next line is whole
                raise

    def _guard(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (OSError, MultiviewError) as cause:
            if not self.reported:
                text = reason(cause) if isinstance(cause, OSError) else str(cause)
                print(f"{self.path} cannot be written: {text}. The run goes on; lines are missing.", file=sys.stderr)
            self.reported = True


def _text(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _parsed(path: Path, remedy: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of a file, and the faults of its other lines."""
    if not path.exists():
        return [], []
    with parsing(str(path), remedy):
        lines = path.read_bytes().split(b"\n")[:-1]
    records: list[dict[str, Any]] = []
    faults = []
    for number, line in enumerate(lines, start=1):
        text = line.strip(b"\0 \r\t")
        try:
            value = json.loads(text.decode("utf-8")) if text else None
            if isinstance(value, dict):
                records.append(value)
            elif b"\0" not in line:
                faults.append(f"line {number} is no JSON object")
        except MALFORMED as cause:
            if b"\0" not in line:
                faults.append(f"line {number}: {reason(cause)}")
    return records, faults
