"""Fetches and sends whole files; what fails for a while is tried again, then named."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from multiview.errors import MultiviewError, printable
from multiview.files import sha256 as sha256_of
from multiview.remote.address import is_read_only, join, scheme_of
from multiview.remote.filesystem import filesystem, forget, plain_path, single_stream

T = TypeVar("T")
TRIES = 5
FIRST_WAIT = 0.5
"""Seconds before the second try; each further wait is twice as long."""
NO_RIGHTS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")
FULL = (errno.ENOSPC, errno.EDQUOT)


class WrongBytesError(Exception):
    """What arrived is not the file that was asked for; the reason."""


def fetch(address: str, name: str, target: Path, size: int | None = None, sha256: str | None = None) -> None:
    """Writes the file `name` at an address to `target`, in one stream, and checks it.

    size, sha256: of the whole file (None = not known). `target` holds half a file while this runs.
    Raises FileNotFoundError, and MultiviewError when the file cannot be fetched whole.
    """
    place = join(address, name)

    def act() -> None:
        filesystem(address).get_file(plain_path(place), str(target), **single_stream(address))
        _check(target, size, sha256)

    _retried(act, address, f"{place} cannot be fetched")


def _check(target: Path, size: int | None, sha256: str | None) -> None:
    if size is not None and target.stat().st_size != size:
        raise WrongBytesError(f"{target.stat().st_size} bytes arrived, not {size}")
    if sha256 is not None and sha256_of(target) != sha256:
        raise WrongBytesError("its sha256 is not that of the manifest")


def read_bytes(address: str, name: str) -> bytes | None:
    """A small file at an address; None when it is not there."""
    place = join(address, name)
    try:
        return _retried(
            lambda: bytes(filesystem(address).cat_file(plain_path(place))), address, f"{place} cannot be read"
        )
    except FileNotFoundError:
        return None


def send(path: Path, address: str, name: str) -> None:
    """Writes a local file to an address and checks its size there.

    Raises MultiviewError when it cannot be written, at once where addresses are read-only.
    """
    place = join(address, name)
    _require_writable(address)

    def act() -> None:
        system = filesystem(address)
        system.makedirs(plain_path(address), exist_ok=True)
        system.put_file(str(path), plain_path(place))
        system.invalidate_cache()
        there = int(system.info(plain_path(place))["size"])
        if there != path.stat().st_size:
            raise WrongBytesError(f"{there} bytes are there, not {path.stat().st_size}")

    _retried(act, address, f"{place} cannot be written")


def sizes(address: str) -> dict[str, int]:
    """The names of the files in the folder at an address, with their sizes in bytes."""

    def act() -> dict[str, int]:
        system = filesystem(address)
        system.invalidate_cache()
        found = system.ls(plain_path(address), detail=True)
        return {
            str(each["name"]).rsplit("/", 1)[-1]: int(each["size"] or 0) for each in found if each["type"] == "file"
        }

    try:
        return _retried(act, address, f"{address} cannot be listed")
    except FileNotFoundError:
        return {}


def remove(address: str, names: Iterable[str]) -> None:
    """Removes files at an address; files that are not there do no harm."""
    _require_writable(address)
    for name in names:
        place = join(address, name)
        try:
            _retried(partial(_remove, address, place), address, f"{place} cannot be removed")
        except FileNotFoundError:
            continue


def _require_writable(address: str) -> None:
    if is_read_only(address):
        raise MultiviewError(
            f"{address} can be read, and nothing can be written there: {scheme_of(address)}:// has no way to write. "
            "Give a folder, whose files you then copy to the server, or an address with s3://, gs:// or hf://."
        )


def _remove(address: str, place: str) -> None:
    filesystem(address).rm_file(plain_path(place))


def _retried(act: Callable[[], T], address: str, failed: str) -> T:
    """The result of `act`, which is tried `TRIES` times. Raises FileNotFoundError at once."""
    for attempt in range(1, TRIES + 1):
        try:
            return act()
        except (FileNotFoundError, MultiviewError):
            raise
        except Exception as cause:  # the errors of aiohttp and botocore have no common base
            if attempt == TRIES or _is_final(cause):
                raise MultiviewError(_sentence(failed, cause, attempt)) from cause
        if attempt > 1:
            forget(address)
        time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
    raise AssertionError


def _is_final(cause: Exception) -> bool:
    """Whether another try would fail alike."""
    return (
        isinstance(cause, (PermissionError, NotImplementedError))
        or type(cause).__name__ in NO_RIGHTS
        or getattr(cause, "errno", None) in FULL
    )


def _sentence(failed: str, cause: Exception, tries: int) -> str:
    reason = printable(" ".join(str(cause).split()))[:300]
    what = f"{failed}: {type(cause).__name__}{f' ({reason})' if reason else ''}"
    if isinstance(cause, WrongBytesError):
        return f"{failed}: {cause}, {tries} times. Write this file there again from a whole copy."
    if getattr(cause, "errno", None) in FULL:
        return f"{what}. The disk of the local cache is full: make room, or set MULTIVIEW_CACHE_DIR to another disk."
    if _is_final(cause):
        return f"{what}. Check the credentials of this user and the rights of the bucket."
    return f"{what}, after {tries} tries. Check the network and the server, then run the same command again."
