"""The columns of a store that its manifest names: factors, groups and texts to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from multiview.data.store import manifest as manifests
from multiview.data.store.manifest import Manifest
from multiview.data.store.shard import TARGET, group_dataset
from multiview.errors import MultiviewError, unknown_name


class NamedColumns(ABC):
    """Reads the columns that the manifest of a store names, all rows at once."""

    manifest: Manifest

    @property
    @abstractmethod
    def name(self) -> str:
        """The store in messages."""

    @abstractmethod
    def _column(self, name: str) -> np.ndarray:
        """A stored column of every row, by the name of its dataset."""

    def factor(self, name: str) -> np.ndarray:
        """A named number of every row, float64 (count,); NaN in rows without that number."""
        if name not in self.manifest.factors:
            raise unknown_name("factor of this store", name, self.manifest.factors)
        return self._column(f"factor/{name}")

    @property
    def group_names(self) -> tuple[str, ...]:
        """The columns of groups that the store keeps (`multiview preprocess --group`)."""
        return tuple(name for name in self.manifest.groups if not name.startswith(TARGET))

    @property
    def target_names(self) -> tuple[str, ...]:
        """The columns of texts that the store keeps for `multiview evaluate --target`."""
        return tuple(name.removeprefix(TARGET) for name in self.manifest.groups if name.startswith(TARGET))

    def target(self, column: str) -> list[str | None]:
        """The text of every row in a column of `target_names`; None where it is empty."""
        if column not in self.target_names:
            raise unknown_name("column for --target in this store", column, self.target_names)
        return self.group(f"{TARGET}{column}")

    def group(self, column: str) -> list[str | None]:
        """The group of every row in a stored column; None in rows without a group."""
        if column not in self.manifest.groups:
            raise unknown_name("column of groups in this store", column, self.group_names)
        names, codes = self.manifest.groups[column], self._column(group_dataset(column))
        if len(codes) and not -1 <= codes.min() <= codes.max() < len(names):
            raise MultiviewError(
                f"{self.name} is damaged: its groups '{column}' go from {codes.min()} to {codes.max()}, of "
                f"{len(names)} names. {manifests.REMEDY}"
            )
        return [names[code] if code >= 0 else None for code in codes.tolist()]
