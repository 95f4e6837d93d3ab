"""The contract of a source: what `multiview preprocess SOURCE` can read. Ready ones stand in `multiview/data/sources`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from multiview.data.modality import Modality

if TYPE_CHECKING:
    import numpy as np


class BadSample(Exception):  # noqa: N818
    """One sample cannot be read. It is skipped, counted and listed with this reason; the run goes on."""


@dataclass(frozen=True)
class Row:
    """One sample before its data is read: a unique id, its class and split by name (None = none), and named numbers about it."""

    id: str
    label: str | None = None
    split: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a source will deliver: cheap to make, complete before the first pixel is read.

    rows: every sample, in an order that depends on the input alone. modalities: what each sample has. read: row number -> one array per
    modality (dtype and shape as declared), raising BadSample with the file and the reason; it must be picklable.
    classes: class names in label order; None takes the sorted labels of the rows. notes: sentences for the user.
    """

    rows: Sequence[Row]
    modalities: tuple[Modality, ...]
    read: Callable[[int], Mapping[str, np.ndarray]]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A frozen dataclass whose fields are the command-line options of `multiview preprocess NAME`.

    A class attribute `shorthand` names the option that `NAME:VALUE` sets, as in `scenes:3000`.
    """

    needs_input: ClassVar[bool]

    def plan(self, root: Path | None) -> Plan:
        """Looks at `root` (None when `needs_input` is False) and says what there is; raises MultiviewError when there is nothing."""
        ...
