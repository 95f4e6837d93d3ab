"""Looking at a store: what it holds in words, and a contact sheet of every modality and view."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from multiview.data.inspect import pictures
from multiview.data.inspect.lettering import write
from multiview.data.inspect.presence import patterns, presence_text
from multiview.data.load.viewstatistics import usable
from multiview.data.modality import ANY, Modality
from multiview.data.store.reading import Store
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.files import size_text
from multiview.plugins import load
from multiview.plurals import counted
from multiview.view import Crop, View, make_view

if TYPE_CHECKING:
    from PIL.Image import Image

Render = Callable[[View, Modality, np.ndarray], np.ndarray]
"""(view, its modality, one stored sample) -> floats (channels, ...) in the view's unit."""

SECONDS = 5
CELL = 128
GAP = 8
LEFT = 150
TOP = 44
LISTED = 20
LISTED_FACTORS = 6


def inspect_store(path: Path, out: Path | None = None, samples: int = 8, views: Sequence[str] | None = None) -> Path:
    """Prints the summary of the store at `path` and draws its contact sheet; returns the picture's path.

    out: the picture (`contact-sheet.png` in the store by default). views: names of installed views, with options where
    they need them (`bands:bands=8`); by default all whose modality is in the store. Raises MultiviewError for no store,
    an unknown view or option, or a view whose modality the store lacks.
    """
    from rich.console import Console

    store = Store.open(path)
    drawn = _views(store, views)
    console = Console(highlight=False)
    show(store, console)
    picture = contact_sheet(store, out or path / "contact-sheet.png", drawn, rendered, samples)
    console.print(f"contact sheet: {picture}", soft_wrap=True)
    return picture


def _views(store: Store, names: Sequence[str] | None) -> dict[str, View]:
    stored = {modality.name for modality in store.manifest.modalities}
    if names is not None:
        views = {name: _spelled(name) for name in names}
        for name, view in views.items():
            if view.modality not in stored:
                there = ", ".join(sorted(stored))
                raise MultiviewError(f"view '{name}' reads {view.modality}; this store holds {there}. Leave it out.")
        return views
    return usable(store)


def _spelled(words: str) -> View:
    """The view that `NAME` or `NAME:OPTION=VALUE:OPTION=VALUE` means. Raises MultiviewError as `make_view` does, and says how
    options are written where some are missing.
    """
    name, *rest = words.split(":")
    load("views", name)
    if not all("=" in option for option in rest):
        raise MultiviewError(f"'{words}' is no view with options; write NAME:OPTION=VALUE, such as bands:bands=8.")
    pairs = (option.partition("=") for option in rest)
    options = {option: _value(text) for option, _, text in pairs}
    try:
        return make_view(name, Crop(), **options)
    except (TypeError, ValueError) as error:
        raise MultiviewError(f"'{words}' has an option of the wrong kind: {error}.") from error
    except MultiviewError as error:
        raise MultiviewError(f"{error} Options follow the name: --views '[\"{name}:OPTION=VALUE\"]'.") from error


def _value(text: str) -> Any:
    """A number, a tuple of numbers or whatever else YAML reads."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return tuple(found) if isinstance(found, list) else found


def rendered(view: View, stored: Modality, sample: np.ndarray) -> np.ndarray:
    """One stored sample as the view's numbers (channels, ...), in its unit: converted, neither cropped in the picture,
    augmented nor normalised; of what lasts, the first `SECONDS`.
    """
    import torch

    from multiview.batch import Batch
    from multiview.data.load.crops import laid_out
    from multiview.viewlayer import ViewLayer

    part = sample[: max(1, round(SECONDS * stored.rate))] if stored.timed and stored.rate else sample
    layer = ViewLayer({"it": replace(view, mean=(0.0,), std=(1.0,), missing=None, augment=None)})
    batch = Batch({view.crop.name: {stored.name: laid_out(stored, part[None])}}, torch.zeros(1, dtype=torch.int64), {})
    return np.asarray(layer(batch)["it"][0].numpy())


def show(store: Store, console: Any) -> None:
    """Prints `summary` as a table on a rich console."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for name, text in summary(store):
        table.add_row(name, Text(text))
    console.print(table)


