"""Chooses the views of a store: one function for each kind of modality, and one table of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from multiview.graphs.held import Held
from multiview.graphs.values import GraphView
from multiview.photometric import NAMED
from multiview.plurals import counted
from multiview.tuning import Tuning

SIZES = (96, 64, 48, 32)
"""Sides of crops that are chosen, pixels; smaller pictures are taken whole."""
STRIDES = ((24, 1), (48, 2))
"""Below so many pixels, the stride of the first convolution; above all 4."""
BANDS = 40
"""Mel bands, at most a quarter of the samples of a spectrogram's window."""
WINDOW = 0.032
"""Seconds of a spectrogram's window."""
LONGEST_TEXT = 256
JITTER, MASKED = 0.3, 0.1
"""Of series: noise in standard deviations, and the probability that a channel is hidden."""
TABLE_JITTER, TABLE_MASKED = 0.1, 0.2
"""The same of the columns of tables."""
SERIES_FRAMES = 32
"""Parts of a series that its features hold as they are, for linear relations between sensors."""
SOUND_FRAMES = 16
"""Parts of the time in which a spectrogram itself stands beside the convolutions."""
SENSOR_DECAY = 0.1
"""Weight decay of the encoders of series that are contrasted with series."""


@dataclass(frozen=True)
class Proposal:
    """A view that is proposed: its name, its words, what it reads, and why.

    aligned: views with the same word here lie on each other pixel by pixel.
    alone: how two copies of the view can differ: by `crop` or `window`; empty = they cannot.
    """

    name: str
    view: GraphView
    held: Held
    why: str
    aligned: str = ""
    alone: str = ""

    @property
    def kind(self) -> str:
        """The kind of modality that the view reads."""
        return self.held.kind


@dataclass(frozen=True)
class LeftOut:
    """A modality, or channels of it, that no view reads, and why."""

    name: str
    why: str


def size_of(side: int) -> int:
    """The side of crops of pictures with this shorter side."""
    return next((size for size in SIZES if size <= side), max(side, 1))


def stride_of(side: int) -> int:
    """The stride of the first convolution that leaves a map of at least 3 x 3."""
    return next((stride for below, stride in STRIDES if side < below), 4)


def pictures(group: Sequence[Held]) -> list[Proposal]:
    """Colour: L and ab of one modality, rgb of several. Grey: the view grey."""
    coloured = any(each.coloured for each in group)
    if len(group) == 1 and coloured:
        why = "colour pictures: lightness against colour"
        return [_picture(group[0], name, name, why) for name in ("L", "ab")]
    view = "rgb" if coloured else "grey"
    why = "colour pictures, one view of each" if coloured else "pictures without colour"
    return [replace(_picture(each, each.name, view, why), view=_with_mild(each, view)) for each in group]


def _picture(held: Held, name: str, view: str, why: str) -> Proposal:
    return Proposal(name, _convnet(held, view), held, f"{why} ({held.side} px)", _grid(held), "crop")


def _with_mild(held: Held, view: str) -> GraphView:
    return replace(_convnet(held, view), augment=NAMED["mild"])


def _convnet(held: Held, view: str, **options: object) -> GraphView:
    stride = {"stride": stride_of(size_of(held.side))}
    return GraphView(view=view, modality=held.name, options=options, encoder="convnet", encoder_options=stride)


def _grid(held: Held) -> str:
    """Modalities of one sample with one grid of pixels; several pictures are no such grid."""
    return held.name if held.kind == "image" else "pixels"


def depths(group: Sequence[Held]) -> list[Proposal]:
    """The view depth."""
    return [_pixels(each, "depth", "distances") for each in group]


def normals(group: Sequence[Held]) -> list[Proposal]:
    """The view normal."""
    return [_pixels(each, "normal", "directions of surfaces") for each in group]


def bands(group: Sequence[Held]) -> list[Proposal]:
    """The view bands, of the bands that change."""
    return [_pixels(each, "bands", counted(len(each.changing), "band"), bands=selected(each)) for each in group]


