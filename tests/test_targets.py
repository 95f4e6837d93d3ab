"""Targets: scores against scikit-learn, the solver against scikit-learn, columns of data, rows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from clusters import clusters, splits
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from multiview.data.load.memory import open_memory
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.folder import Folder
from multiview.data.sources.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.measure import target_scores as scores
from multiview.measure.files import rows_from_json, to_json
from multiview.measure.linear import CROSS, VALIDATION, choosing_folds, linear_probe, reduced
from multiview.measure.logistic import Rows
from multiview.measure.target_probes import Task, chosen_rows, predicted
from multiview.measure.target_rows import Plan, Samples, measured_outputs, target_rows
from multiview.measure.target_table import target_sentences
from multiview.measure.targets import CLASSES, LABELS, NUMBER, Target, targets_of
from multiview.measure.transfer import transfer_rows


def drawn(seed, n=60, columns=4):
    """Classes of which the last is missing, scores with ties, and how often a sample counts."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, columns - 1, n)
    guess = np.round(rng.normal(size=(n, columns)) + np.eye(columns)[truth], 1)
    times = np.stack([np.ones(n), rng.integers(0, 3, n)])
    return truth, guess, times


class TestScores:
    @pytest.mark.parametrize("seed", range(5))
    def test_classes_equal_scikit_learn(self, seed):
        truth, guess, times = drawn(seed)
        found = {name: getattr(scores, name)(truth, guess, times) for name in ("top1", "balanced_accuracy", "auroc")}
        for draw, weight in enumerate(times):
            there = np.repeat(np.arange(len(truth)), weight.astype(int))
            t, s = truth[there], guess[there]
            assert found["top1"][draw] == pytest.approx(metrics.accuracy_score(t, s.argmax(1)))
            with np.errstate(all="ignore"):
                recalls = metrics.recall_score(t, s.argmax(1), labels=np.unique(t), average="macro", zero_division=0)
            assert found["balanced_accuracy"][draw] == pytest.approx(recalls)
            areas = [metrics.roc_auc_score(t == k, s[:, k]) for k in np.unique(t)]
            assert found["auroc"][draw] == pytest.approx(np.mean(areas))

    @pytest.mark.parametrize("seed", range(5))
    def test_several_labels_equal_scikit_learn_and_an_absent_label_is_left_out(self, seed):
        rng = np.random.default_rng(seed)
        hot = rng.integers(0, 2, (50, 4))
        hot[:, 3] = 0
        guess = np.round(rng.normal(size=(50, 4)) + hot, 1)
        times = np.stack([np.ones(50), rng.integers(0, 3, 50)])
        precision, area = scores.mean_average_precision(hot, guess, times), scores.auroc(hot, guess, times)
        for draw, weight in enumerate(times):
            there = np.repeat(np.arange(50), weight.astype(int))
            own = [metrics.average_precision_score(hot[there, k], guess[there, k]) for k in range(3)]
            assert precision[draw] == pytest.approx(np.mean(own))
            own = [metrics.roc_auc_score(hot[there, k], guess[there, k]) for k in range(3)]
            assert area[draw] == pytest.approx(np.mean(own))

    def test_numbers_equal_scikit_learn(self):
        rng = np.random.default_rng(0)
        truth = rng.normal(size=40)
        guess, weight = truth + rng.normal(size=40), rng.integers(0, 3, 40)
        t, g = np.repeat(truth, weight), np.repeat(guess, weight)
        assert scores.r2(truth, guess, weight[None])[0] == pytest.approx(metrics.r2_score(t, g))
        assert scores.mae(truth, guess, weight[None])[0] == pytest.approx(metrics.mean_absolute_error(t, g))

    @pytest.mark.filterwarnings("error")
    def test_a_class_without_training_samples_is_missed_and_gives_no_warning(self):
        truth = np.array([0, 1, 2, 0, 1])
        guess = np.array([[3.0, 1, -np.inf], [0, 2, -np.inf], [1, 0, -np.inf], [2, 0, -np.inf], [0, 1, -np.inf]])
        areas = [metrics.roc_auc_score(truth == k, guess[:, k].clip(min=-1e9)) for k in range(3)]
        assert scores.auroc(truth, guess, scores.once(5))[0] == pytest.approx(np.mean(areas))

    def test_what_the_samples_do_not_define_is_nan(self):
        truth, guess = np.zeros(3, int), np.zeros((3, 2))
        assert np.isnan(scores.auroc(truth, guess, scores.once(3))).all()
        assert np.isnan(scores.r2(np.ones(3), np.ones(3), scores.once(3))).all()


