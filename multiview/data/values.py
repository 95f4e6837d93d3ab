"""From numbers in memory or in arrays to what a store holds of each kind of modality."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from multiview.data.modality import KINDS, TIMED, Modality
from multiview.data.source import BadSample
from multiview.errors import MultiviewError, unknown_name

NAMED = {
    "rgb": "image",
    "image": "image",
    "images": "image",
    "photo": "image",
    "depth": "depth",
    "normal": "normal",
    "normals": "normal",
    "mask": "mask",
    "masks": "mask",
    "audio": "audio",
    "sound": "audio",
    "video": "video",
    "points": "points",
    "bands": "bands",
    "series": "series",
    "text": "text",
    "caption": "text",
    "captions": "text",
    "texts": "text",
}
"""Kind that a modality has by its name alone."""
UNITS = {
    "image": "sRGB",
    "depth": "m",
    "normal": "unit vector",
    "mask": "identity",
    "audio": "full scale 32768",
    "video": "sRGB",
    "text": "UTF-8 byte",
}
DTYPES = {"image": "uint8", "normal": "float16", "audio": "int16", "video": "uint8", "text": "uint8"}
AXES = {
    "image": (3,),
    "depth": (2,),
    "normal": (3,),
    "mask": (2,),
    "bands": (3,),
    "audio": (1, 2),
    "video": (4,),
    "series": (2,),
    "table": (1,),
    "points": (2,),
    "text": (1,),
}
"""Numbers of axes that a stored sample of each kind may have."""
SERIES = frozenset(
    re.findall(
        r"\w+",
        "series timeseries signal signals sensor sensors imu accel acc accelerometer acceleration gyro gyroscope "
        "magnetometer ecg ekg eeg emg eog ppg eda",
    )
)
"""Words of names that mean a series."""
ChannelAxis = Literal["guess", "first", "last"]
CHANNEL_AXES = ("guess", "first", "last")
MOST_CHANNELS = 8
"""A sound has at most so many channels, a point at most half as many coordinates."""


@dataclass(frozen=True)
class ModalityChoice:
    """One entry of `--modalities`: name, kind (None = guessed) and places of a modality."""

    name: str
    kind: str | None
    where: tuple[str, ...]


class UnknownRateError(MultiviewError):
    """A series has no rate. Learning does not need it, but a length in seconds does."""


def parse_modalities(modalities: Mapping[str, str | Sequence[str]] | Sequence[str]) -> tuple[ModalityChoice, ...]:
    """Reads `{NAME: WHERE}`, `{NAME:KIND: WHERE}` or `[NAME, ...]`.

    Raises MultiviewError for an unknown kind.
    """
    pairs = modalities.items() if isinstance(modalities, Mapping) else [(name, name) for name in modalities]
    choices = []
    for key, where in pairs:
        name, _, kind = key.partition(":")
        if kind and kind not in KINDS:
            raise unknown_name("kind of modality", kind, KINDS)
        places = (where.partition(":")[0],) if isinstance(where, str) and where == key else where
        choices.append(ModalityChoice(name, kind or None, (places,) if isinstance(places, str) else tuple(places)))
    return tuple(choices)


def kind_of(name: str, shape: tuple[int, ...], dtype: np.dtype, rate: float | None) -> str:
    """Guesses the kind of samples with this name, shape and dtype.

    The name decides if the shape allows that kind. Otherwise bytes of 3 or 1 channels are images or
    video, 16-bit numbers with a rate are audio, and other numbers are a table, points (a series if
    there is a rate) or bands, according to the number of axes.
    """
    by_name = NAMED.get(name.casefold())
    if by_name and _allows(by_name, shape, dtype):
        return by_name
    if dtype.kind in "USO":
        return "text"
    if len(shape) == 2 and dtype.kind in "if" and SERIES.intersection(re.findall("[a-z]+", name.casefold())):
        return "series"
    if dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and 3 in (shape[0], shape[-1]))):
        return "image"
    if dtype == np.uint8 and len(shape) == 4 and (shape[-1] == 3 or 3 in shape[:2]):
        return "video"
    if dtype == np.int16 and rate and len(shape) == 1:
        return "audio"
    return {0: "table", 1: "table", 2: "series" if rate else "points", 3: "bands"}.get(len(shape), "table")


def _allows(kind: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether a sample of this form can be of the kind that its name means."""
    if kind == "text":
        return len(shape) in AXES[kind] and dtype.kind in "US"
    one = len(shape) == 3 and 1 in (shape[0], shape[-1])
    return len(shape) in AXES[kind] or (one and kind in ("depth", "mask"))


