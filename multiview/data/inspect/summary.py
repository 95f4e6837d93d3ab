"""What a store holds, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from multiview.data.inspect.presence import count_patterns, presence_text
from multiview.data.modality import ANY, Modality
from multiview.data.store.reading import Store
from multiview.data.store.statistics import Statistics
from multiview.files import size_text
from multiview.plurals import counted

LISTED = 20
LISTED_FACTORS = 6


def print_summary(store: Store, console: Any) -> None:
    """Prints `summarise` as a table on a rich console."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for name, text in summarise(store):
        table.add_row(name, Text(text))
    console.print(table)


def summarise(store: Store) -> list[tuple[str, str]]:
    """What a store holds, as (heading, text)."""
    manifest = store.manifest
    origin = manifest.provenance
    size = sum(shard.size for shard in manifest.shards)
    lines = [
        ("store", f"{store.name}, {size_text(size)} in {counted(len(manifest.shards), 'shard')}"),
        (
            "made from",
            f"{origin.source} {origin.input or ''} {_options_text(origin.options)}".replace("  ", " ").strip(),
        ),
        ("samples", f"{len(store)}, {manifest.rejected} rejected" + " (rejects.jsonl)" * (manifest.rejected > 0)),
        ("splits", _counts_text(dict(manifest.splits), len(store), "in no split")),
        ("classes", _classes_text(store)),
    ]
    lines += [(modality.name, _modality_text(store, modality)) for modality in manifest.modalities]
    lines += [(f"view {name}", _range_text(statistics)) for name, statistics in sorted(manifest.views.items())]
    patterns = count_patterns(store)
    if len(patterns) > 1:
        lines.append(("presence", presence_text(patterns)))
    if manifest.factors:
        lines.append(("factors", _factors_text(store)))
    return [*lines, ("versions", ", ".join(f"{name} {version}" for name, version in origin.versions.items()))]


def _options_text(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items() if value is not None)


def _counts_text(counts: Mapping[str, int], total: int, rest: str) -> str:
    parts = [f"{name} {count}" for name, count in counts.items()]
    shown = parts[:LISTED] + [f"and {len(parts) - LISTED} more"] * (len(parts) > LISTED)
    missing = total - sum(counts.values())
    return ", ".join(shown + [f"{missing} {rest}"] * (missing > 0)) or "none"


def _classes_text(store: Store) -> str:
    names = store.manifest.classes
    labels = store.labels
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    text = _counts_text(dict(zip(names, map(int, counts), strict=True)), len(store), "unlabelled")
    return f"{len(names)}: {text}" if names else text


def _modality_text(store: Store, modality: Modality) -> str:
    shape = "x".join("any" if size == ANY else str(size) for size in modality.shape) or "a number"
    shape = f"{modality.encoding} files" if modality.encoding else shape
    rate = f", {modality.rate} Hz" if modality.rate else ""
    absent = int((~store.present(modality.name)).sum())
    lacking = f"; {counted(absent, 'sample lacks it', 'samples lack it')}" if absent else ""
    dtype = "" if modality.encoding else f"{modality.dtype} "
    return f"{modality.kind}, {dtype}{shape}, {modality.unit}{rate}{_statistics_text(store, modality)}{lacking}"


def _statistics_text(store: Store, modality: Modality) -> str:
    statistics = store.manifest.statistics.get(modality.name)
    if statistics is None:
        return "; nothing measured"
    over = "train" if "train" in store.split_names else "all"
    if modality.kind == "mask":
        return f"; {min(statistics.low):.4g} to {max(statistics.high):.4g} ({over})"
    return f"; {_range_text(statistics)} ({over})"


def _range_text(statistics: Statistics) -> str:
    """Lowest and highest value, and means when there are at most four channels."""
    text = f"{min(statistics.low):.4g} to {max(statistics.high):.4g}"
    if len(statistics.mean) > 4:
        return text
    means = ", ".join(f"{mean:.4g} ± {std:.3g}" for mean, std in zip(statistics.mean, statistics.std, strict=True))
    return f"{text}, mean {means}"


def _factors_text(store: Store) -> str:
    names = store.manifest.factors
    ranges = []
    for name in names[:LISTED_FACTORS]:
        known = store.factor(name)[np.isfinite(store.factor(name))]
        ranges.append(f"{name} {known.min():.3g} to {known.max():.3g}" if len(known) else f"{name} without values")
    more = len(names) - LISTED_FACTORS
    return f"{len(names)}: {', '.join(ranges)}" + (f", and {more} more" if more > 0 else "")
