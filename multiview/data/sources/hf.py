"""Datasets of Hugging Face: Parquet, Arrow, WebDataset archives, and names of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from multiview.data.columns.array_roles import IDS, LABELS, SPLITS
from multiview.data.columns.held_arrays import HeldArrays, HeldColumn, column_of, held_arrays
from multiview.data.columns.hf_columns import (
    LabelTexts,
    Parts,
    array_columns,
    class_column,
    file_column,
    kind_of_feature,
    skipped_note,
    undecoded,
    value_column,
)
from multiview.data.listing import splits
from multiview.data.listing.labels import is_label_like
from multiview.data.source import Plan
from multiview.data.sources.arrays import Arrays
from multiview.data.values import NAMED, ChannelAxis, check_channel_axis, parse_modalities
from multiview.errors import MultiviewError, unknown_name

PREFIX = "hf"
KEY = "__key__"
"""The column of the names of samples in WebDataset archives."""
RENAMED = {"txt": "text", "caption": "text"} | dict.fromkeys(("jpg", "jpeg", "png", "webp"), "image")
RENAMED |= dict.fromkeys(("wav", "flac", "mp3", "ogg"), "audio")
"""Names of columns that are endings of files, and what they hold."""
CLASSES = ("label", *(name for name in LABELS if name != "label"), "cls")


@dataclass(frozen=True, kw_only=True)
class HuggingFace:
    """A dataset of Hugging Face `datasets`: pictures, sounds, texts, arrays and classes.

    hf:PATH reads a `.parquet` or `.tar` (WebDataset) file, a folder of such files, or a folder that
    `save_to_disk` wrote; hf:NAME loads a dataset of the hub. Pictures stay the bytes of their
    files, each in its own size. A feature ClassLabel, or a column called `label`, gives the
    classes. The splits of the dataset are kept; a dataset with one split is split by a hash.
    Needs `pip install 'multiview-cmc[hf]'`.

    Args:
        dataset: path or name of the dataset.
        configuration: its name, for datasets of the hub that have several.
        modalities: columns to read, as [COLUMN, ...], {NAME: COLUMN} or, to give the kind as well,
            {"NAME:KIND": COLUMN} (null = pictures, sounds, arrays, and texts called text or
            caption).
        id_column: column of ids (null = `id` or `__key__` if it exists, else the number of the
            row).
        label_column: column of classes (null = `label` or the like, else the only ClassLabel).
        split_column: column of splits (null = the splits of the dataset, else `split`).
        split: TRAIN/VAL/TEST in percent. A hash of each id decides the split where nothing does.
        rate: samples per second of sounds, which are resampled (null = their commonest rate).
        series_rate: samples per second of series (null = --rate).
        channel_axis: place of the channels of bands, series and the like: last, first or guess.
    """

    dataset: str = ""
    configuration: str | None = None
    modalities: dict[str, str] | tuple[str, ...] | None = None
    id_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    split: str = "70/10/20"
    rate: int | None = None
    series_rate: float | None = None
    channel_axis: ChannelAxis = "guess"

    needs_input: ClassVar[bool] = False
    shorthand: ClassVar[str] = "dataset"

    def __post_init__(self) -> None:
        splits.parse_shares(self.split)
        parse_modalities(self.modalities or ())
        check_channel_axis(self.channel_axis)

    def plan(self, root: Path | None) -> Plan:
        """Plans one sample per row. Raises MultiviewError when the dataset cannot be loaded."""
        return self.plan_dataset(load_dataset(str(root) if root else self.dataset, self.configuration))

    def plan_dataset(self, dataset: Any) -> Plan:
        """Plans a dataset, or the splits of a DatasetDict, that is loaded."""
        arrays, source, classes, notes = self.columns_of(dataset)
        plan = source.plan_arrays(arrays)
        used = {row.label for row in plan.rows if row.label}
        classes = classes if classes and used <= set(classes) else None
        taken = {
            source.id_column,
            source.label_column,
            source.split_column,
            *(each.where[0] for each in parse_modalities(source.modalities or ())),
        }
        texts = LabelTexts(Parts(tuple(dataset.values() if isinstance(dataset, Mapping) else [dataset])))
        others = [name for name in texts.names() if name not in taken]
        return replace(plan, classes=classes, notes=(*notes, *plan.notes), column=texts, others=others)

    def columns_of(self, dataset: Any) -> tuple[HeldArrays, Arrays, tuple[str, ...] | None, list[str]]:
        """The columns, the source that plans them, the names of the classes, and notes."""
        named = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
        parts = Parts(tuple(undecoded(part.with_format(None)) for part in named.values()))
        if not len(parts):
            raise MultiviewError(f"the dataset {self.dataset} has no sample.".replace("  ", " "))
        features = _common_features(parts)
        roles = self._roles(features, several=len(named) > 1)
        chosen, skipped = self._chosen(features, {name for name in roles.values() if name})
        columns, notes = self._read(parts, features, list(chosen.values()))
        columns |= {name: _role_column(parts, features, name) for name in features if name in roles.values()}
        columns |= {PREFIX: _split_column(named)} if roles["split"] == PREFIX else {}
        classes = _classes(features.get(roles["label"] or ""))
        arrays = held_arrays(columns, len(parts))
        return arrays, self._arrays(chosen, roles), classes, [*notes, *skipped_note(skipped)]

    def _arrays(self, chosen: Mapping[str, str], roles: Mapping[str, str | None]) -> Arrays:
        """The source that plans the columns as it plans arrays."""
        given = parse_modalities(self.modalities or ())
        kinds = {each.name: f"{each.name}:{each.kind}" for each in given if each.kind}
        return Arrays(
            modalities={kinds.get(name, name): column for name, column in chosen.items()},
            id_column=roles["id"],
            label_column=roles["label"],
            split_column=roles["split"],
            split=self.split,
            rate=self.series_rate or self.rate,
            channel_axis=self.channel_axis,
        )

    def _roles(self, features: Mapping[str, Any], several: bool) -> dict[str, str | None]:
        """The columns of ids, classes and splits; `hf` stands for the splits of the dataset."""
        given = {"id": self.id_column, "label": self.label_column, "split": self.split_column}
        _require_columns(filter(None, given.values()), features)
        scalar = {name for name, each in features.items() if kind_of_feature(each) in ("class", "text", "number")}
        classes = [name for name in features if kind_of_feature(features[name]) == "class"]
        label = _first(CLASSES, scalar) or (classes[0] if len(classes) == 1 else None)
        usual = {"id": _first((*IDS, KEY), scalar), "label": label}
        usual["split"] = PREFIX if several else _first(SPLITS, scalar)
        return {role: given[role] or usual[role] for role in given}

    def _chosen(self, features: Mapping[str, Any], roles: set[str]) -> tuple[dict[str, str], list[str]]:
        """Modality -> its column, and the columns that are left out."""
        if self.modalities:
            chosen = {each.name: each.where[0] for each in parse_modalities(self.modalities)}
            _require_columns(chosen.values(), features)
            return chosen, []
        found = [name for name, feature in features.items() if name not in roles and _is_modality(name, feature)]
        if not found:
            raise MultiviewError(
                f"no column of the dataset looks like a modality; it has: {', '.join(features)}. Choose columns with "
                "--modalities '{NAME: COLUMN}'."
            )
        left = [name for name in features if name not in roles and name not in found and name != "__url__"]
        return _modality_names(found), left

    def _read(
        self, parts: Parts, features: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[dict[str, HeldColumn], list[str]]:
        kinds = {name: kind_of_feature(features[name]) for name in names}
        columns = array_columns(parts, [name for name in names if kinds[name] == "array"])
        notes: list[str] = []
        for name, kind in kinds.items():
            if kind in ("image", "audio"):
                columns[name], more = file_column(parts, name, kind, self.rate)
                notes += more
            elif kind in ("text", "number", "class"):
                columns[name] = value_column(parts, name)
            elif kind != "array":
                raise MultiviewError(f"the column '{name}' is a {kind}, which no modality can hold; leave it out.")
        return columns, notes


def _common_features(parts: Parts) -> dict[str, Any]:
    features = dict(parts.parts[0].features)
    if any(dict(part.features) != features for part in parts.parts):
        raise MultiviewError("the splits of the dataset have different columns; give them one by one.")
    return features


def _classes(feature: Any) -> tuple[str, ...] | None:
    """The names of the classes of a ClassLabel."""
    return tuple(feature.names) if feature is not None and kind_of_feature(feature) == "class" else None


def _role_column(parts: Parts, features: Mapping[str, Any], name: str) -> HeldColumn:
    if kind_of_feature(features[name]) == "class":
        return class_column(parts, name, features[name].names)
    return value_column(parts, name)


def _first(words: Sequence[str], names: set[str]) -> str | None:
    return next((name for word in words for name in sorted(names) if name.casefold() == word), None)


def _require_columns(names: Iterable[str], features: Mapping[str, Any]) -> None:
    for name in names:
        if name not in features:
            raise unknown_name("column of the dataset", name, features)


def _modality_names(columns: Sequence[str]) -> dict[str, str]:
    """Modality -> its column; a name such as `jpg` becomes `image` where only one column does."""
    names = {name: RENAMED.get(name.rpartition(".")[2].casefold(), name) for name in columns}
    clear = {name: new if [*names.values()].count(new) == 1 else name for name, new in names.items()}
    return {new.replace(".", "_"): name for name, new in clear.items()}


def _is_modality(name: str, feature: Any) -> bool:
    kind = kind_of_feature(feature)
    meant = RENAMED.get(name.rpartition(".")[2].casefold(), name)
    text = kind == "text" and NAMED.get(meant.casefold()) == "text"
    return kind in ("image", "audio") or text or (kind == "array" and not is_label_like(name))


def _split_column(named: Mapping[str, Any]) -> HeldColumn:
    return column_of(PREFIX, np.array([name for name, part in named.items() for _ in range(len(part))]))


def load_dataset(name: str, config: str | None = None) -> Any:
    """The dataset at a path, or of that name on the hub.

    Raises MultiviewError when `datasets` is not installed, or does not find or read the dataset.
    """
    if not name:
        raise MultiviewError("the source hf needs a dataset; type hf:PATH or hf:NAME, such as hf:photos.parquet.")
    datasets = _package()
    try:
        return _loaded(datasets, Path(name), config)
    except Exception as cause:  # whatever the builders of `datasets` raise
        raise MultiviewError(
            f"{name} cannot be loaded by `datasets`: {_first_line(cause)}. Give a .parquet or .tar file, a folder of "
            "such files, a folder that save_to_disk wrote, or the name of a dataset of the hub."
        ) from cause


def _package() -> Any:
    try:
        import datasets
    except ImportError as cause:
        raise MultiviewError(
            "the source hf needs the package `datasets`; type pip install 'multiview-cmc[hf]'."
        ) from cause
    datasets.disable_progress_bars()
    return datasets


def is_saved(path: Path) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _loaded(datasets: Any, path: Path, config: str | None) -> Any:
    kinds = {".parquet": "parquet", ".tar": "webdataset", ".arrow": "arrow"}
    if path.is_file() and path.suffix.casefold() in kinds:
        return datasets.load_dataset(kinds[path.suffix.casefold()], data_files=str(path), split="train")
    if is_saved(path):
        return datasets.load_from_disk(str(path))
    if path.is_file():
        raise ValueError(f"no builder reads a file that ends in {path.suffix!r}")
    loaded = datasets.load_dataset(str(path), config)
    return next(iter(loaded.values())) if len(loaded) == 1 else loaded


def _first_line(cause: Exception) -> str:
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__
