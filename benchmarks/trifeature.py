"""What Cross, Cross + Self, CoMM and all together keep: shared, unique and synergic facts.

make bench-trifeature                                      5 seeds, 45 CPU seconds of training each
make bench-trifeature ARGS="--seconds 150 --seeds 3"       a larger budget
make bench-trifeature ARGS="--relation independent"        no relation between the pictures

make bench-trifeature ARGS="--steps 400 --width 0.25"      a budget of steps, a small encoder

Every method trains for the same CPU seconds of one thread: as many steps as fit, by the time of a
measured step. With --steps N, Cross makes N steps, and the others, which encode every view twice,
make half as many.
Probes are linear and, of synergy, also an MLP with a hidden layer, on as many numbers of each
method: the features of both views side by side, or the fused feature. Every run is kept in
RUNS/results.jsonl and not made again. The claims at the end say PASS or FAIL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _intervals import interval

import multiview as mv
from multiview.data.load.open_data import open_data
from multiview.data.sources.trifeature import Trifeature
from multiview.data.write.preprocess import preprocess
from multiview.measure.embeddings import embed
from multiview.measure.linear import linear_probe
from multiview.measure.mlp import MlpProbe
from multiview.measure.untrained import untrained_model
from multiview.model import MultiviewModel
from multiview.plurals import counted
from multiview.settings import t_interval

T = 0.1
METHODS: dict[str, dict[str, Any]] = {
    "Cross": {"topology": "full"},
    "Cross + Self": {"topology": "full+self"},
    "CoMM, mlp": {"objective": mv.CoMM(temperature=T)},
    "CoMM, mlp+linear": {"objective": mv.CoMM(temperature=T, fusion="mlp+linear")},
    "CoMM, attention": {"objective": mv.CoMM(temperature=T, fusion="attention")},
    "CoMM, mlp+linear, and Cross + Self": {
        "objective": mv.CoMM(temperature=T, fusion="mlp+linear"),
        "topology": "full+self",
    },
    "CoMM, mlp+features": {"objective": mv.CoMM(temperature=T, fusion="mlp+features")},
    "CoMM, mlp+features, and Cross + Self": {
        "objective": mv.CoMM(temperature=T, fusion="mlp+features"),
        "topology": "full+self",
    },
}
UNTRAINED, RAW = "untrained", "raw pixels"
PROBES = ("R", "U1", "U2", "S", "S mlp")
PUBLISHED = "| published, CoMM (arXiv:2410.07838), other pictures and budget | | 99.9 | 86.8 (of both) | | 71.4 | |"
DIM = 256


def setup_of(method: str, seed: int, width: float) -> mv.Setup:
    """The views, encoders and edges of a method, with the weights of a seed."""
    torch.manual_seed(seed)
    how = METHODS[method]
    options = {"width": width, "stride": 2}
    views = {
        name: mv.GraphView(
            view="rgb", modality=name, crop=name, augment=mv.Augment(brightness=0.3), encoder_options=options
        )
        for name in ("first", "second")
    }
    edges = [mv.GraphEdge(tuple(views), how["objective"], crop="own")] if "objective" in how else []
    if "topology" in how:
        contrast = mv.SimCLR(temperature=T, negatives="cross")
        pairs = mv.Graph.of(views, how["topology"], contrast).edges
        edges += [mv.GraphEdge(each.views, contrast, crop="own", weight=each.weight) for each in pairs]
    return mv.Graph(views=views, edges=tuple(edges), crop=mv.Crop(size=32, scale=(0.6, 1.0))).setup()


def trained(method: str, seed: int, store: mv.Store, steps: int, width: float) -> tuple[mv.Trained, float]:
    """A run of so many steps, and the CPU seconds that it took."""
    optimizer = mv.Optimizer(name="adamw", lr=3e-3, warmup=1)
    quiet = {"knn_every": 0, "save_every": 10**4, "save_minutes": 0.0, "log_every": 100}
    train = mv.Train(steps=steps, batch=128, epochs=10**4, optimizer=optimizer, workers=0, threads=1, **quiet)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        run = mv.fit(
            setup_of(method, seed, width),
            data=str(store.path),
            seed=seed,
            out=f"{folder}/run",
            train=train,
            evaluate=False,
        )
        return run, time.process_time() - started


def steps_of(method: str, store: mv.Store, given: argparse.Namespace) -> int:
    """As many steps as the budget allows; the seconds of a step are measured by two short runs."""
    if given.steps:
        return given.steps if method == "Cross" else given.steps // 2
    trained(method, 0, store, 2, given.width)
    few, many = (trained(method, 0, store, steps, given.width)[1] for steps in (4, 24))
    return max(1, round(given.seconds / (many - few) * 20))


def numbers_of(model: MultiviewModel | None, setup: mv.Setup, store: mv.Store, split: str) -> np.ndarray:
    """The fused feature of every sample of a split, or the features of both views side by side.

    model: None = the pixels of both views.
    """

    def extract(views: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if model is None:
            return {name: x.flatten(1) for name, x in views.items()}
        h = model.features(views)
        return {**h, **model.fused_features(h)}

    views = {name: setup.views[name] for name in ("first", "second")}
    features = embed(store, split, views, extract, torch.device("cpu")).features
    return features["fused"] if "fused" in features else np.concatenate([features["first"], features["second"]], 1)


def scores(model: MultiviewModel | None, setup: mv.Setup, store: mv.Store, dim: int) -> dict[str, float]:
    """Accuracy of every probe on the test split, in percent."""
    if model is not None:
        model.eval()
    x = {split: numbers_of(model, setup, store, split) for split in ("train", "test")}
    found = {}
    for name, column in (("R", None), ("U1", "texture_1"), ("U2", "texture_2"), ("S", "synergy")):
        y = {split: labels_of(store, split, column) for split in x}
        keep = balanced(y["train"]) if name == "S" else np.arange(len(y["train"]))
        train, test = (x["train"][keep], y["train"][keep]), (x["test"], y["test"])
        found[name] = 100 * linear_probe(train, None, test, dim=min(dim, x["train"].shape[1])).accuracy
        if name == "S":
            found["S mlp"] = 100 * mlp_accuracy(train, test)
    return found


def labels_of(store: mv.Store, split: str, column: str | None) -> np.ndarray:
    """The class of every sample of a split: of the label, or of a column."""
    rows = store.rows(split)
    if column is None:
        return store.labels[rows]
    texts = np.array(store.target(column))
    return np.unique(texts, return_inverse=True)[1][rows]


def balanced(y: np.ndarray) -> np.ndarray:
    """As many samples of every class, the first ones."""
    least = np.bincount(y).min()
    return np.sort(np.concatenate([np.flatnonzero(y == value)[:least] for value in np.unique(y)]))


def mlp_accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    """Of a probe with one hidden layer; a fifth of train stops it."""
    (x, y), (tested, truth) = train, test
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, tested = ((x - mean) / std).astype(np.float32), ((tested - mean) / std).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    held, rest = order[: len(x) // 5], order[len(x) // 5 :]
    probe = MlpProbe(x[rest], y[rest].astype(np.int64), int(y.max()) + 1, (x[held], y[held].astype(np.int64)))
    return float((probe.scores(tested).argmax(1) == truth).mean())


def table(results: Sequence[Mapping[str, Any]], given: argparse.Namespace) -> str:
    """Mean and 95 % interval over the seeds, a row per method."""
    lines = [f"relation {given.relation}, budget of {budget(given)}, one thread, encoder width {given.width:g}", ""]
    lines += [f"| | steps, CPU s | {' | '.join(PROBES)} |", "|---" * (len(PROBES) + 2) + "|"]
    for method in (RAW, UNTRAINED, *METHODS):
        rows = [each for each in results if each["method"] == method]
        if rows:
            rows = rows[:1] if method == RAW else rows
            cells = [interval([row["scores"][name] for row in rows]) for name in PROBES]
            took = f"{rows[0]['steps']}, {np.mean([row['seconds'] for row in rows]):.0f}" if rows[0]["steps"] else ""
            named = method if method == RAW else f"{method} ({counted(len(rows), 'seed')})"
            lines.append(f"| {named} | {took} | {' | '.join(cells)} |")
    return "\n".join([*lines, PUBLISHED])


def budget(given: argparse.Namespace) -> str:
    """What every method may use."""
    return f"{given.steps} steps of Cross" if given.steps else f"{given.seconds:g} CPU seconds"


def claims(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the table should show, each with PASS or FAIL."""
    of = {
        (method, name): {row["seed"]: row["scores"][name] for row in results if row["method"] == method}
        for method in (UNTRAINED, *METHODS)
        for name in PROBES
    }
    if any(not found for (method, _), found in of.items() if method in METHODS):
        return ["claims: not every method has a run yet"]
    said = []
    for fused in (method for method, how in METHODS.items() if "objective" in how):
        good = [n for n in PROBES[:4] if all(not_worse(of[fused, n], of[other, n]) for other in METHODS)]
        verdict = "PASS" if len(good) >= 3 else "FAIL"
        said.append(f"{verdict}: {fused} is best or tied in three of R, U1, U2, S: in {', '.join(good) or 'none'}")
    linear, by_mlp = (float(np.mean(list(of["Cross", name].values()))) for name in ("S", "S mlp"))
    verdict = "PASS" if by_mlp > linear + 10 else "FAIL"
    said.append(f"{verdict}: an MLP reads synergy from Cross that a linear probe does not: {by_mlp:.1f}, {linear:.1f}")
    better = not_worse(of["Cross + Self", "U2"], of["Cross", "U2"])
    said.append(f"{'PASS' if better else 'FAIL'}: Cross + Self reads U2 no worse than Cross")
    return said