def summary(store: Store) -> list[tuple[str, str]]:
    """What a store holds, as (heading, text): origin, counts, splits, classes, modalities with their values, factors,
    rejects.
    """
    manifest = store.manifest
    origin = manifest.provenance
    size = sum(shard.size for shard in manifest.shards)
    lines = [
        (
            "store",
            f"{store.path}, {size_text(size)} in {counted(len(manifest.shards), 'shard')}",
        ),
        ("made from", f"{origin.source} {origin.input or ''} {_options(origin.options)}".replace("  ", " ").strip()),
        ("samples", f"{len(store)}, {manifest.rejected} rejected" + " (rejects.jsonl)" * (manifest.rejected > 0)),
        ("splits", _counted(dict(manifest.splits), len(store), "in no split")),
        ("classes", _classes(store)),
    ]
    lines += [(modality.name, _modality(store, modality)) for modality in manifest.modalities]
    lines += [(f"view {name}", _ranges(found)) for name, found in sorted(manifest.views.items())]
    found = patterns(store)
    if len(found) > 1:
        lines.append(("presence", presence_text(found)))
    if manifest.factors:
        lines.append(("factors", _factors(store)))
    return [*lines, ("versions", ", ".join(f"{name} {version}" for name, version in origin.versions.items()))]


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items() if value is not None)


def _counted(counts: Mapping[str, int], total: int, rest: str) -> str:
    parts = [f"{name} {count}" for name, count in counts.items()]
    shown = parts[:LISTED] + [f"and {len(parts) - LISTED} more"] * (len(parts) > LISTED)
    missing = total - sum(counts.values())
    return ", ".join(shown + [f"{missing} {rest}"] * (missing > 0)) or "none"


def _classes(store: Store) -> str:
    names = store.manifest.classes
    labels = store.labels
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    text = _counted(dict(zip(names, map(int, counts), strict=True)), len(store), "unlabelled")
    return f"{len(names)}: {text}" if names else text


def _modality(store: Store, modality: Modality) -> str:
    shape = "x".join("any" if size == ANY else str(size) for size in modality.shape) or "a number"
    shape = f"{modality.encoding} files" if modality.encoding else shape
    rate = f", {modality.rate} Hz" if modality.rate else ""
    there = store.present(modality.name)
    absent = int((~there).sum())
    lacking = f"; {counted(absent, 'sample lacks it', 'samples lack it')}" if absent else ""
    dtype = "" if modality.encoding else f"{modality.dtype} "
    return f"{modality.kind}, {dtype}{shape}, {modality.unit}{rate}{_statistics(store, modality)}{lacking}"


def _statistics(store: Store, modality: Modality) -> str:
    found = store.manifest.statistics.get(modality.name)
    if found is None:
        return "; nothing measured"
    over = "train" if "train" in store.split_names else "all"
    if modality.kind == "mask":
        return f"; {min(found.low):.4g} to {max(found.high):.4g} ({over})"
    return f"; {_ranges(found)} ({over})"


def _ranges(found: Statistics) -> str:
    """Lowest and highest value, and the means of up to four channels."""
    text = f"{min(found.low):.4g} to {max(found.high):.4g}"
    if len(found.mean) > 4:
        return text
    means = ", ".join(f"{mean:.4g} ± {std:.3g}" for mean, std in zip(found.mean, found.std, strict=True))
    return f"{text}, mean {means}"


