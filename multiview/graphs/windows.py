"""The length in time of the windows that are cut from sound, series and video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from multiview.graphs.held import Held, holdings_of

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

LONGEST = {"audio": 4.0, "video": 2.0}
"""Seconds of the longest window of a kind."""
LONGEST_SERIES = 1024
"""Steps of the longest window of a series."""
SHARE = 0.6
"""Length of a window as a share of the whole, where two windows of one view are contrasted."""


def window_seconds(timed: Mapping[str, Held], own: bool) -> float | None:
    """The length of the windows of all modalities that have time; None = the whole length.

    own: two windows of one view are contrasted, so that each is a part of the whole.
    """
    if not timed:
        return None
    rates = {name: float(each.modality.rate or 1) for name, each in timed.items()}
    most = [LONGEST.get(each.kind, LONGEST_SERIES / rates[name]) for name, each in timed.items()]
    whole = min(each.seconds for each in timed.values())
    ragged = any(each.modality.ragged for each in timed.values())
    if not own and not ragged and all(each.seconds <= long for each, long in zip(timed.values(), most, strict=True)):
        return None
    if not own and all(each.kind == "audio" for each in timed.values()):  # several recordings: all of each
        whole = max(each.whole_seconds for each in timed.values())
    slowest = min(rates.values())
    length = min(whole * (SHARE if own else 1.0), *most)
    return round(max(1.0, length * slowest)) / slowest


class SoundShape(NamedTuple):
    """Sampling rate in Hz and length of the windows in seconds (None = whole) of stored sound."""

    rate: int
    seconds: float | None

    @property
    def words(self) -> str:
        """The line for the user."""
        length = f"windows of {self.seconds:g} s" if self.seconds else "the whole length"
        return f"sound at {self.rate} Hz, {length}."


def sound_shape(store: Store) -> SoundShape | None:
    """Rate (of the first sound) and windows of the sound in a store; None where it has no sound."""
    sounds = {each.name: each for each in holdings_of(store).held if each.kind == "audio"}
    rates = [int(each.modality.rate) for each in sounds.values() if each.modality.rate]
    return SoundShape(rates[0], window_seconds(sounds, own=False)) if rates else None