def not_worse(ours: Mapping[int, float], others: Mapping[int, float]) -> bool:
    """Whether the mean difference of the same seeds is not below 0 beyond its 95 % interval."""
    differences = [ours[seed] - others[seed] for seed in sorted(ours.keys() & others.keys())]
    if len(differences) < 2:
        return bool(differences) and differences[0] >= 0
    return t_interval(differences).high >= 0


def store_of(folder: Path, count: int, relation: str) -> mv.Store:
    """The samples, which are drawn once."""
    path = folder / f"trifeature-{relation}-{count}"
    if not path.exists():
        share = None if relation == "independent" else float(relation)
        preprocess(Trifeature(count=count, relation=share), None, path)
    return open_data(str(path), folder)


def measured(given: argparse.Namespace, store: mv.Store, file: Path) -> list[dict[str, Any]]:
    """All results, of which those that are in the file are not made again."""
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    steps = {row["method"]: row["steps"] for row in results}
    for seed in range(given.seeds) if given.only is None else given.only:
        for method in METHODS:
            if any((row["method"], row["seed"]) == (method, seed) for row in results):
                continue
            if method not in steps:
                steps[method] = steps_of(method, store, given)
            run, seconds = trained(method, seed, store, steps[method], given.width)
            models: dict[str, MultiviewModel | None] = {method: run.model}
            if method == "Cross":
                models[UNTRAINED] = untrained_model(run, torch.device("cpu"))
                if all(row["method"] != RAW for row in results):  # the same for all seeds
                    models[RAW] = None
            for name, model in models.items():
                row = {"method": name, "seed": seed, "steps": 0, "seconds": 0.0}
                row |= {"steps": steps[method], "seconds": seconds} if name == method else {}
                row["scores"] = scores(model, run.setup, store, DIM)
                results.append(row)
                with file.open("a") as out:
                    out.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    return results


def main(argv: Sequence[str]) -> int:
    """Trains what is missing, prints the table and the claims; 1 when a claim fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="train these seeds only, such as in another process")
    parser.add_argument("--seconds", type=float, default=45.0, help="CPU seconds of training per run")
    parser.add_argument("--steps", type=int, help="steps of Cross, instead of seconds; the others make half as many")
    parser.add_argument("--width", type=float, default=0.5, help="factor on the channels of the encoders")
    parser.add_argument("--count", type=int, default=8000, help="samples, three of four for training")
    parser.add_argument("--relation", default="0.7", help="share of related training samples, or independent")
    parser.add_argument("--out", default="runs/trifeature")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    store = store_of(folder, given.count, given.relation)
    name = "-".join(["results", given.relation, str(given.count), budget(given).replace(" ", "_"), f"{given.width:g}"])
    results = measured(given, store, folder / f"{name}.jsonl")
    said = claims(results)
    print(table(results, given), *said, sep="\n")
    return int(any(line.startswith("FAIL") for line in said))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