class TestSolver:
    @pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
    def test_the_fit_is_that_of_scikit_learn(self, c):
        (x, y), _, (test, _) = splits(noise=3.0, dim=40)
        x, test = reduced(x, test)
        ours = Rows(x, y).fit(c)
        theirs = LogisticRegression(C=c, tol=1e-6, max_iter=5000).fit(x, y)
        assert ours.converged
        chances = np.exp(ours.scores(test) - np.logaddexp.reduce(ours.scores(test), axis=1, keepdims=True))
        np.testing.assert_allclose(chances, theirs.predict_proba(test), atol=0.01)

    def test_separate_labels_are_those_of_one_fit_each(self):
        (x, y), _, (test, _) = splits(noise=3.0, dim=10)
        x, test = reduced(x, test)
        hot = np.stack([y == 0, y < 2], axis=1).astype(np.int64)
        together = Rows(x, hot).fit(0.1).scores(test)
        for column in range(2):
            alone = LogisticRegression(C=0.1, tol=1e-6).fit(x, hot[:, column])
            np.testing.assert_allclose(together[:, column], alone.decision_function(test), atol=0.05)

    def test_few_validation_samples_do_not_choose_a_probe_that_knows_one_class(self):
        """14 classes, half of the samples of one of them, 36 samples to validate."""
        rng = np.random.default_rng(0)
        share = np.array([0.5, *([0.5 / 13] * 13)])

        def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
            y = rng.choice(14, count, p=share)
            return (0.4 * middle[y] + rng.normal(size=(count, 256))).astype(np.float32), y

        middle = rng.normal(size=(14, 256))
        train, val, test = drawn(276), drawn(36), drawn(400)
        result = linear_probe(train, val, test)
        assert result.accuracy > (test[1] == 0).mean() + 0.1
        assert result.chosen_on == CROSS

    def test_small_validation_gives_way_to_folds(self):
        train, val, _ = splits()
        assert choosing_folds(train, val)[1] == VALIDATION
        folds, how = choosing_folds(train, (val[0][:99], val[1][:99]))
        assert how == CROSS and len(folds) == 5
        held = np.concatenate([each[1][0] for each in folds])
        assert sorted(map(tuple, held)) == sorted(map(tuple, train[0]))


