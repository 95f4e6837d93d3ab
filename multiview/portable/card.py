"""The cards of a model folder: what it is, what it was trained on, and what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.errors import MultiviewError, printable
from multiview.files import replace_text
from multiview.measure.files import EVALUATION, rows_from_json
from multiview.measure.kept_sentences import kept_verdict
from multiview.measure.retrieval_sentences import ADVICE, rank_rows, retrieval_rows, retrieval_verdict
from multiview.measure.rows import RAW, Measure
from multiview.measure.sentences import linear_rows, verdict
from multiview.plurals import counted
from multiview.portable.history import history_of
from multiview.portable.layout import CARD, FOLDER

if TYPE_CHECKING:
    from multiview.trained import Trained

RESULTS = "Results"
UNCHOSEN = "not-chosen"
VERDICT = "**Verdict:**"
CONCLUSIONS = ("Without labels:", "No control was measured")
"""Beginnings of the sentences that conclude a verdict without labels."""
HEAD = f"""---
library_name: multiview-cmc
license: other
license_name: {UNCHOSEN}
tags: [self-supervised, contrastive, multiview]
---
"""
LICENCE = (
    "No licence was chosen. Write one into the field `license` at the top of this file, and think of the licence of "
    "the data and of pretrained weights."
)


def licence_of(folder: Path) -> str | None:
    """The licence in the card of a model folder; None when nobody has chosen one."""
    try:
        head = (folder / CARD).read_text(encoding="utf-8").partition("\n---")[0]
    except (OSError, UnicodeDecodeError):
        return None
    fields = dict(re.findall(r"^(license|license_name):[ \t]*(\S.*)$", head, flags=re.MULTILINE))
    name = fields.get("license")
    chosen = fields.get("license_name", name) if name == "other" else name
    return None if chosen == UNCHOSEN else chosen


def refresh_results(run: Path) -> None:
    """Writes the results of a run into the card of its model folder, when it has one.

    Only the verdict below the title and the section Results change: whatever the user wrote into
    the other sections stays.
    """
    card = run / FOLDER / CARD
    try:
        before, title, rest = card.read_text(encoding="utf-8").partition(f"## {RESULTS}\n")
    except (OSError, UnicodeDecodeError):
        return
    if title:
        after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
        head, start, _ = before.partition(VERDICT)
        if start:
            before = f"{head}{_first_words(run)}\n{before[len(head) :].partition(chr(10))[2]}"
        replace_text(card, f"{before}{title}\n{_results(run)}{after}")


def card_of_model(trained: Trained, folders: Mapping[str, str], run: Mapping[str, Any]) -> str:
    """The README.md of a model folder."""
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    sections = {
        "Use": _usage(next(iter(folders))),
        "Training": f"{_table(('edge', 'objective'), _edges(trained))}\n{_learned(trained, folders)}\n{_data(trained)}",
        RESULTS: _results(trained.folder),
        "Licence": f"{LICENCE}\n",
        "Versions": f"{versions}\n",
    }
    texts = [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n".join([HEAD, _opening(trained, folders, run), *texts])


def _opening(trained: Trained, folders: Mapping[str, str], run: Mapping[str, Any]) -> str:
    views, steps = counted(len(folders), "view"), counted(run["steps"], "step")
    return (
        f"# {plain(run['name']) or 'model'}\n\n{_first_words(trained.folder)}\n\n"
        f"Encoders of {views}, trained together for {steps} by contrastive multiview learning{_still(trained)}.\n\n"
        f"{_table(('view', 'folder', 'reads', 'features'), _views(trained, folders))}"
    )


def _still(trained: Trained) -> str:
    """Which encoders did not learn, with the weights that they keep; empty when all learned."""
    owners, tuning = trained.model.owners, trained.setup.tuning
    views = [view for view, own in owners.items() if own in tuning and tuning[own].train in ("frozen", "heads")]
    kept = [f"that of `{plain(view)}` was frozen, with weights {history_of(trained, view)[0]}" for view in views]
    return f"; {', '.join(kept)}" if kept else ""


def card_of_view(view: str, about: Mapping[str, Any], owner: str | None) -> str:
    """The README.md of the folder of a view; owner: the folder with the encoder it shares."""
    record, channels = about["view"], about["view"]["channels"]
    lines = [
        f"# View {plain(view)}\n",
        f"- reads the modality `{plain(record['modality'])}`",
        f"- channels: {channels['count']} ({plain(channels['name'])}, {plain(channels['unit'])})",
        f"- mean {record['mean']}, std {record['std']}",
        f"- central crop of {record['crop']['size']} px",
        _of_encoder(about["encoder"]) if owner is None else f"- its encoder is that of the folder `{owner}`",
    ]
    return "\n".join(lines) + "\n"


def _of_encoder(record: Mapping[str, Any]) -> str:
    """Lines on an encoder, and on the library that also loads it."""
    name = str(record.get("name") or record["class"])
    line = f"- encoder: {plain(name)}, {record['features']} features"
    if not record.get("beside"):
        return line
    if not name.startswith("timm:"):
        return f"{line}\n\ntransformers loads it: `AutoModel.from_pretrained(FOLDER)`."
    return (
        f'{line}\n\ntimm loads it: `timm.create_model("local-dir:FOLDER", pretrained=True)`. The input of this\n'
        "network is the converted view, normalised with the mean and std above."
    )


def plain(text: object) -> str:
    """A foreign text that does not act as Markdown or HTML."""
    return printable(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _usage(view: str) -> str:
    return (
        "```python\nimport multiview as mv\n\n"
        'model = mv.load("THIS FOLDER")\n'
        f"h = model[{view!r}](batch)      # stored values in, features out\n"
        f"z = model.z[{view!r}](batch)    # the embedding that was trained\n"
        'table = model.embed("new_files/")\n```\n'
    )


def _views(trained: Trained, folders: Mapping[str, str]) -> list[tuple[str, ...]]:
    views, model = trained.setup.views, trained.model
    return [
        (plain(view), folder, plain(views[view].modality), str(model.encoder(view).features))
        for view, folder in folders.items()
    ]


def _edges(trained: Trained) -> list[tuple[str, ...]]:
    edges = trained.setup.graph.named_edges().items()
    return [(plain(name), plain(type(edge.objective).__name__)) for name, edge in edges]


def _data(trained: Trained) -> str:
    manifest = trained.store.manifest
    splits = ", ".join(f"{count:,} {plain(name)}" for name, count in manifest.splits.items())
    return (
        f"Data: {len(trained.store):,} samples ({splits or 'without splits'}) of the source "
        f"`{plain(manifest.provenance.source)}`, manifest `{manifest.hash[:12]}`. The card does not know what the data "
        "shows or where it was taken: write it here.\n"
    )


def _learned(trained: Trained, folders: Mapping[str, str]) -> str:
    """The first weights of every encoder, and what of it was trained."""
    rows = [(plain(view), *history_of(trained, view)) for view in folders]
    return _table(("encoder of", "first weights", "trained"), rows)


def _measured(folder: Path | None) -> list[Measure]:
    try:
        return rows_from_json((folder / EVALUATION).read_text(encoding="utf-8")) if folder else []
    except (OSError, ValueError, MultiviewError):
        return []


def _first_words(folder: Path | None) -> str:
    """The line below the title: what the run learned, in one or two sentences."""
    rows = _measured(folder)
    said = [line for line in _verdict(rows) if line.startswith(CONCLUSIONS)] if rows else []
    said = [verdict(rows), *said] if linear_rows(rows) else said
    sentences = [plain(line).rstrip(".") for line in said[:2]] or ["nothing was measured; see Results"]
    return f"{VERDICT} {'. '.join(sentences)}."


def _results(folder: Path | None) -> str:
    rows = _measured(folder)
    if not rows:
        return "Nothing was measured. `multiview evaluate RUN` measures the run.\n"
    head = ("measure", "views", "weights", "value", "95 % interval", "test samples")
    raw = next((row.weights_in_words for row in rows if row.weights == RAW), None)
    note = f"`random weights` and `{raw}` are the controls." if raw else ""
    said = "\n".join(f"- {plain(line)}" for line in _verdict(rows))
    table = _table(head, [_cells(row) for row in rows])
    return f"{said}\n\n<details><summary>All measured values</summary>\n\n{table}\n{note}\n</details>\n"


def _verdict(rows: Sequence[Measure]) -> list[str]:
    """The sentences that end an evaluation, without the advice on what to type next."""
    found = [*retrieval_rows(rows), *rank_rows(rows)]
    lines = [verdict(rows)] if linear_rows(rows) else []
    lines += retrieval_verdict(found).splitlines() if found else []
    return [line for line in [*lines, *kept_verdict(rows)] if not line.startswith(ADVICE)]


def _cells(row: Measure) -> tuple[str, ...]:
    between = f"{row.interval.low:.3f} to {row.interval.high:.3f}" if row.interval else ""
    return (row.measure, plain(row.group), row.weights_in_words, f"{row.value:.3f}", between, str(row.tested))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
