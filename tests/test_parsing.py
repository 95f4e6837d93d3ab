"""A malformed file ends in one sentence that names it, whatever is wrong with it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from multiview.errors import MultiviewError
from multiview.parsing import parsing, read_json, reason

REMEDY = "Restore it."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b'{"a": \xff}', "not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"\x00', "Invalid control character|Unterminated"),
        (b"1" * 5000, "digits"),
    ],
)
def test_a_malformed_json_file_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(content)
    with pytest.raises(MultiviewError, match=words) as error:
        read_json(file, REMEDY)
    text = str(error.value)
    assert text.startswith(f"{file} cannot be read: ")
    assert text.endswith(REMEDY)
    assert "\n" not in text


def test_a_missing_file_a_folder_and_a_link_loop(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (tmp_path / "none.json", tmp_path, loop):
        with pytest.raises(MultiviewError, match="cannot be read"):
            read_json(path, REMEDY)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps({"grün": [1, None]}), "utf-8")
    assert read_json(file, REMEDY) == {"grün": [1, None]}


@pytest.mark.parametrize("error", [KeyError("steps"), TypeError("no"), IndexError("list"), OverflowError("big")])
def test_wrong_structure_is_one_sentence_too(error: Exception) -> None:
    with (
        pytest.raises(MultiviewError, match=r"^state.json cannot be read: .*\. Restore it\.$"),
        parsing("state.json", REMEDY),
    ):
        raise error


def test_an_own_message_passes_unchanged() -> None:
    with pytest.raises(MultiviewError, match=r"^exactly this$"), parsing("x", REMEDY):
        raise MultiviewError("exactly this")


def test_few_handles_are_not_called_damage() -> None:
    assert "ulimit -n" in reason(OSError(errno.EMFILE, "Too many open files"))