def manifest(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["id,x1,x2,label,split,tags,age,note,grade"]
    for row in range(60):
        split, label = ("train", "val", "test")[row % 3], "ab"[row % 2]
        tags = ";".join(name for name, there in (("red", row % 2), ("big", row % 5 > 1)) if there) or ";"
        lines.append(
            f"s{row},{rng.normal():.3f},{rng.normal():.3f},{label},{split},{tags},{rng.normal():.2f},"
            f"a text {row},{'' if row == 4 else row % 4}"
        )
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("targets")
    return Store.open(preprocess(Manifest(), manifest(folder), folder / "store").out)


class TestColumns:
    def test_a_store_keeps_the_columns_that_can_be_predicted(self, store: Store) -> None:
        assert store.target_names == ("tags",)
        assert set(store.manifest.factors) == {"age", "grade"}
        assert store.group_names == ()
        assert store.target("tags")[:3] == [";", "red", "big"]
        assert np.isnan(store.factor("grade")[4])

    def test_kinds_are_found_and_can_be_given(self, store: Store) -> None:
        found = {target.name: target for target in targets_of(store, ())}
        assert {name: target.kind for name, target in found.items()} == {
            "label": CLASSES,
            "tags": LABELS,
            "age": NUMBER,
            "grade": CLASSES,
        }
        assert found["tags"].names == ("big", "red")
        assert found["tags"].values[:3].tolist() == [[0, 0], [0, 1], [1, 0]]
        assert found["grade"].values[4] == -1 and not found["grade"].known[4]
        (number,) = targets_of(store, ["grade:number"])
        assert number.kind == NUMBER and number.asked and np.isnan(number.values[4])

    def test_a_column_of_another_table_is_found_by_id(self, store: Store, tmp_path: Path) -> None:
        table = tmp_path / "more.csv"
        table.write_text("id,mood\n" + "".join(f"s{row},{'xyz'[row % 3 % 2]}\n" for row in range(1, 60)))
        with pytest.raises(MultiviewError, match="the train split has no two values"):
            targets_of(store, [f"{table}:mood"])
        table.write_text("id,mood\n" + "".join(f"s{row},{'xyz'[row % 2]}\n" for row in range(1, 60)))
        (target,) = targets_of(store, [f"{table}:mood"])
        assert target.kind == CLASSES and target.values[:3].tolist() == [-1, 1, 0]

    def test_mistakes_say_what_to_type(self, store: Store) -> None:
        with pytest.raises(MultiviewError, match="Did you mean 'age'"):
            targets_of(store, ["agee"])
        with pytest.raises(MultiviewError, match="is a column of texts"):
            targets_of(store, ["tags:number"])

    def test_data_in_memory_has_targets_too(self) -> None:
        rng = np.random.default_rng(0)
        data = {
            "table": rng.normal(size=(30, 4)),
            "label": np.arange(30) % 2,
            "tags": [["a"], [], ["a", "b"]] * 10,
            "hot_labels": np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1]] * 10),
            "age": rng.normal(size=30),
            "split": ["train", "test", "val"] * 10,
        }
        store = open_memory(data, lambda _: None)
        assert store.target("tags")[:3] == ["a", ";", "a;b"]
        assert store.target("hot_labels")[:3] == ["0;2", ";", "0;1;2"]
        np.testing.assert_array_equal(store.factor("age"), data["age"])
        assert "tags" not in [modality.name for modality in store.manifest.modalities]

    def test_lists_of_texts_in_json_lines_and_hugging_face(self, tmp_path: Path) -> None:
        lines = [{"id": str(n), "x": [n, 1.0], "tags": [["a"], [], ["a", "b"]][n % 3]} for n in range(12)]
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        assert Store.open(preprocess(Manifest(), path, tmp_path / "out").out).target("tags")[:3] == ["a", ";", "a;b"]
        datasets = pytest.importorskip("datasets")
        store = open_memory(datasets.Dataset.from_list(lines), lambda _: None)
        assert store.target("tags")[:3] == ["a", ";", "a;b"]

    def test_columns_beside_folders_are_kept(self, tmp_path: Path) -> None:
        from PIL import Image

        root = tmp_path / "pictures"
        names = [f"{kind}/{n}" for kind in ("cat", "dog") for n in range(6)]
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), hash(name) % 200, np.uint8)).save(root / f"{name}.png")
        text = "".join(f"{name},{'de' if n % 2 else 'en'},{n * n}\n" for n, name in enumerate(names))
        (root / "labels.csv").write_text(f"id,language,area\n{text}")
        store = Store.open(preprocess(Folder(), root, tmp_path / "store").out)
        assert store.target_names == ("language",) and store.manifest.factors == ("area",)


def samples(split_rows, weights=("trained", "random")) -> dict[str, Samples]:
    """Two views that hold the classes, in two qualities; some samples lack the second."""
    found = {}
    for split, rows in split_rows.items():
        good, bad = clusters(len(rows), dim=8, noise=0.4, seed=3), clusters(len(rows), dim=8, noise=9.0, seed=4)
        features = {"trained": {"a": good[0], "b": good[0][:, ::-1].copy()}, "random": {"a": bad[0], "b": bad[0]}}
        there = np.ones(len(rows), bool)
        there[::7] = False
        found[split] = Samples(
            rows=rows, features={name: features[name] for name in weights}, present={"a": there | True, "b": there}
        )
    return found


@pytest.fixture(scope="module")
def measured():
    split_rows = {"train": np.arange(120), "val": np.arange(120, 180), "test": np.arange(180, 260)}
    y = np.concatenate([clusters(len(rows), dim=8, seed=3)[1] for rows in split_rows.values()])
    hot = np.stack([y == 0, y > 1], axis=1).astype(np.int64)
    number = np.where(np.arange(260) % 9 == 0, np.nan, y * 2.0)
    targets = [
        Target("kind", CLASSES, y, ("w", "x", "y", "z"), asked=True),
        Target("tags", LABELS, hot, ("w", "late")),
        Target("size", NUMBER, number),
    ]
    groups = [("a",), ("b",), ("a", "b")]
    plan = Plan(targets=targets, groups=groups, views=("a", "b"), dim=8, probe="mlp", thorough=["kind"])
    splits_ = samples(split_rows)
    return [*target_rows(plan, splits_), *transfer_rows(targets[:1], splits_, {}, ("a", "b"))]


