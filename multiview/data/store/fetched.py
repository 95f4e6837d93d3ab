"""Opens the store at an address: its manifest and columns are fetched at once, shards when read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from multiview.data.store import columnfile
from multiview.data.store import manifest as manifests
from multiview.data.store.columnfile import ColumnFile, ColumnFileError, hash_of_shards
from multiview.data.store.manifest import Manifest
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, partial_path, replace_bytes
from multiview.remote.address import is_read_only, join
from multiview.remote.cache import LOCKS, ShardCache, cache_limit, cache_root
from multiview.remote.filelocks import alone
from multiview.remote.transfer import fetch, read_bytes

REJECTS = "rejects.jsonl"


def fetched(address: str, size: str | int | None = None, root: Path | None = None) -> tuple[ShardCache, Manifest]:
    """The cache of the store at `address`, in which manifest and columns are, and the manifest.

    Args:
        address: such as `s3://bucket/photos`.
        size: bytes that all fetched stores may take, see `cache_limit`.
        root: the folder of all fetched stores (None = that of this user).

    Raises MultiviewError when there is no store, and when it cannot be read.
    """
    limit = cache_limit(size)
    manifest, text = manifest_at(address)
    cache = ShardCache(address, root or cache_root(), limit, hash_of_shards(manifest.shards))
    with alone(cache.folder / LOCKS / manifests.NAME):
        _keep(cache.folder / manifests.NAME, text)
        for remains in cache.folder.glob(f"{columnfile.NAME}.*{PARTIAL}"):  # of a process that was killed
            remains.unlink(missing_ok=True)
        if not _is_right(cache.folder, manifest):
            _fetch_columns(cache)
        if manifest.rejected and not (cache.folder / REJECTS).exists():
            _keep(cache.folder / REJECTS, read_bytes(address, REJECTS) or b"")
    return cache, manifest


def manifest_at(address: str) -> tuple[Manifest, bytes]:
    """The manifest of the store at an address, and its text as it is there.

    Raises MultiviewError when there is no store, and when the manifest is damaged.
    """
    text = read_bytes(address, manifests.NAME)
    if text is None:
        raise _no_store(address)
    return Manifest.from_json(_decoded(text, address), join(address, manifests.NAME)), text


def _no_store(address: str) -> MultiviewError:
    what = f"{address} is no store (no {manifests.NAME} there)"
    if is_read_only(address):
        return MultiviewError(
            f"{what}. Check the address; a new store is made in a folder, with "
            "`multiview preprocess SOURCE INPUT OUT`, and the folder OUT is then copied to the server."
        )
    return MultiviewError(
        f"{what}. If a command is writing it, wait for its end; "
        f"make one with `multiview preprocess SOURCE INPUT {address}`."
    )


def _decoded(text: bytes, address: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as cause:
        raise MultiviewError(f"{join(address, manifests.NAME)} is damaged: it is not UTF-8 text.") from cause


def _keep(path: Path, content: bytes) -> None:
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    replace_bytes(path, content)


def _is_right(folder: Path, manifest: Manifest) -> bool:
    """Whether the column file is there and of these shards; each column has a hash of its own."""
    try:
        ColumnFile(folder, manifest)
    except (OSError, ColumnFileError):
        return False
    return True


def _fetch_columns(cache: ShardCache) -> None:
    """Fetches the column file; a store of an older version has none, and its shards are read."""
    partial = partial_path(cache.folder / columnfile.NAME)
    try:
        fetch(cache.address, columnfile.NAME, partial)
        partial.replace(cache.folder / columnfile.NAME)
    except FileNotFoundError:
        return
    finally:
        partial.unlink(missing_ok=True)