def _pixels(held: Held, view: str, why: str, **options: object) -> Proposal:
    return Proposal(held.name, _convnet(held, view, **options), held, f"{why} ({held.side} px)", "pixels", "crop")


def selected(held: Held) -> int | tuple[int, ...]:
    """The number of channels, or a tuple of those that change."""
    return held.width if len(held.changing) == held.width else held.changing


def sounds(group: Sequence[Held]) -> list[Proposal]:
    """The view logmel at the stored rate."""
    return [_sound(each) for each in group]


def _sound(held: Held) -> Proposal:
    rate = int(held.modality.rate or 1)
    count = max(4, min(BANDS, round(WINDOW * rate) // 4))
    options = {"rate": rate} | ({"bands": count} if count != BANDS else {})
    view = GraphView(
        view="logmel",
        modality=held.name,
        options=options,
        encoder="soundconv",
        encoder_options={"stride": stride_of(count), "width": 0.5, "frames": SOUND_FRAMES},
    )
    return Proposal(held.name, view, held, f"sound at {rate} Hz as a spectrogram of {count} bands", alone="window")


def clips(group: Sequence[Held]) -> list[Proposal]:
    """A frame and the difference of frames of one modality; a frame of each of several."""
    if len(group) > 1:
        return [_frame(each, each.name, "clips, one frame of each") for each in group]
    held, name = group[0], group[0].name
    why = "clips: one frame against the changes between frames"
    encoder = {"name": "frames:convnet", "stride": stride_of(size_of(held.side))}
    moving = GraphView(
        view="frame_difference",
        modality=name,
        encoder=encoder["name"],  # type: ignore[arg-type]
        encoder_options={"stride": encoder["stride"]},
    )
    other = Proposal("frame_difference", moving, held, f"{why} ({held.side} px)", "pixels", "crop")
    return [_frame(held, "frame", why), other]


def _frame(held: Held, name: str, why: str) -> Proposal:
    return Proposal(name, _convnet(held, "frame"), held, f"{why} ({held.side} px)", "pixels", "crop")


def series(group: Sequence[Held]) -> list[Proposal]:
    """The view series, of the channels that change."""
    tuning = Tuning(weight_decay=SENSOR_DECAY) if len(group) > 1 else Tuning()
    encoder = {"frames": SERIES_FRAMES} if len(group) > 1 else {}
    found = [_series(each, f"series of {counted(len(each.changing), 'channel')}") for each in group]
    return [replace(each, view=replace(each.view, encoder_options=encoder, tuning=tuning)) for each in found]


def _series(held: Held, why: str) -> Proposal:
    options = {"channels": selected(held), "jitter": JITTER, "masked": MASKED}
    view = GraphView(view="series", modality=held.name, options=options, encoder="seriesconv")
    return Proposal(held.name, view, held, why, alone="window" if held.modality.timed else "")


def clouds(group: Sequence[Held]) -> list[Proposal]:
    """The view points of 3 numbers; rows of other numbers are read as a series."""
    return [_cloud(each) for each in group]


def _cloud(held: Held) -> Proposal:
    if held.width != 3:
        return _series(held, f"rows of {held.width} numbers, which are no points in space, read in their order")
    view = GraphView(view="points", modality=held.name, encoder="pointnet")
    return Proposal(held.name, view, held, "points in space")


def tables(group: Sequence[Held]) -> list[Proposal]:
    """The view table of each; the two halves of the columns when there is one table only."""
    return [_table(x, x.name, x.changing, f"table of {counted(len(x.changing), 'column')}") for x in group]


def halves(table: Held) -> list[Proposal]:
    """Every other column of a table against the columns between them."""
    why = "one table: its columns in turn make two views (SubTab, arXiv:2110.04361)"
    names = (f"{table.name}_even", f"{table.name}_odd")
    return [_table(table, name, table.changing[half::2], why) for half, name in enumerate(names)]


def _table(held: Held, name: str, columns: tuple[int, ...], why: str) -> Proposal:
    chosen = held.width if len(columns) == held.width else columns
    options = {"columns": chosen, "jitter": TABLE_JITTER, "masked": TABLE_MASKED}
    view = GraphView(view="table", modality=held.name, options=options, encoder="mlp")
    return Proposal(name, view, held, why)


def texts(group: Sequence[Held]) -> list[Proposal]:
    """The view text."""
    return [_text(each) for each in group]


def _text(held: Held) -> Proposal:
    longest = min(held.modality.shape[0], LONGEST_TEXT)
    view = GraphView(view="text", modality=held.name, encoder="text", encoder_options={"longest": longest})
    return Proposal(held.name, view, held, f"texts of up to {longest} bytes")


VIEWS: dict[str, Callable[[Sequence[Held]], list[Proposal]]] = {
    "image": pictures,
    "depth": depths,
    "normal": normals,
    "bands": bands,
    "video": clips,
    "audio": sounds,
    "series": series,
    "points": clouds,
    "table": tables,
    "text": texts,
}
"""Kind of modality -> the views of all modalities of that kind. Masks have none."""


def propose(held: Sequence[Held], least: int) -> tuple[list[Proposal], list[LeftOut]]:
    """The views of a store, each under a name of its own, and what is left out.

    least: the number of training samples that a view needs.
    """
    left = [LeftOut(each.name, why) for each in held if (why := reason_to_leave(each, least))]
    kept = [each for each in held if each.name not in {each.name for each in left}]
    found: list[Proposal] = []
    for kind, views_of in VIEWS.items():
        group = [each for each in kept if each.kind == kind]
        found += views_of(group) if group else []
    if len(found) == 1 and found[0].kind == "table" and len(found[0].held.changing) > 1:
        found = halves(found[0].held)
    left += [LeftOut(each.name, constant_note(each)) for each in kept if _dropped(each)]
    return _shared(_named(found)), left


def _dropped(held: Held) -> bool:
    return held.kind in ("table", "series", "bands") and len(held.changing) < held.width


def constant_note(held: Held) -> str:
    """Which channels never change."""
    gone = [number for number in range(held.width) if number not in held.changing]
    names = [held.modality.names[number] if held.modality.names else str(number) for number in gone]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"channels that never change, counted from 0: {', '.join(names[:8])}{more}"


def reason_to_leave(held: Held, least: int) -> str:
    """Why no view reads a modality; empty when one can."""
    if held.kind not in VIEWS:
        return "a mask names what is in a picture; it is kept for `multiview evaluate --segment`"
    if held.present < least:
        return f"only {held.present} training samples have it; {least} are needed"
    if not held.changing:
        return "it has the same value in every training sample"
    if held.role:
        return f"its one column of whole numbers looks like {'an id' if held.role == 'id' else 'a label'}"
    if held.modality.ragged and not held.modality.timed and not held.modality.encoding:
        return "its samples differ in length, and no window can be cut from them"
    return ""


def _named(found: Sequence[Proposal]) -> list[Proposal]:
    """The proposals under names that are words, each once."""
    taken: set[str] = set()
    named = []
    for each in found:
        word = re.sub(r"\W+", "_", each.name, flags=re.ASCII).strip("_") or "view"
        word = f"view_{word}" if word[0].isdigit() else word
        name, number = word, 2
        while name in taken:
            name, number = f"{word}_{number}", number + 1
        taken.add(name)
        named.append(replace(each, name=name))
    return named


def _shared(found: Sequence[Proposal]) -> list[Proposal]:
    """Modalities of one kind, with equal channels, share an encoder; series do not."""
    first: dict[object, Proposal] = {}
    shared = []
    for each in found:
        owner = first.setdefault(_shape(each), each)
        if owner.held.name != each.held.name:
            each = replace(
                each, view=replace(each.view, share=owner.name, encoder=None, encoder_options={}, tuning=Tuning())
            )
        shared.append(each)
    return shared


def _shape(each: Proposal) -> object:
    """What must be equal for two views to share an encoder and its heads.

    Of tables the names of columns too. The name of a series: sensors measure different things, and
    one linear head for two of them cannot relate their channels.
    """
    own: object = each.held.modality.names or each.name if each.kind == "table" else ""
    own = each.name if each.view.view == "series" else own
    return each.view.view, each.view.encoder, repr(sorted(each.view.options.items())), own
