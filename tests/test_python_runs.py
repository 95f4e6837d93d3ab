"""A run that `mv.fit` made is a run: loaded, resumed, evaluated and compared from its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multiview as mv
from multiview.cli import main
from multiview.setup_record import GRAPH, INITIAL, SETUP, record_of, unrecorded

pytestmark = pytest.mark.usefixtures("rough_probes")
TRAIN = mv.Train(steps=2, batch=16, knn_every=0, log_every=1, threads=1, optimizer=mv.Optimizer(schedule="constant"))
GRAPH_OF_THREE = """
crop: {size: 16}
views:
  photo: {view: rgb, modality: image, encoder: convnet, width: 0.25, lr_scale: 0.5}
  depth: {encoder: convnet, width: 0.25}
  second: {view: rgb, modality: image, crop: second, share: photo}
edges:
  - photo - depth: {objective: cmc, temperature: 0.1, weight: 2, schedule: {weight: [0, 1], until: 0.5}}
  - photo - second: simclr
  - photo - depth - second: symile
"""


def plain_setup() -> mv.Setup:
    crop = mv.Crop(size=16)
    views = {"L": mv.views.Lab.lightness(crop), "ab": mv.views.Lab.chroma(crop)}
    encoders: dict[str, mv.Encoder | str] = {
        "L": mv.make_encoder("convnet", 1, width=0.25),
        "ab": mv.make_encoder("convnet", 2, width=0.25),
    }
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.CMC(temperature=0.2)))


def graph_setup() -> mv.Setup:
    return mv.Graph.from_yaml(GRAPH_OF_THREE).setup()


class Own(mv.Encoder):
    """A network that no package registers."""

    def __init__(self) -> None:
        super().__init__(channels=1, features=8, layers=("pool",))
        self.pool = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def own_encoder() -> mv.Setup:
    setup = plain_setup()
    return replace(setup, encoders={**setup.encoders, "L": Own()})


def own_view() -> mv.Setup:
    setup = plain_setup()
    grey = replace(
        setup.views["L"],
        convert=lambda x: x.mean(1, keepdim=True),
        mean=(0.5,),
        std=(0.2,),
        made=None,
        reads_bytes=False,
    )
    return replace(setup, views={**setup.views, "L": grey})


def features(trained: mv.Trained) -> dict[str, Any]:
    return dict(trained.embed("test").features)


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def code(*words: object) -> int:
    """The exit code of `multiview WORDS`."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("make", [plain_setup, graph_setup])
def test_a_run_from_python_is_loaded_from_its_folder(
    make: Callable[[], mv.Setup], scenes: Path, tmp_path: Path
) -> None:
    setup = make()
    trained = mv.fit(setup, data=scenes, out=tmp_path / "run", train=TRAIN, evaluate=False)
    torch.manual_seed(5)
    loaded = mv.load(tmp_path / "run")
    assert loaded.steps == 2
    assert loaded.setup.views == trained.setup.views
    assert loaded.setup.graph == trained.setup.graph
    assert loaded.setup.tuning == setup.tuning
    assert_equal(features(loaded), features(trained))
    first, again = (each.setup.encoders["photo" if make is graph_setup else "L"] for each in (trained, loaded))
    assert_equal(dict(again.state_dict()), dict(first.state_dict()))


def test_the_setup_that_was_given_is_not_changed_by_loading(scenes: Path, tmp_path: Path) -> None:
    setup = own_encoder()
    before = {name: value.clone() for name, value in setup.encoders["L"].state_dict().items()}
    mv.fit(setup, data=scenes, out=tmp_path / "run", train=TRAIN, evaluate=False)
    other = own_encoder()
    mv.load(tmp_path / "run", setup=other)
    assert not all(torch.equal(value, before[name]) for name, value in other.encoders["L"].state_dict().items())


def test_the_graph_of_a_run_is_written_as_a_graph_file(scenes: Path, tmp_path: Path) -> None:
    setup = graph_setup()
    mv.fit(setup, data=scenes, out=tmp_path / "run", train=TRAIN, evaluate=False)
    assert mv.Graph.from_yaml(tmp_path / "run" / GRAPH) == mv.Graph.from_yaml(GRAPH_OF_THREE)
    other = replace(setup, graph=mv.ContrastGraph.full(setup.views, mv.SimCLR()))
    mv.fit(other, data=scenes, out=tmp_path / "other", train=TRAIN, evaluate=False)
    assert not (tmp_path / "other" / GRAPH).exists()


