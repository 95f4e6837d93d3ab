"""The recipe `auto`: which graph is chosen for what data."""

from __future__ import annotations

import pytest

from multiview.data.modality import ANY, Modality
from multiview.errors import MultiviewError
from multiview.graphs import Graph
from multiview.graphs.auto import Choice, Wishes, choose, train_of
from multiview.graphs.auto_groups import proposed_group
from multiview.graphs.held import Held, Holdings
from multiview.objectives import SimCLR

FORMS: dict[str, tuple[str, tuple[int, ...], int, float | None]] = {
    "image": ("uint8", (64, 64, 3), 3, None),
    "depth": ("float32", (64, 64), 1, None),
    "normal": ("float16", (64, 64, 3), 3, None),
    "mask": ("uint8", (64, 64), 1, None),
    "bands": ("float32", (64, 64, 5), 5, None),
    "audio": ("int16", (ANY,), 1, 8000.0),
    "video": ("uint8", (8, 64, 64, 3), 3, 4.0),
    "series": ("float32", (50, 3), 3, 10.0),
    "points": ("float32", (128, 3), 3, None),
    "table": ("float32", (7,), 7, None),
    "text": ("uint8", (40,), 1, None),
}
NOTHING = Wishes()
PICTURES = ("image", "depth", "normal", "mask", "bands", "video")


def held(kind: str, name: str | None = None, **values: object) -> Held:
    """A modality of a store as it usually is."""
    dtype, shape, width, rate = FORMS[kind]
    modality = Modality(name=name or kind, kind=kind, dtype=dtype, shape=shape, unit="unit", rate=rate)
    length = {"audio": 8000, "video": 8, "series": 50}.get(kind, 0)
    side = 64 if kind in PICTURES else 0
    usual = {"present": 1000, "changing": tuple(range(width)), "width": width, "side": side, "length": length}
    return Held(modality, **(usual | values))  # type: ignore[arg-type]


def chosen(*modalities: Held, samples: int = 1000, wishes: Wishes = NOTHING) -> Choice:
    """The choice for these modalities, of which all samples have those that are present."""
    together = {frozenset((a.name, b.name)): min(a.present, b.present) for a in modalities for b in modalities}
    return choose(Holdings(modalities, samples, together), wishes)


def edges(choice: Choice) -> list[str]:
    """The labels of the edges."""
    return [edge.label for edge in choice.graph.edges]


def left_out(choice: Choice) -> dict[str, str]:
    """What is left out, and why."""
    return {each.about: each.why for each in choice.reasons if each.chosen == "left out"}


ALONE = {
    "image": (["L", "ab"], ["L-ab"]),
    "depth": (["depth"], ["depth-depth"]),
    "normal": (["normal"], ["normal-normal"]),
    "bands": (["bands"], ["bands-bands"]),
    "audio": (["audio"], ["audio-audio"]),
    "video": (["frame", "frame_difference"], ["frame-frame_difference"]),
    "series": (["series"], ["series-series"]),
    "table": (["table_even", "table_odd"], ["table_even-table_odd"]),
}


@pytest.mark.parametrize("kind", ALONE)
def test_one_modality_is_contrasted_with_itself(kind: str) -> None:
    choice = chosen(held(kind))
    assert (list(choice.graph.views), edges(choice)) == ALONE[kind]


@pytest.mark.parametrize("kind", ["points", "text", "mask"])
def test_what_cannot_be_contrasted_alone_is_named(kind: str) -> None:
    with pytest.raises(MultiviewError, match=f"nothing here can be contrasted: {kind}: "):
        chosen(held(kind))


@pytest.mark.parametrize("kind", ["points", "text"])
def test_with_a_second_modality_it_can(kind: str) -> None:
    assert edges(chosen(held("image"), held(kind))) == ["L-ab", f"L-{kind}", f"ab-{kind}"]


def test_grey_pictures_make_two_small_crops() -> None:
    choice = chosen(held("image", coloured=False))
    assert choice.graph.views["image"].view == "grey"
    assert edges(choice) == ["image-image"]
    assert (choice.graph.crop.size, choice.graph.crop.scale) == (64, (0.3, 1.0))


def test_aligned_views_take_a_bank_and_others_the_batch() -> None:
    choice = chosen(held("image"), held("depth"), held("audio"))
    names = {edge.label: (edge.objective.name, edge.crop) for edge in choice.graph.edges if edge.objective}
    assert names["L-depth"] == ("CMC", "shared")
    assert names["L-audio"] == ("SimCLR", "shared")
    assert set(names) == {"L-ab", "L-depth", "L-audio", "ab-depth", "ab-audio", "depth-audio"}


