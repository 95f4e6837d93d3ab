"""The commands that join, split, check and show stores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from multiview import old_import_paths
from multiview.errors import MultiviewError
from multiview.exits import DONE, FAILED
from multiview.remote.address import is_address
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.data.write.finish import Report

__getattr__ = old_import_paths.names_of("commands.stores")


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Joins stores, or the parts of one store, into a new store.

    Parts that `multiview preprocess --shard 1/N` to `N/N` wrote become the store that one run
    would have written, byte for byte. Other stores are copied one after the other.

    Args:
        out: the folder of the new store.
        store: the stores or parts to join.
        view_statistics: as in `multiview preprocess`.
        overwrite: replace the store in OUT.
    """

    out: str
    store: tuple[str, ...]
    view_statistics: bool = True
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Split:
    """Copies a store with other splits; its statistics are those of the new training split.

    Args:
        store: the store's folder.
        out: the folder of the new store.
        split: TRAIN/VAL/TEST in percent.
        by: what decides on the split of a sample. `id` takes a hash of the id, `class` gives every
            class the same percentages, the name of a factor or of a stored column of groups
            keeps samples with one value together, as do `folder` and 'id:REGEX' (see `preprocess
            --group`), and a CSV file with the columns id and split sets the splits.
        workers: processes that write shards, 0 = one per core.
        view_statistics: as in `multiview preprocess`.
        overwrite: replace the store in OUT.
    """

    store: str
    out: str
    split: str = "70/10/20"
    by: str = "id"
    workers: int = 0
    view_statistics: bool = True
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Reads a whole store in a separate process with limits and reports every fault.

    The shards of an address are fetched anew, one by one.

    Args:
        store: the store's folder, or its address.
        memory: gigabytes that the process may use.
        seconds: time limit per shard.
    """

    store: str
    memory: float = 8.0
    seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Prints what a store holds and draws a contact sheet of every modality and view.

    Args:
        store: the store's folder, or its address.
        out: file of the picture (null = contact-sheet.png in the store's folder; for an address in
            the working folder).
        samples: rows of the picture.
        views: views to draw, with their options: '[L, bands:bands=8, "table:columns=[0,3]"]'
            (null = every installed view that needs no option and whose modality the store has).
    """

    store: str
    out: str | None = None
    samples: int = 8
    views: tuple[str, ...] | None = None


def merge(options: Merge) -> int:
    """multiview merge OUT STORE [STORE ...] [options]."""
    from multiview.data.write.merge import merge as join
    from multiview.data.write.progress import progress_bar

    for word in filter(is_address, (options.out, *options.store)):
        raise MultiviewError(f"merge works in folders, and {word} is an address: copy the stores to a disk first.")
    out, stores = Path(options.out), [Path(store) for store in options.store]
    _require_out_first(out, stores)
    with progress_bar(f"merging into {out}") as progress:
        report = join(out, stores, overwrite=options.overwrite, workers=0, progress=progress)
    return _finished(report, options.view_statistics)


def _require_out_first(out: Path, stores: list[Path]) -> None:
    """Raises MultiviewError when the new store seems to be named last."""
    *parts, last = stores
    if parts and not last.exists() and out.exists():
        words = " ".join(map(str, (last, out, *parts)))
        raise MultiviewError(f"there is no {last}. Merge takes the new store first: `multiview merge {words}`.")


def _finished(report: Report, view_statistics: bool) -> int:
    """Measures the views of a new store and says what it holds."""
    from multiview.data.load.viewstatistics import describe_views

    if view_statistics:
        describe_views(Path(report.out))
    say("\n".join(report.lines()))
    return DONE


def split(options: Split) -> int:
    """multiview split STORE OUT [options]."""
    from multiview.data.write.derived import Resplit
    from multiview.data.write.preprocess import preprocess
    from multiview.data.write.progress import progress_bar

    source = Resplit(store=options.store, split=options.split, by=options.by)
    write = partial(preprocess, name="split", workers=options.workers, overwrite=options.overwrite)
    with progress_bar(f"splitting {options.store}") as progress:
        report = write(source, None, Path(options.out), progress=progress)
    return _finished(report, options.view_statistics)


def verify(options: Verify) -> int:
    """multiview verify STORE [options]: 0 when the store is whole, 1 when it is damaged."""
    from multiview.data.store.verify import verify as read_all

    report = read_all(options.store, memory=options.memory, seconds=options.seconds)
    say("\n".join(report.lines()))
    return FAILED if report.faults else DONE


def inspect_store(options: Inspect) -> int:
    """multiview inspect STORE [options]."""
    from multiview.data.inspect.inspection import inspect_store as show

    out = Path(options.out) if options.out else None
    show(options.store, out=out, samples=options.samples, views=options.views)
    return DONE