def _factors(store: Store) -> str:
    names = store.manifest.factors
    ranges = []
    for name in names[:LISTED_FACTORS]:
        known = store.factor(name)[np.isfinite(store.factor(name))]
        ranges.append(f"{name} {known.min():.3g} to {known.max():.3g}" if len(known) else f"{name} without values")
    more = len(names) - LISTED_FACTORS
    return f"{len(names)}: {', '.join(ranges)}" + (f", and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class _Column:
    """A column of the sheet: what stands above it, the modality it reads, and how a sample becomes a picture."""

    title: str
    subtitle: str
    modality: str
    draw: Callable[[np.ndarray], np.ndarray]


def contact_sheet(store: Store, path: Path, views: Mapping[str, View], render: Render, n: int = 8) -> Path:
    """Draws `n` samples, evenly spread over the store, as a PNG: a row a sample, a column for every modality and view.

    render: makes a view's planes from a stored sample (`rendered` does). Raises MultiviewError when the picture cannot
    be written.
    """
    from PIL import Image

    rows = np.unique(np.linspace(0, len(store) - 1, min(max(n, 1), len(store))).round().astype(int))
    columns = [_of_modality(store, modality) for modality in store.manifest.modalities]
    columns += [_of_view(store, name, view, render) for name, view in views.items()]
    pitch = CELL + GAP
    sheet = Image.new("RGB", (LEFT + len(columns) * pitch, TOP + len(rows) * pitch), "white")
    for place, row in enumerate(rows):
        write(sheet, (GAP, TOP + place * pitch + GAP), _caption(store, int(row)), LEFT - 2 * GAP)
    for place, column in enumerate(columns):
        write(sheet, (LEFT + place * pitch, GAP), [column.title, column.subtitle], CELL)
        for down, cell in enumerate(_cells(store, column, rows)):
            sheet.paste(cell, (LEFT + place * pitch, TOP + down * pitch))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "PNG")
    except OSError as cause:
        raise MultiviewError(
            f"the contact sheet cannot be written to {path}: {cause}. Choose another with --out."
        ) from cause
    return path


def _of_modality(store: Store, modality: Modality) -> _Column:
    found = store.manifest.statistics.get(modality.name) or Statistics(0, (0.0,), (1.0,), (0.0,), (1.0,))
    subtitle = f"{modality.unit}, {min(found.low):.3g} to {max(found.high):.3g}"
    low, high = _usual(found) if modality.kind == "depth" else (min(found.low), max(found.high))
    return _Column(
        modality.name, subtitle, modality.name, lambda sample: pictures.of_modality(modality, sample, low, high)
    )


def _usual(found: Statistics) -> tuple[float, float]:
    """The range that most values lie in, so that a far horizon leaves colours for the rest."""
    reach = 2 * found.std[0]
    return max(found.low[0], found.mean[0] - reach), min(found.high[0], found.mean[0] + reach)


def _of_view(store: Store, name: str, view: View, render: Render) -> _Column:
    channels = view.channels
    stored = store.modality(view.modality)
    low, high = _range(store, view)
    if stored.kind == "depth" and stored.unit == channels.unit and stored.name in store.manifest.statistics:
        low, high = _usual(store.manifest.statistics[stored.name])

    def draw(sample: np.ndarray) -> np.ndarray:
        values = render(view, stored, sample)
        there = (values != 0).any(axis=0) if stored.kind in ("depth", "normal") and values.ndim == 3 else None
        if stored.kind == "depth" and len(values) == 1:
            return pictures.ramp(values[0], low, high, there)
        return pictures.of_view(values, low, high, there)

    return _Column(f"view {name}", f"{channels.unit}, {low:.3g} to {high:.3g}", view.modality, draw)


def _range(store: Store, view: View) -> tuple[float, float]:
    """Of the view's channels; where they are open, as those of stored numbers are, what was measured of those it takes.

    Raises MultiviewError when it takes channels that are not stored.
    """
    low, high = view.channels.low, view.channels.high
    found = store.manifest.statistics.get(view.modality)
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    if found is None or view.convert is not None:
        return 0.0, 1.0
    view.with_statistics(store.manifest.statistics, {view.modality: store.modality(view.modality)})
    taken = range(len(found.low)) if view.take is None else view.take
    return min(found.low[each] for each in taken), max(found.high[each] for each in taken)


def _cells(store: Store, column: _Column, rows: np.ndarray) -> list[Image]:
    from PIL import Image

    there = store.present(column.modality)[rows]
    samples = store.read(rows, column.modality)
    blank = np.full((CELL, CELL, 3), pictures.ABSENT, "uint8")
    return [
        _fitted(Image.fromarray(column.draw(sample) if known else blank))
        for sample, known in zip(samples, there, strict=True)
    ]


def _fitted(picture: Image) -> Image:
    """The picture in a cell, in proportion; small ones in whole pixels, so that every sample is seen."""
    from PIL import Image

    scale = min(CELL / picture.width, CELL / picture.height)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(picture.resize(size, how), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def _caption(store: Store, row: int) -> list[str]:
    label = int(store.labels[row])
    return [store.ids[row], store.manifest.classes[label] if label >= 0 else "unlabelled", f"row {row}"]