def test_the_batch_gets_crops_of_its_own_where_the_user_wants_the_batch() -> None:
    choice = chosen(held("image"), held("depth"), held("audio"), wishes=Wishes(objective=SimCLR()))
    crops = {edge.label: edge.crop for edge in choice.graph.edges}
    assert crops["L-ab"] == crops["L-depth"] == "own"
    assert crops["L-audio"] == "shared"


def test_a_large_set_is_contrasted_within_the_batch() -> None:
    choice = chosen(held("image"), samples=2_000_000)
    assert choice.graph.edges[0].crop == "own"
    assert choice.graph.edges[0].objective == SimCLR(temperature=0.1, negatives="cross")


def test_pictures_of_one_thing_share_an_encoder_and_no_crop() -> None:
    names = ("anna", "bert", "carl", "dora")
    choice = chosen(*(held("image", name) for name in names))
    views = choice.graph.views
    assert [views[name].view for name in names] == ["rgb"] * 4
    assert [views[name].share for name in names] == [None, "anna", "anna", "anna"]
    assert len(choice.graph.edges) == 6
    assert {edge.crop for edge in choice.graph.edges} == {"own"}


def test_sounds_of_one_rate_share_an_encoder() -> None:
    assert chosen(held("audio", "en"), held("audio", "es")).graph.views["es"].share == "en"


def test_tables_share_an_encoder_only_when_their_columns_have_the_same_names() -> None:
    choice = chosen(held("table", "blood"), held("table", "urine"))
    assert [view.share for view in choice.graph.views.values()] == [None, None]


def test_twelve_tables_are_contrasted_with_the_first() -> None:
    choice = chosen(*(held("table", f"t{number}") for number in range(12)))
    assert edges(choice) == [f"t0-t{number}" for number in range(1, 12)]
    assert any("66 pairs" in each.why for each in choice.reasons)


def test_the_topology_of_the_user_holds() -> None:
    tables = [held("table", f"t{number}") for number in range(8)]
    assert len(chosen(*tables, wishes=Wishes(topology="full")).graph.edges) == 28
    joint = chosen(*tables, wishes=Wishes(topology="joint")).graph.edges
    assert [edge.objective for edge in joint] == [None]


def test_masks_labels_ids_constants_and_rare_modalities_are_left_out() -> None:
    choice = chosen(
        held("image"),
        held("mask"),
        held("table", "kind", width=1, changing=(0,), role="label"),
        held("table", "number", width=1, changing=(0,), role="id"),
        held("depth", changing=()),
        held("audio", present=3),
    )
    reasons = left_out(choice)
    assert list(choice.graph.views) == ["L", "ab"]
    assert set(reasons) == {"mask", "kind", "number", "depth", "audio"}
    assert "looks like a label" in reasons["kind"]
    assert "looks like an id" in reasons["number"]
    assert "same value" in reasons["depth"]
    assert "only 3 training samples" in reasons["audio"]


def test_constant_channels_are_not_read() -> None:
    choice = chosen(held("table", "a", changing=(0, 2, 3)), held("series"), held("bands", changing=(1, 2)))
    views = choice.graph.views
    assert views["a"].options["columns"] == (0, 2, 3)
    assert views["bands"].options == {"bands": (1, 2)}
    assert views["series"].options["channels"] == 3
    assert left_out(choice)["bands"].endswith("counted from 0: 0, 3, 4")


def test_samples_that_lack_a_view_are_counted_by_its_name() -> None:
    parts = tuple(held(kind, present=n) for kind, n in (("image", 294), ("depth", 147), ("normal", 200)))
    together = {frozenset((a.name, b.name)): min(a.present, b.present) for a in parts for b in parts}
    together[frozenset(("depth", "normal"))] = 90
    choice = choose(Holdings(parts, 294, together))
    assert [each.chosen for each in choice.reasons if each.about == "absent"] == [
        "depth: 147 of 294 samples have it",
        "normal: 200 of 294 samples have it",
        "depth and normal: 90 of 294 have both",
    ]
    assert any(line.startswith("absent  depth: 147 of 294 samples have it ") for line in choice.lines())


def test_views_that_no_sample_has_together_have_no_edge() -> None:
    parts = held("image", "left", present=500), held("image", "right", present=500)
    together = {frozenset(("left",)): 500, frozenset(("right",)): 500, frozenset(("left", "right")): 0}
    choice = choose(Holdings(parts, 1000, together))
    assert edges(choice) == ["left-left", "right-right"]


def test_windows_in_time_follow_the_lengths() -> None:
    assert chosen(held("audio")).graph.crop.seconds == pytest.approx(0.6)
    assert chosen(held("audio"), held("image")).graph.crop.seconds == 1.0
    assert chosen(held("series", "a"), held("series", "b")).graph.crop.seconds is None
    assert chosen(held("audio", length=80_000), held("image")).graph.crop.seconds == 4.0