class TestRows:
    def test_good_features_predict_every_kind_and_their_margin_is_clear(self, measured) -> None:
        found = {
            (row.facts["target"], row.measure, row.weights): row
            for row in measured
            if row.group == "concat" and row.facts["labels"] == "all" and row.facts["probe"] == "linear"
        }
        assert found["kind", "target_top1", "trained"].value > 0.9 > found["kind", "target_top1", "random"].value
        assert found["kind", "target_auroc", "trained"].value > 0.95
        assert found["tags", "target_map", "trained"].value > 0.9
        assert found["size", "target_r2", "trained"].value > 0.5
        over = found["kind", "target_top1", "trained"].facts["over"]["random"]
        assert 0 < over["low"] <= over["points"] <= over["high"]
        row = found["kind", "target_top1", "trained"]
        assert row.interval.low <= row.value <= row.interval.high
        assert row.samples["test"] == 80 - 12
        assert found["size", "target_mae", "trained"].higher_is_better is False

    @pytest.mark.parametrize("right", [True, False])
    def test_a_score_without_or_full_of_mistakes_still_has_an_interval(self, right) -> None:
        truth = np.arange(30) % 2
        guess = np.eye(2)[truth if right else 1 - truth]
        sizes = {"trained": SimpleNamespace(width=2, train=9, val=0)}
        common = {"views": ("a",), "group": "a"}
        (row,) = measured_outputs(truth, {"trained": [guess]}, {"target_top1": scores.top1}, {}, common, sizes)
        assert row.value == float(right)
        assert row.interval.high - row.interval.low == pytest.approx(0.1135, abs=1e-3)  # Wilson, 30 samples

    def test_few_labels_are_measured_for_the_chosen_target(self, measured) -> None:
        few = [r for r in measured if r.facts["labels"] != "all" and r.weights == "trained" and r.group == "a"]
        first = {row.facts["labels"]: row for row in few if row.measure == "target_top1"}
        assert {"2 a class", "5 a class", "10 a class", "10 %"} <= first.keys()
        assert first["2 a class"].samples["train"] == 8
        assert {row.facts["target"] for row in few} == {"kind"}

    def test_a_probe_is_transferred_between_views(self, measured) -> None:
        rows = {(r.facts["trained_on"], r.weights): r for r in measured if "trained_on" in r.facts}
        assert rows["a", "trained"].group == "a -> b" and rows["a", "trained"].facts["space"] == "h"
        assert set(rows) == {(view, weights) for view in "ab" for weights in ("trained", "random")}

    def test_rows_survive_the_file_and_become_sentences(self, measured) -> None:
        assert rows_from_json(to_json(measured)) == measured
        text = "\n".join(target_sentences(measured))
        assert "kind (4 classes) from a+b: top-1" in text and "by an MLP" in text
        assert "a probe trained on a and tested on b, through h" in text


def test_an_mlp_reads_what_only_two_numbers_together_tell() -> None:
    x = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    task = Task(kind=CLASSES, outputs=2, train=(x[:400], y[:400]), val=(x[400:500], y[400:500]))
    linear, mlp = (predicted(task, [x[500:]], probe)[0].argmax(1) for probe in ("linear", "mlp"))
    assert (linear == y[500:]).mean() < 0.75 < 0.85 < (mlp == y[500:]).mean()


def test_few_labels_are_the_same_for_all_features() -> None:
    x, y = clusters(80)
    task = Task(kind=CLASSES, outputs=4, train=(x, y), val=(x[:0], y[:0]))
    other = Task(kind=CLASSES, outputs=4, train=(x * 2, y), val=(x[:0], y[:0]))
    rows = chosen_rows(task, "5 a class", 0)
    assert rows is not None and np.bincount(y[rows]).tolist() == [5, 5, 5, 5]
    np.testing.assert_array_equal(rows, chosen_rows(other, "5 a class", 0))
    assert chosen_rows(task, "1 %", 0) is None


@pytest.mark.parametrize("ending", ["npz", "h5", "memory"])
def test_texts_that_repeat_are_classes_and_no_view(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "sensor": rng.normal(size=(24, 5)).astype("float32"),
        "cause": np.array(["walk", "run", "sit"])[np.arange(24) % 3],
        "note": np.array([f"sample number {number}" for number in range(24)]),
        "caption": np.array(["a cat", "a dog"])[np.arange(24) % 2],
    }
    if ending == "npz":
        np.savez(tmp_path / "x.npz", **arrays)
    elif ending == "h5":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    if ending == "memory":
        store = open_memory(arrays)
    else:
        store = Store.open(preprocess(Arrays(), tmp_path / f"x.{ending}", tmp_path / "store").out)
    kinds = {each.name: each.kind for each in store.manifest.modalities}
    assert kinds == {"sensor": "table", "note": "text", "caption": "text"}
    assert store.target("cause")[:4] == ["walk", "run", "sit", "walk"]