def test_a_run_from_python_is_evaluated_compared_and_resumed(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    mv.fit(plain_setup(), data=scenes, out=out, train=TRAIN)
    printed = (out / "evaluation.json").read_text()
    (out / "evaluation.json").unlink()
    assert f'mv.load("{out}")' in capsys.readouterr().out.replace("\n", "")
    assert code("evaluate", out) == 0
    assert json.loads((out / "evaluation.json").read_text()) == json.loads(printed)
    assert code("compare", out) == 0
    assert code("graph", out) == 0
    assert "Edges" in capsys.readouterr().out
    longer = mv.fit(plain_setup(), data=scenes, out=out, train=replace(TRAIN, steps=3), resume=True, evaluate=False)
    assert longer.steps == mv.load(out).steps == 3


@pytest.mark.parametrize(
    ("make", "part"),
    [(own_encoder, "the encoder of 'L': the class Own made it"), (own_view, "the view 'L': no registered view")],
)
def test_a_part_that_cannot_be_recorded_is_named_and_the_setup_given_again(
    make: Callable[[], mv.Setup], part: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, setup = tmp_path / "run", make()
    trained = mv.fit(setup, data=scenes, out=out, train=TRAIN, evaluate=False)
    assert "setup=setup" in capsys.readouterr().out
    with pytest.raises(mv.MultiviewError, match=part) as caught:
        mv.load(out)
    assert f"Give the setup again: mv.load('{out}', setup=setup)" in str(caught.value)
    assert code("evaluate", out) == 2
    assert_equal(features(mv.load(out, setup=make())), features(trained))
    with pytest.raises(mv.MultiviewError, match="do not fit its recipe or setup"):
        mv.load(out, setup=plain_setup() if make is own_encoder else own_encoder())


def test_a_run_on_data_in_memory_asks_for_the_data_again(scenes: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data: dict[str, Any] = {"image": rng.integers(0, 256, (40, 16, 16, 3), np.uint8), "label": rng.integers(0, 2, 40)}
    out = tmp_path / "run"
    trained = mv.fit(plain_setup(), data=data, out=out, train=TRAIN)
    assert trained.evaluate()
    with pytest.raises(mv.MultiviewError, match=r"trained on data in memory, .* give the data again"):
        mv.load(out)
    assert code("evaluate", out) == 2
    assert code("graph", out) == 0
    assert_equal(features(mv.load(out, data)), features(trained))
    assert code("evaluate", out, "--data", scenes) == 0


def test_a_run_of_an_older_version_without_a_record_takes_the_setup_again(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = mv.fit(plain_setup(), data=scenes, out=out, train=TRAIN, evaluate=False)
    (out / SETUP).unlink()
    (out / INITIAL).unlink()
    with pytest.raises(mv.MultiviewError, match=rf"holds no {SETUP}. Give the setup again"):
        mv.load(out)
    assert_equal(features(mv.load(out, setup=plain_setup())), features(trained))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("views"),
        lambda record: record["views"]["L"].update(name="os:system"),
        lambda record: record["edges"][0]["objective"].update(name="nothing"),
        lambda record: record["edges"][0]["objective"].update(options={"x": {"class": "os:system", "options": {}}}),
        lambda record: record.update(schema=99),
        lambda record: record.update(edges=3),
    ],
)
def test_a_record_that_was_changed_is_refused_in_one_sentence(
    change: Callable[[dict[str, Any]], Any], scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    mv.fit(plain_setup(), data=scenes, out=out, train=replace(TRAIN, steps=1), evaluate=False)
    record = json.loads((out / SETUP).read_text())
    change(record)
    (out / SETUP).write_text(json.dumps(record))
    with pytest.raises(mv.MultiviewError):
        mv.load(out)


def test_a_record_names_the_packages_of_foreign_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(plain_setup())
    assert not unrecorded(record)
    assert record["plugins"] == {}
    monkeypatch.setattr("multiview.setup_record.OURS", "another")
    assert record_of(plain_setup())["plugins"] == {
        "views/L": "multiview-cmc",
        "views/ab": "multiview-cmc",
        "encoders/convnet": "multiview-cmc",
        "objectives/cmc": "multiview-cmc",
    }