@pytest.mark.parametrize(("side", "size", "stride"), [(8, 8, 1), (28, 28, 2), (32, 32, 2), (70, 64, 4), (256, 96, 4)])
def test_crops_and_strides_fit_the_pictures(side: int, size: int, stride: int) -> None:
    choice = chosen(held("image", side=side))
    assert choice.graph.crop.size == size
    assert choice.graph.views["L"].encoder_options == {"stride": stride}


def test_the_budget_follows_the_number_of_samples() -> None:
    budgets = {count: train_of(count) for count in (6, 200, 2_000, 50_000)}
    assert {count: (each.batch, each.epochs) for count, each in budgets.items()} == {
        6: (6, 2000),
        200: (32, 334),
        2_000: (128, 134),
        50_000: (256, 20),
    }


def test_the_steps_that_the_user_gives_are_the_budget() -> None:
    few, many = train_of(200, steps=12), train_of(200, steps=9_000)
    assert (few.steps, few.epochs, few.knn_every) == (12, None, 4)
    assert (many.steps, many.epochs) == (9_000, None)
    assert train_of(267, batch=4_096).epochs == 2_000


@pytest.mark.parametrize("samples", [6, 200, 390, 2_000, 50_000])
@pytest.mark.parametrize("steps", [None, 12, 60, 150, 9_000])
def test_a_run_is_measured_ten_times_at_most(samples: int, steps: int | None) -> None:
    train = train_of(samples, steps=steps)
    epoch = max(1, samples // train.batch)
    whole = steps or (train.epochs or 0) * epoch
    assert whole / (train.knn_every * epoch) <= 10
    assert train.knn_every * epoch >= 20
    assert whole / (train.knn_every * epoch) >= min(5, whole // (20 + epoch)), "and not much less often"


def test_series_against_series_have_linear_projectors_and_weight_decay() -> None:
    choice = chosen(held("series", "a"), held("series", "b"))
    edge = choice.graph.edges[0]
    assert edge.objective == SimCLR(temperature=0.1, negatives="cross", hidden=0)
    assert choice.graph.views["a"].tuning.weight_decay == 0.1
    assert [choice.graph.views[name].share for name in "ab"] == [None, None]
    assert [choice.graph.views[name].encoder_options for name in "ab"] == [{"frames": 32}, {"frames": 32}]
    assert chosen(held("series")).graph.views["series"].encoder_options == {}
    assert choice.graph.views["a"].options == {"channels": 3, "jitter": 0.3, "masked": 0.1}
    assert chosen(held("series")).graph.views["series"].tuning.weight_decay is None


def test_a_few_samples_get_a_higher_temperature() -> None:
    found = [chosen(held("table"), held("series"), samples=count).graph.edges[0].objective for count in (499, 500)]
    assert [each.temperature for each in found if isinstance(each, SimCLR)] == [0.2, 0.1]


def test_several_recordings_are_seen_whole() -> None:
    two = held("audio", "a", most=14_000), held("audio", "b", most=16_000)
    assert chosen(*two).graph.crop.seconds == 2.0
    assert chosen(held("audio", "a", most=80_000), held("audio", "b")).graph.crop.seconds == 4.0


def test_names_that_are_no_words_become_words() -> None:
    choice = chosen(held("table", "my table"), held("table", "2nd"), held("table", "my.table"))
    assert list(choice.graph.views) == ["my_table", "view_2nd", "my_table_2"]
    assert [view.modality for view in choice.graph.views.values()] == ["my table", "2nd", "my.table"]


@pytest.mark.parametrize("kinds", [["image"], ["image", "depth", "normal", "audio"], ["table", "series", "text"]])
def test_a_chosen_graph_is_a_graph_file(kinds: list[str]) -> None:
    graph = chosen(*map(held, kinds)).graph
    assert Graph.from_yaml(graph.to_yaml()) == graph
    assert list(graph.setup().views)[: len(graph.views)] == list(graph.views)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"target:model": 820, "target:name": 612, "target:maker": 196}, "model"),
        ({"target:language": 13}, None),  # few values: classes
        ({"target:folder": 30}, None),  # 109 samples each
        ({"target:title": 3000}, None),  # a name for nearly each sample
        ({"target:model": 820, "model": 820}, None),  # the groups are known
    ],
)
def test_a_column_that_may_tell_groups_is_named(columns: dict[str, int], named: str | None) -> None:
    found = proposed_group({name: [str(n) for n in range(count)] for name, count in columns.items()}, 3280)
    assert [f"give --group {named}," in each.why for each in found] == [True] * (named is not None)
