"""What the names of folders and files say about the modality that they hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from multiview.data.files.images import ENDINGS as PICTURES
from multiview.data.files.images import facts as picture_facts
from multiview.data.listing.recordings import is_sensor
from multiview.data.source import BadSample, Source
from multiview.data.sources.aligned import FOLDERS, Aligned
from multiview.data.sources.audio import Audio
from multiview.data.sources.folder import Folder
from multiview.data.sources.video import Video
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, printable

LEAST = 3
"""Letters that the short name of a sensor has at least, as `acc` of `accelerometer`."""


def as_named(source: Source, path: Path, data: Mapping[str, Any]) -> Source | None:
    """The source of aligned files, where folders have names of modalities of the training data.

    A folder `depth`, or the folder of a language, is read as this modality, and not as pictures or
    sounds in general. None when no folder has such a name.

    Args:
        source: the source that was found without a look at the training data.
        path: the folder of the new files.
        data: the facts of the training data.

    Raises MultiviewError for grey pictures of 16 bits in place of photos.
    """
    if data.get("source") != "aligned" or not isinstance(source, (Folder, Audio, Video)):
        return None
    kinds = {each["name"]: each["kind"] for each in data.get("modalities", ())}
    inside = [folder.name for folder in sorted(path.iterdir()) if folder.is_dir() and _meant(folder.name, kinds)]
    if inside:
        return Aligned(modalities={_key(_meant(name, kinds), kinds): name for name in inside})
    if own := _meant(path.absolute().name, kinds):
        return Aligned(modalities={_key(own, kinds): "*"})
    if isinstance(source, Folder) and "depth" in kinds.values():
        _require_photos(path)
    return None


def _meant(folder: str, kinds: Mapping[str, str]) -> str:
    """The modality of the training data that a folder's name means; empty for none."""
    if folder in kinds:
        return folder
    kind = FOLDERS.get(folder.casefold(), "")
    return kind if kind in kinds else ""


def _key(name: str, kinds: Mapping[str, str]) -> str:
    return f"{name}:{kinds[name]}"


def _require_photos(path: Path) -> None:
    """Raises MultiviewError when the first picture is grey with 16 bits, as depth is stored."""
    first = next((each for each in sorted(path.rglob("*")) if each.suffix[1:].lower() in PICTURES), None)
    try:
        mode = picture_facts(first, first.name).mode if first else ""
    except (BadSample, OSError):
        return
    if first and mode.startswith("I"):
        raise MultiviewError(
            f"{printable(first)} is a grey picture of 16 bits, as depth is stored, and no photo. If {printable(path)} "
            "holds depth, name the folder `depth`; it is read like the depth of the training then. A search takes "
            "--view depth instead."
        )


def said_by_files(store: Store, names: Collection[str], kind: str) -> str:
    """The one of `names` that folders or the ends of file names say of every file; else empty.

    `acc/walk1.csv` and `walk1_acc.csv` hold `acc`. For sensors, `accelerometer` is `acc` too.
    """
    files = _files(store)
    root = (store.path.parent if store.path.is_file() else store.path).absolute()
    said = [_said(file, root, names, kind) for file in files]
    return said[0] if said and len(set(said)) == 1 else ""


def _files(store: Store) -> Iterable[Path]:
    reader = getattr(getattr(store, "plan", None), "read", None)
    listed = getattr(reader, "input_files", None)
    return listed() if listed else ()


def _said(file: Path, root: Path, names: Collection[str], kind: str) -> str:
    place = file.absolute()
    folders = [root.name, *place.parent.relative_to(root).parts] if place.is_relative_to(root) else [place.parent.name]
    words = re.split(r"[_\-. ]+", PurePath(place.name).stem)
    found = {name for word in (*folders, words[-1], words[0]) for name in names if alike(word, name, kind)}
    return found.pop() if len(found) == 1 else ""


def alike(one: str, other: str, kind: str) -> bool:
    """Whether two names are equal, or a sensor's long and short name, as acc and accelerometer."""
    short, long = sorted((one.casefold(), other.casefold()), key=len)
    if short == long:
        return True
    return kind == "series" and len(short) >= LEAST and long.startswith(short) and is_sensor(short) and is_sensor(long)


def other_sensors(one: str, other: str, kind: str) -> bool:
    """Whether two names of series mean two sensors, as acc and gyr."""
    return kind == "series" and is_sensor(one) and is_sensor(other) and not alike(one, other, kind)
