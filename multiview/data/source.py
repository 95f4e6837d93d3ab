"""The contract of a source: what `multiview preprocess SOURCE` can read.

The sources that come with the toolkit are in `multiview/data/sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from multiview.data.modality import Modality

if TYPE_CHECKING:
    import numpy as np


class BadSample(Exception):  # noqa: N818
    """One sample cannot be read. It is skipped and listed with this reason; the run goes on.

    The shard stores the reason, so a changed wording changes the bytes of shards with bad samples.
    """


@dataclass(frozen=True)
class Row:
    """One sample before its data is read.

    Args:
        id: the unique name of the sample.
        label: name of its class, None without a class.
        split: name of its split, None without a split.
        factors: named numbers that describe the sample.
        groups: column -> the sample's group in it, such as the patient; filled in by `--group`.
    """

    id: str
    label: str | None = None
    split: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a source will deliver: cheap to make, and complete before the first pixel is read.

    Args:
        rows: every sample, in an order that depends on the input alone.
        modalities: what each sample has.
        read: takes the number of a row and returns one array per modality, in the declared dtype
            and shape. It raises BadSample with the file and the reason, and must be picklable.
        classes: class names in label order; None means the sorted labels of the rows.
        notes: sentences for the user.
        column: the text of every row in a column of the input, None where a cell is empty, for
            `--group`. It raises MultiviewError for an unknown column (None = there are no columns).
        linked: for every row, the first id of the rows that must be in one split with it, because
            they share files (None = none do).
        others: the columns, known to `column`, that have no other use; evaluation may predict them.
    """

    rows: Sequence[Row]
    modalities: tuple[Modality, ...]
    read: Callable[[int], Mapping[str, np.ndarray]]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    column: Callable[[str], Sequence[str | None]] | None = None
    linked: Sequence[str] | None = None
    others: Sequence[str] = ()


class Source(Protocol):
    """A frozen dataclass whose fields are the command-line options of `multiview preprocess NAME`.

    A class attribute `shorthand` names the option that `NAME:VALUE` sets, as in `scenes:3000`.
    """

    needs_input: ClassVar[bool]

    def plan(self, root: Path | None) -> Plan:
        """Lists what is at `root`, which is None when `needs_input` is False.

        Raises MultiviewError when there is no sample.
        """
        ...
