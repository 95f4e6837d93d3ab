"""Any dataset class of torchvision whose files are already on disk."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from multiview.data.columns.picture_sizes import SizeOptions
from multiview.data.files import images
from multiview.data.files.failures import name_failures
from multiview.data.files.picture_formats import only_listed_formats
from multiview.data.files.resize import Resizer, choose_resizer
from multiview.data.listing import splits
from multiview.data.listing.published import check_val, training_split
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.values import UNITS
from multiview.errors import MultiviewError, unknown_name

SPLITS = {"train": "train", "trainval": "train", "val": "val", "valid": "val", "test": "test", "unlabeled": "train"}
"""Values of the argument `split` of a class, and the splits that they become."""
TARGETS = ("targets", "_labels", "labels", "y")
PAIRS = ("samples", "_samples", "imgs")
"""Attributes with the targets of all samples: TARGETS alone, PAIRS after their files."""
PROBED = 50


@dataclass(frozen=True, kw_only=True)
class Torchvision(SizeOptions):
    """A dataset class of torchvision.datasets, as `torchvision:NAME`: images, and classes or masks.

    INPUT is the argument `root` of the class; nothing is downloaded. A class with an argument
    `train` or `split` is read once per split; other classes are split by hash.

    Args:
        dataset: name of the class, such as FashionMNIST or OxfordIIITPet.
        arguments: other arguments of the class, as {NAME: VALUE}.
        split: TRAIN/VAL/TEST in percent. A hash of the sample's number decides the split if the
            class has no splits.
        val: percent of the training samples that become the split `val`, by a hash of the sample's
            number.
    """

    dataset: str = ""
    arguments: dict[str, Any] | None = None
    split: str = "70/10/20"
    val: float = 0.0

    needs_input: ClassVar[bool] = True
    shorthand: ClassVar[str] = "dataset"

    def __post_init__(self) -> None:
        super().__post_init__()
        splits.parse_shares(self.split)
        check_val(self.val)

    def plan(self, root: Path | None) -> Plan:
        """Plans samples split by split, in order. Raises MultiviewError when files are missing."""
        assert root is not None
        _opened.cache_clear()  # a file may have been written again since
        parts = _parts(self.dataset, root, self.arguments or {})
        looks = [look for part in parts for look in part.looks(PROBED)]
        resizer, notes = choose_resizer([size for size, _ in looks], self.size, self.resize)
        masked = looks[0][1]
        rows = [row for part in parts for row in self._rows(part, masked)]
        places = tuple((part, place) for part in parts for place in range(len(part.open())))
        notes += () if parts[0].split else (splits.hash_split_note(splits.parse_shares(self.split)),)
        return Plan(rows, _modalities(resizer, masked), _Reader(places, resizer, masked), notes=notes)

    def _rows(self, part: "_Part", masked: bool) -> list[Row]:
        count = len(part.open())
        names = [f"{part.name}/{number:06d}" for number in range(count)]
        labels = [None] * count if masked else part.labels()
        shares = splits.parse_shares(self.split)
        return [
            Row(
                name,
                label=label,
                split=self._split(part.split, name) if part.split else splits.split_by_hash(name, shares),
            )
            for name, label in zip(names, labels, strict=True)
        ]

    def _split(self, published: str, name: str) -> str:
        return training_split(name, self.val) if published == "train" else published


@dataclass(frozen=True)
class _Part:
    """One split of a dataset: class, root, arguments as JSON; `split` is empty without splits."""

    dataset: str
    root: Path
    arguments: str
    name: str
    split: str

    def open(self) -> Any:
        """The dataset, made once per process. Raises MultiviewError when its files are missing."""
        return _opened(self)

    def looks(self, count: int) -> list[tuple[tuple[int, int], bool]]:
        """Image size and whether the target is an image, for `count` evenly spread samples.

        Raises MultiviewError when none of them can be read.
        """
        data = self.open()
        found, fault = [], "it is empty"
        for place in np.linspace(0, len(data) - 1, min(count, len(data))):
            try:
                found.append(self._look(data, int(place)))
            except BadSample as cause:
                fault = str(cause)
        if not found:
            raise MultiviewError(f"torchvision:{self.dataset} in {self.root} has no sample that can be read: {fault}.")
        return found

    def _look(self, data: Any, place: int) -> tuple[tuple[int, int], bool]:
        with name_failures(f"{self.name} {place}"):
            sample = _sample(data, place)
        picture, target = _pair(self.dataset, sample)
        height, width, _ = _picture(self.dataset, picture).shape
        masked = _is_picture(target)
        if masked:
            target.close()
        return (height, width), masked

    def labels(self) -> list[str | None]:
        """The class name of every sample; None without a class or for a number below 0."""
        data = self.open()
        numbers = _targets(data)
        names = [name if isinstance(name, str) else str(name[0]) for name in getattr(data, "classes", ())]
        if len(set(names)) < len(names):  # ImageNet has two cranes
            names = [f"{name} ({number})" for number, name in enumerate(names)]
        known = dict(enumerate(names))
        return [None if number is None or number < 0 else known.get(number, str(number)) for number in numbers]


@lru_cache(maxsize=8)
def _opened(part: _Part) -> Any:
    make = _class(part.dataset)
    try:
        with only_listed_formats():  # some classes look into their pictures
            return make(str(part.root), **json.loads(part.arguments))
    except TypeError as cause:
        raise MultiviewError(f"torchvision:{part.dataset} does not take these arguments: {cause}.") from cause
    except (RuntimeError, OSError) as cause:
        raise MultiviewError(
            f"torchvision:{part.dataset} does not find its files in {part.root}: {cause}. Download them there first; "
            "nothing is downloaded here."
        ) from cause


def _sample(data: Any, place: int) -> Any:
    """A sample of a dataset, which opens its pictures itself."""
    with only_listed_formats():
        return data[place]


def _class(name: str) -> type[Any]:
    from torchvision import datasets

    known = [each for each in datasets.__all__ if inspect.isclass(getattr(datasets, each))]
    if name not in known:
        raise unknown_name("dataset class of torchvision", name, known, "Write torchvision:NAME.")
    made: type[Any] = getattr(datasets, name)
    return made


def _parts(name: str, root: Path, arguments: Mapping[str, Any]) -> list[_Part]:
    """The splits of the class. Raises MultiviewError when the files of all of them are missing."""
    kind = _class(name)
    takes = _arguments_of(kind)
    fixed = dict(arguments) | ({"download": False} if "download" in takes else {})

    def part(word: str, split: str, more: Mapping[str, Any]) -> _Part:
        return _Part(name, root, json.dumps({**fixed, **more}, sort_keys=True), word, split)

    if "train" in takes and "train" not in fixed:
        return [part("train", "train", {"train": True}), part("test", "test", {"train": False})]
    chosen = next((word for word in ("split", "image_set") if word in takes and word not in fixed), None)
    if chosen is None:
        return [part("all", "", {})]
    return _there([part(word, split, {chosen: word}) for word, split in SPLITS.items()])


def _arguments_of(kind: type) -> set[str]:
    """The names of the arguments of a class and of its bases."""
    makers = [base.__dict__["__init__"] for base in inspect.getmro(kind) if "__init__" in base.__dict__]
    return {each for make in makers[:-1] for each in inspect.signature(make).parameters}


def _there(offered: list[_Part]) -> list[_Part]:
    """The splits whose files are there, without the union of two of them; else the first."""
    found = [each for each in offered if _is_there(each)]
    if any(each.name == "train" for each in found):
        found = [each for each in found if each.name != "trainval"]
    return found or offered[:1]


def _is_there(part: _Part) -> bool:
    """Whether the class knows this split and has its files."""
    try:
        part.open()
    except (ValueError, MultiviewError):
        return False
    return True


def _targets(data: Any) -> Sequence[int | None]:
    """The class number of every sample, from the usual attributes or by reading all samples."""
    for name in TARGETS:
        found = getattr(data, name, None)
        if found is not None and len(found) == len(data):
            return [_number(each) for each in found]
    for name in PAIRS:
        found = getattr(data, name, None)
        if found is not None and len(found) == len(data) and isinstance(found[0], tuple):
            return [_number(each[-1]) for each in found]
    return [_read_number(data, place) for place in range(len(data))]


def _read_number(data: Any, place: int) -> int | None:
    try:
        with name_failures(f"{place}"):
            return _number(_sample(data, place)[1])
    except BadSample:
        return None


def _number(target: Any) -> int | None:
    """A class number; None if the target is something else."""
    try:
        return int(target)
    except (TypeError, ValueError, RuntimeError):
        return None


def _pair(dataset: str, sample: Any) -> tuple[Any, Any]:
    if not isinstance(sample, tuple) or len(sample) < 2:
        raise MultiviewError(f"torchvision:{dataset} gives {type(sample).__name__}, not an image and a target.")
    return sample[0], sample[1]


def _is_picture(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image)


def _picture(dataset: str, value: Any) -> np.ndarray:
    if not _is_picture(value):
        raise MultiviewError(
            f"torchvision:{dataset} gives {type(value).__name__}, not images; this source reads classes of images only."
        )
    return np.array(images.to_rgb(value))


def _modalities(resizer: Resizer, masked: bool) -> tuple[Modality, ...]:
    side = (resizer.height, resizer.width)
    image = Modality(name="image", kind="image", dtype="uint8", shape=(*side, 3), unit=UNITS["image"])
    mask = Modality(name="mask", kind="mask", dtype="uint8", shape=side, unit=UNITS["mask"])
    return (image, mask) if masked else (image,)


@dataclass(frozen=True)
class _Reader:
    places: tuple[tuple[_Part, int], ...]
    resizer: Resizer
    masked: bool

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        part, place = self.places[number]
        with name_failures(f"torchvision:{part.dataset}, {part.name} {place}"):
            picture, target = _pair(part.dataset, _sample(part.open(), place))
            sample = {"image": self.resizer.resize_image(_picture(part.dataset, picture))}
            return sample | {"mask": self.resizer.resize_nearest(_mask(target))} if self.masked else sample


def _mask(target: Any) -> np.ndarray:
    stored = np.asarray(target)
    if stored.ndim != 2 or stored.dtype != np.uint8:
        raise BadSample(f"its mask is {stored.dtype}{stored.shape}, not bytes (height, width)")
    return stored