def check_channel_axis(axis: str) -> None:
    """Raises MultiviewError for an unknown order of axes."""
    if axis not in CHANNEL_AXES:
        raise unknown_name("channel axis", axis, CHANNEL_AXES)


def has_channels_first(kind: str, shape: tuple[int, ...], axis: ChannelAxis = "guess") -> bool:
    """Whether samples of this shape have their channels first, as in PyTorch."""
    channeled = (kind in ("image", "normal", "bands") and len(shape) == 3) or (kind == "video" and len(shape) == 4)
    paired = kind in ("series", "audio", "points") and len(shape) == 2
    if axis != "guess" or not (channeled or paired):
        return axis == "first" and (channeled or paired)
    return _are_channels_first(kind, shape)


def _are_channels_first(kind: str, shape: tuple[int, ...]) -> bool:
    """Guesses: the channels of bands and series are their shortest axis, and the last in doubt."""
    if kind in ("image", "normal", "video"):
        heads = shape[:2] if kind == "video" else shape[:1]
        return shape[-1] != 3 and 3 in heads
    if kind == "bands":
        return shape[0] < min(shape[1:])
    most = {"audio": MOST_CHANNELS, "points": MOST_CHANNELS // 2}.get(kind, shape[1])
    return shape[0] < shape[1] and shape[0] <= most and (kind != "points" or shape[1] > 2 * MOST_CHANNELS)


def channels_last(kind: str, value: np.ndarray) -> np.ndarray:
    """A sample that has its channels first, with its channels last."""
    return np.moveaxis(value, int(kind == "video" and value.shape[0] != 3), -1)


def channels_first_note(name: str, kind: str, shape: tuple[int, ...]) -> str:
    """The note about samples whose channels are taken to be first."""
    stored = channels_last(kind, np.broadcast_to(np.uint8(0), shape)).shape
    return (
        f"'{name}' {shape} is taken for {kind} with its channels first and stored as {stored}, channels last; "
        "if that is wrong, give --channel_axis last."
    )


def said_once(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Notes, given with the name of their modality; those that differ in the name alone as one."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, note in notes:
        alike.setdefault(note.replace(f"'{name}", "'"), []).append((name, note))
    said = []
    for (_, note), *others in alike.values():
        said.append(note + (f" The same holds for {', '.join(name for name, _ in others)}." if others else ""))
    return said


def declare_modality(
    name: str, kind: str, shape: tuple[int, ...], dtype: np.dtype, rate: float | None = None, names: Sequence[str] = ()
) -> Modality:
    """The modality of samples of this form. Raises MultiviewError if the kind is wrong."""
    stored = _stored_shape(kind, shape)
    if len(stored) not in AXES[kind] or dtype.kind not in ("US" if kind == "text" else "buif"):
        raise MultiviewError(
            f"'{name}' holds {dtype}{shape} per sample, which is no {kind}: {KINDS[kind]}. Give another kind, as in "
            f"--modalities '{{\"{name}:table\": {name}}}'."
        )
    if kind in ("image", "video") and (dtype != np.uint8 or stored[-1] != 3):
        raise MultiviewError(
            f"'{name}' holds {dtype}{shape} per sample; {kind}s have 1 or 3 channels of uint8. Try bands, as in "
            f"--modalities '{{\"{name}:bands\": {name}}}'."
        )
    if kind in TIMED and not rate:
        error = UnknownRateError if kind == "series" else MultiviewError
        called = "a series" if kind == "series" else kind
        raise error(f"'{name}' is {called} of an unknown rate; give --rate, in samples per second.")
    if kind == "mask":
        dtype = np.dtype("uint8" if dtype.itemsize == 1 else "uint16")
    form = str(dtype) if kind == "mask" else DTYPES.get(kind, "float32")
    timed = rate if kind in TIMED else None
    return Modality(
        name=name, kind=kind, dtype=form, shape=stored, unit=UNITS.get(kind, "number"), rate=timed, names=tuple(names)
    )


def _stored_shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind == "image" and len(shape) == 2:
        return (*shape, 3)
    if kind == "image" and len(shape) == 3 and shape[0] == 3 and shape[-1] != 3:
        return (*shape[1:], 3)
    if kind in ("depth", "mask") and len(shape) == 3 and 1 in (shape[0], shape[-1]):
        return shape[:2] if shape[-1] == 1 else shape[1:]
    if kind == "table" and len(shape) != 1:
        return (int(np.prod(shape)),)
    return (*shape, 1) if kind == "series" and len(shape) == 1 else shape


def as_stored(modality: Modality, value: np.ndarray) -> np.ndarray:
    """Brings a sample to the modality's dtype and shape.

    Depth that is not finite becomes 0, which means not measured. Raises BadSample for other values
    that are not finite, and for values outside the range of the dtype.
    """
    kind = modality.kind
    if kind == "depth":
        metres = np.where(np.isfinite(value) & (value > 0), value, 0)
        return metres.astype("float32").reshape(modality.shape)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise BadSample(f"{modality.name} holds {_describe_not_finite(value)}")
    if kind == "image":
        value = np.repeat(value[..., None], 3, axis=-1) if value.ndim == 2 else value
        value = value if value.shape == modality.shape else np.moveaxis(value, 0, -1)
    if kind == "audio" and value.dtype.kind == "f":
        return pcm16(value)
    limits = np.iinfo(modality.dtype) if np.dtype(modality.dtype).kind in "iu" else np.finfo(modality.dtype)
    if value.size and (value.min() < limits.min or value.max() > limits.max):
        raise BadSample(
            f"{modality.name} goes from {value.min()} to {value.max()}, which {modality.dtype} does not hold"
        )
    return np.ascontiguousarray(value.reshape(modality.shape), modality.dtype)


def _describe_not_finite(value: np.ndarray) -> str:
    place = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(value)))
    count = int((~np.isfinite(value)).sum())
    values = "1 value that is" if count == 1 else f"{count} values that are"
    return f"{values} not finite, the first at {list(place)}"


