"""Groups of samples, such as the recordings of one patient, from the ids of the samples."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from multiview.errors import MultiviewError

FOLDER = "folder"
PATTERN = "id:"
LABEL = "label"


def groups_by_id(column: str, ids: Sequence[str]) -> list[str | None] | None:
    """The group of each id for `folder` or `id:REGEX`; None when `column` is neither.

    `folder`: the folders of the id, `a/b` of `a/b/c`. `id:REGEX`: what the first parentheses of the
    expression match anywhere in the id, or without parentheses all that it matches. An id without
    either has no group: None. Raises MultiviewError for a wrong expression, and when no id has a
    group.
    """
    if column == FOLDER:
        found = [posixpath.dirname(name) or None for name in ids]
    elif column.startswith(PATTERN):
        pattern = _compiled(column)
        found = [_matched(pattern, name) for name in ids]
    else:
        return None
    if ids and not any(found):
        raise MultiviewError(f"--group '{column}' finds a group in no id; ids are like '{ids[0]}'.")
    return found


def _compiled(column: str) -> re.Pattern[str]:
    try:
        return re.compile(column.removeprefix(PATTERN))
    except re.error as cause:
        raise MultiviewError(
            f"--group '{column}' is no regular expression ({cause}); for ids such as p01_03 write "
            r"--group 'id:^([^_]+)_'."
        ) from cause


def _matched(pattern: re.Pattern[str], name: str) -> str | None:
    match = pattern.search(name)
    return None if match is None else (match[1] if pattern.groups else match[0]) or None
