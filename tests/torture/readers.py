"""All readers: each runs a command or call on folders and returns a digest of the result."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from .ground import Ground, train_words


def command(*words: str) -> None:
    """Runs `multiview WORDS` as its console command does, exit code included."""
    from multiview.cli import main

    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise


def rows_of(store: Path) -> dict[str, str]:
    """Digest of every column and modality of a store, read through the public class."""
    import multiview as mv

    try:
        opened = mv.Store.open(store)
        rows = list(range(opened.manifest.count))
        digests = {"labels": _digest(opened.labels), "ids": _digest(opened.ids)}
        for modality in opened.manifest.modalities:
            digests[modality.name] = _digest(opened.read(rows, modality.name))
            digests[f"{modality.name} present"] = _digest(opened.present(modality.name))
    except mv.MultiviewError as error:
        raise SystemExit(f"error: {error}") from None
    return digests


def inspect(store: Path) -> None:
    """`multiview inspect`."""
    command("inspect", str(store), "--out", str(store.parent / "sheet.png"), "--samples", "2")


def verify(store: Path) -> None:
    """`multiview verify`."""
    command("verify", str(store))


def train(store: Path) -> list[Any]:
    """Two steps on a store; returns the losses."""
    out = store.parent / "trained"
    shutil.rmtree(out, ignore_errors=True)
    command(*train_words(store, out, 2, "--evaluate", "false"))
    return losses(out)


def losses(run: Path) -> list[Any]:
    """The losses of a run, by step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [[line["step"], line.get("loss")] for line in lines if "lr" in line]


def embed(run: Path) -> dict[str, str]:
    """`mv.load(RUN).embed("test")`."""
    import multiview as mv

    try:
        features = mv.load(run).embed("test").features
    except mv.MultiviewError as error:
        raise SystemExit(f"error: {error}") from None
    return {name: _digest(np.asarray(x)) for name, x in features.items()}


def evaluate(run: Path) -> None:
    """`multiview evaluate RUN`."""
    command("evaluate", str(run))


def compare(run: Path) -> None:
    """`multiview compare RUN RUN`."""
    command("compare", str(run), str(run))


def resume(ground: Ground, run: Path) -> list[Any]:
    """Two more steps of a run; returns the losses."""
    command(*train_words(ground.store, run, 8, "--resume", "--evaluate", "false"))
    return losses(run)


def prepare(source: str, data: Path, *options: str) -> None:
    """`multiview preprocess` of a damaged input; the store that it wrote must verify."""
    out = data.parent / "made"
    shutil.rmtree(out, ignore_errors=True)
    command("preprocess", source, str(data), str(out), *options)
    if (out / "manifest.json").is_file():
        command("verify", str(out))


def _digest(values: Any) -> str:
    seen = hashlib.sha256()
    for value in values if isinstance(values, list) else [values]:
        array = np.ascontiguousarray(value)
        seen.update(f"{array.dtype}{array.shape}".encode())
        seen.update(array.astype("U").tobytes() if array.dtype == object else array.tobytes())
    return seen.hexdigest()
