"""Which modality of new data each view of a portable model reads."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.data.load.absent import absent_modality
from multiview.data.modality import Modality
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, printable
from multiview.portable.naming import alike, other_sensors, said_by_files
from multiview.view import View

if TYPE_CHECKING:
    from multiview.portable.model import PortableModel, ViewPart


@dataclass(frozen=True)
class _Matching:
    """Finds the stored modality of a view.

    Args:
        store: the data.
        stored: the modalities of the data by name.
        known: the modalities of the model by name.
        named: whether the user named the views that shall be read.
        candidates: the modalities of these views by name.
    """

    store: Store
    stored: Mapping[str, Modality]
    known: Mapping[str, Modality]
    named: bool
    candidates: Mapping[str, Modality]

    def of(self, own: Modality) -> Modality | None:
        """The stored modality with the name of the view's, or the one that can mean no other."""
        if own.name in self.stored:
            return self.stored[own.name]
        strange = self.strange(own.kind)
        by_name = [each for each in strange if alike(each.name, own.name, own.kind)]
        if len(by_name) == 1:
            return by_name[0]
        return strange[0] if len(strange) == 1 and self._can_only_be(strange[0], own) else None

    def _can_only_be(self, other: Modality, own: Modality) -> bool:
        """Whether the only strange modality of a kind is that of the view, and can be no other."""
        kind, rivals = own.kind, self.rivals(own.kind)
        if any(alike(other.name, name, kind) for name in rivals):
            return False
        if said := said_by_files(self.store, rivals, kind):
            return said == own.name
        if self.named:
            return len(self._names(self.candidates, kind)) == 1
        return len(rivals) == 1 and not other_sensors(other.name, own.name, kind)

    def strange(self, kind: str) -> list[Modality]:
        """The stored modalities of a kind whose names the model does not know."""
        return [each for each in self.stored.values() if each.kind == kind and each.name not in self.known]

    def rivals(self, kind: str) -> list[str]:
        """The names of the model's modalities of a kind."""
        return self._names(self.known, kind)

    @staticmethod
    def _names(modalities: Mapping[str, Modality], kind: str) -> list[str]:
        return [name for name, each in modalities.items() if each.kind == kind]


def views_of(model: PortableModel, store: Store, wanted: Sequence[str] | None) -> dict[str, View]:
    """The views that a store can be read for, by the name of the model's view.

    A modality of another name is read when it can be that of one modality of the model alone: it
    is the only one of its kind in the data and in the model, or the folder, the file or `wanted`
    names it. Other views are absent.

    Raises MultiviewError when no view can be read, and when a wanted view cannot.
    """
    parts = {name: model.part(name) for name in (model.views if wanted is None else wanted)}
    stored = {each.name: each for each in store.manifest.modalities}
    known, candidates = _modalities(model.parts), _modalities(parts)
    matching = _Matching(store, stored, known, wanted is not None, candidates)
    read = {name: matching.of(part.modality) for name, part in parts.items()}
    lacking = [name for name, other in read.items() if other is None]
    there = {name: other for name, other in read.items() if other is not None}
    if lacking and (wanted is not None or not there):
        raise _unreadable(matching, parts, lacking)
    for name, other in there.items():
        _require_alike(name, parts[name].modality, other, store)
    _say_unread(matching, {other.name for other in there.values()})
    return {name: parts[name].view.of(other.name) for name, other in there.items()}


def _modalities(parts: Mapping[str, ViewPart]) -> dict[str, Modality]:
    return {part.modality.name: part.modality for part in parts.values()}


def _unreadable(matching: _Matching, parts: Mapping[str, ViewPart], lacking: Sequence[str]) -> MultiviewError:
    """The error for data that no view reads, or that a wanted view cannot read."""
    unclear = [name for name in lacking if matching.strange(parts[name].modality.kind)]
    if unclear:
        return MultiviewError(_unclear(matching, parts, unclear))
    if len(lacking) == len(parts) > 1:
        read_by = ", ".join(f"{name} ({part.modality.kind})" for name, part in parts.items())
        held = ", ".join(f"{each.name} ({each.kind})" for each in matching.stored.values()) or "nothing"
        return MultiviewError(
            f"{matching.store.name} holds {held}, which no view of the model reads: {read_by}. Give data of these "
            "kinds, with the names that the model was trained on."
        )
    return absent_modality(parts[lacking[0]].view, matching.stored.values(), matching.store.name)


def _unclear(matching: _Matching, parts: Mapping[str, ViewPart], views: Sequence[str]) -> str:
    """Says that a modality of another name is not filled into a view by its kind alone."""
    kind = parts[views[0]].modality.kind
    held = ", ".join(printable(each.name) for each in matching.strange(kind))
    names = list(dict.fromkeys(parts[view].modality.name for view in views if parts[view].modality.kind == kind))
    could = f"one of {', '.join(names)}" if len(names) > 1 else f"'{names[0]}'"
    return (
        f"{printable(matching.store.name)} holds '{held}' ({kind}); nothing says that this is {could}, which the model "
        f"was trained on. Name the folder or the end of the file's name after it, such as {names[0]}/FILE or "
        f"FILE_{names[0]}, or name the view that reads it: --views {views[0]} (of `multiview search`: --view "
        f"{views[0]})."
    )


def _say_unread(matching: _Matching, read: set[str]) -> None:
    """Notes the modalities of kinds that the model knows, which no view reads."""
    kinds = {each.kind for each in matching.known.values()}
    for each in matching.stored.values():
        if each.kind in kinds and each.name not in matching.known and each.name not in read and not matching.named:
            names = ", ".join(name for name in matching.rivals(each.kind))
            print(
                f"note: '{printable(each.name)}' is read by no view: nothing says that it is {names}. Name the view "
                "that reads it with --views.",
                file=sys.stderr,
            )


def _require_alike(view: str, own: Modality, other: Modality, store: Store) -> None:
    """Raises MultiviewError when the stored values mean something else than in training."""
    facts: dict[str, tuple[object, object]] = {"kind": (own.kind, other.kind)}
    facts |= {"unit": (own.unit, other.unit), "rate": (own.rate, other.rate)}
    if start := {"audio": 1, "table": -1, "bands": -1, "series": -1, "points": -1}.get(own.kind):
        facts["numbers per place"] = (own.shape[start:], other.shape[start:])
    facts["names"] = (own.names or other.names, other.names or own.names)
    if other.name != own.name:
        print(f"note: the view '{view}' reads '{printable(other.name)}' as its '{own.name}'", file=sys.stderr)
    for what, (ours, theirs) in facts.items():
        if ours != theirs:
            raise MultiviewError(
                f"the view '{view}' was trained on '{own.name}' with {what} {printable(ours)}, but {store.name} has "
                f"{printable(theirs)}. Prepare the data like those of the training, with `multiview preprocess`."
            )