def pcm16(wave: np.ndarray) -> np.ndarray:
    """Sound in [-1, 1) as int16; louder values are clipped."""
    return np.rint(np.clip(wave.astype("float64") * 32768, -32768, 32767)).astype("int16")


FULL_SCALE = 1.001
"""Sound above this level is louder than full scale beyond rounding."""


def loud_sound_note(what: str, level: float) -> str:
    """The note about sounds that are clipped; `level`: the loudest value, where 1 is full scale."""
    return (
        f"{what}: the sound reaches {level:.3g} times full scale, and everything above 1 is clipped; divide the sounds "
        f"by {level:.3g} or more before."
    )


def number_text(value: np.floating) -> str:
    """A number as the name of a class or sample: whole numbers in full, others without loss.

    Empty for a value that is not finite.
    """
    if not np.isfinite(value):
        return ""
    if value == np.rint(value) and abs(value) < LARGEST_WHOLE:
        return str(int(value))
    short = f"{value:g}"
    return short if type(value)(short) == value else str(value)


LARGEST_WHOLE = 1e16
"""Whole numbers below this have no exponent in a name."""


def text_bytes(text: str, length: int) -> np.ndarray:
    """A text as UTF-8 bytes, uint8 (length,): padded with zeros, or cut after a whole character."""
    kept = text.encode()[:length].decode(errors="ignore").encode()
    return np.frombuffer(kept.ljust(length, b"\0"), "uint8").copy()


# Older names, which plugins may import.
Wanted, wanted, declared = ModalityChoice, parse_modalities, declare_modality
