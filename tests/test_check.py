"""`multiview check`: our parts keep the laws; of faulty parts the table says what to correct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from samples import write_photos, write_scans
from torch import Tensor, nn

from multiview import plugins
from multiview.check import encoders, objectives, sources, views
from multiview.check.laws import Finding, Law, judged, title
from multiview.cli import run
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.sources.scenes import Scenes
from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.objectives import EdgeInput, EdgeOutput, SimCLR
from multiview.view import Augmentation, Channels, Crop, View

SMALL = ("alexnet", "convnet", "mlp", "pointnet", "resnet1d", "text", "waveconv")


@pytest.mark.parametrize("name", [*SMALL, pytest.param("timm:resnet10t", marks=pytest.mark.slow)])
def test_our_encoders_keep_the_laws(name: str) -> None:
    width = {} if ":" in name else {"width": 0.25}
    assert troubles(judged(encoders.LAWS, encoders.trial(name, channels=2, **width))) == {}


def test_an_objective_keeps_the_laws_at_its_defaults() -> None:
    """test_objectives.py runs the laws on every objective, with fewer dimensions."""
    assert troubles(judged(objectives.LAWS, objectives.trial("simclr"))) == {}


def test_our_sources_keep_the_laws(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", each=2)
    write_scans(tmp_path / "scans", each=2)
    made = {"scenes": (Scenes(count=20, size=24), None)}
    made |= {n: (plugins.load("sources", n)(), tmp_path / f) for n, f in (("folder", "photos"), ("aligned", "scans"))}
    for name, (source, root) in made.items():
        assert troubles(judged(sources.LAWS, sources.Trial(source, root))) == {}, name


def troubles(findings: list[Finding]) -> dict[str, str]:
    return {finding.law: finding.trouble for finding in findings if finding.trouble}


Broke = Callable[..., dict[str, str]]


@pytest.fixture
def view_of(monkeypatch: pytest.MonkeyPatch) -> Broke:
    """Returns the troubles of a view of images that the arguments make faulty."""

    def broken(
        convert: Callable[[Tensor], Tensor] | None = None, stored: Tensor | None = None, **changes: Any
    ) -> dict[str, str]:
        def made(crop: Crop, augment: Augmentation | None = None) -> View:
            given = {"modality": "image", "channels": Channels("odd", 3, "sRGB", 0.0, 1.0), "crop": crop}
            return View(**{**given, "mean": (0.5,), "std": (0.5,), "augment": augment, "convert": convert, **changes})

        monkeypatch.setattr(views, "load", lambda group, name: made)
        monkeypatch.setattr(plugins, "load", lambda group, name: made)
        subject = views.trial("odd")
        return troubles(judged(views.LAWS, subject if stored is None else replace(subject, stored=stored)))

    return broken


def doubled(x: Tensor) -> Tensor:
    return x * 2


def grown(x: Tensor) -> Tensor:
    return x.mul_(1.0) if x.is_leaf else x


def in_batch(x: Tensor) -> Tensor:
    return (x - x.mean(0)).clamp(0, 1)


def on_cpu(x: Tensor) -> Tensor:
    return x * torch.ones(3, 1, 1)


def noisy(x: Tensor) -> Tensor:
    return (x * torch.rand(())).clamp(0, 1)


def stretched(x: Tensor) -> Tensor:
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - low) / (high - low)


def in_double(x: Tensor) -> Tensor:
    return x.double()


def grey(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("convert", "law", "mend"),
    [
        (doubled, "in range", "it gives 0 to 2 and declares 0 to 1; correct the Channels"),
        (in_batch, "independent rows", "never over axis 0"),
        (on_cpu, "device neutral", "make new tensors on the device of its input"),
        (noisy, "deterministic", "draw random numbers in an Augmentation"),
        (stretched, "finite", "NaN or infinite; guard divisions"),
        (in_double, "dtype", "it gives torch.float64; convert to float32"),
        (grey, "shape", "declares 3 channels, but 'image' gives it 1; declare as many"),
        (lambda x: x, "picklable", "no lambda"),
    ],
)
def test_a_view_that_breaks_a_law_is_found_with_a_remedy(
    view_of: Broke, convert: Callable, law: str, mend: str
) -> None:
    assert mend in view_of(convert)[law]


def test_a_view_that_ignores_its_crop_or_augmentation_is_found(view_of: Broke) -> None:
    assert "pass crop=crop" in view_of(crop=Crop(size=32))["declared"]
    assert "pass augment=augment" in view_of(augment=None)["declared"]
    assert "gives 0 to 1 and declares" in view_of(channels=Channels("odd", 3, "sRGB", 0.0, 0.5))["in range"]
    assert "say what the numbers mean" in view_of(channels=Channels("odd", 3, "", 0.0, 1.0))["declared"]


def test_a_view_of_an_unknown_modality_needs_its_kind(view_of: Broke) -> None:
    with pytest.raises(
        MultiviewError, match=r"the view 'odd' reads 'heat', whose kind .* add --kind with one of image"
    ):
        view_of(modality="heat")


class Odd(Encoder):
    """A linear map of pixels; `fault` says what is wrong with it."""

    fault = ""

    def __init__(self, channels: int, width: float) -> None:
        planes = 8 if self.fault == "width" else max(1, round(8 * width))
        super().__init__(channels, planes, ("map", "pool"))
        self.map = nn.Conv2d(channels, planes, 8, 8)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if self.fault == "idle":
            self.idle = nn.Linear(2, 2)
        if self.fault == "features":
            self.features = planes + 1
        if self.fault == "eval":
            self.eval()
        if self.fault == "seed":
            nn.init.ones_(self.map.weight)
            nn.init.zeros_(self.map.bias)

    def encode(self, x: Tensor, layer: str) -> Tensor:
        x = super().encode(x, layer)
        if self.fault == "batch":
            return x - x.mean(0)
        return x + torch.ones(1) if self.fault == "device" else x + torch.rand(()) if self.fault == "noise" else x


@pytest.mark.parametrize(
    ("fault", "law", "mend"),
    [
        ("", "", ""),
        ("width", "any width", "with half the width it has 1,544 weights instead of 1,544; scale its planes"),
        ("idle", "trainable", "idle.weight, idle.bias get no gradient; remove them"),
        ("features", "shape", "it gives (4, 8) and declares (4, 9); correct features"),
        ("eval", "declared", "return it in training mode"),
        ("seed", "from its seed", "its weights do not depend on the seed"),
        ("batch", "independent rows", "normalise by running statistics"),
        ("device", "device neutral", "make new tensors on the device of its input"),
        ("noise", "deterministic", "two calls in evaluation mode differ"),
    ],
)
def test_an_encoder_that_breaks_a_law_is_found_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, fault: str, law: str, mend: str
) -> None:
    def made(channels: int, *, width: float = 1.0) -> Encoder:
        if width <= 0:
            raise MultiviewError(f"the width is {width}; give a number above 0.")
        return Odd(channels, width)

    monkeypatch.setattr(Odd, "fault", fault)
    monkeypatch.setattr(plugins, "load", lambda group, name: made)
    found = troubles(judged(encoders.LAWS, encoders.trial("odd")))
    assert mend in found[law] if fault else found == {}


@dataclass(frozen=True, kw_only=True)
class Careless(SimCLR):
    """SimCLR with a fault.

    Args:
        fault: the fault.
    """

    fault: str = ""

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        za, zb = edge.a.z, edge.b.z
        assert za is not None
        assert zb is not None
        if self.fault == "changes":
            za.data.mul_(0.9)
        if self.fault == "random":
            return EdgeOutput(super().loss(edge).loss * (1 + torch.rand(())))
        if self.fault == "backwards":
            return EdgeOutput(-super().loss(edge).loss)
        if self.fault == "absent":
            return EdgeOutput(-(za * zb).sum(1).mean())
        if self.fault == "half":
            return EdgeOutput((za - zb).square().sum(1)[edge.present].sum() / edge.present.sum().clamp(min=1))
        return super().loss(edge)


@pytest.mark.parametrize(
    ("fault", "law", "mend"),
    [
        ("changes", "pure", "loss() changes what it reads; return the new state instead"),
        ("random", "pure", "draw from edge.generator or edge.draws"),
        ("backwards", "agreement is better", "losses at no, half and full agreement are"),
        ("absent", "absent rows", "use edge.mean and edge.columns, or edge.present"),
        (
            "half",
            "float32",
            "of torch.bfloat16 embeddings the loss is torch.bfloat16; read edge.embeddings(), or begin with .float()",
        ),
    ],
)
def test_an_objective_that_breaks_a_law_is_found_with_a_remedy(fault: str, law: str, mend: str) -> None:
    assert mend in troubles(judged(objectives.LAWS, Careless(fault=fault, temperature=0.2, dim=8)))[law]


def test_an_objective_with_undocumented_options_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Silent(SimCLR):
        """Says nothing."""

        more: int = 0

    found = troubles(judged(objectives.LAWS, Silent()))
    assert "leave out" in found["options"]
    assert "more" in found["options"]


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Tables of two numbers.

    Args:
        fault: what is wrong.
    """

    fault: str = ""

    needs_input: ClassVar[bool] = True

    def plan(self, root: Path | None) -> Plan:
        if root is None or not any(root.iterdir()):
            raise MultiviewError(f"{root} is empty.")
        ids = ["a", "a" if self.fault == "ids" else "b"]
        rows = [Row(name, label="x", split="train") for name in ids]
        table = Modality(name="numbers", kind="table", dtype="float32", shape=(2,), unit="")
        fault = self.fault
        return Plan(rows, (table,), (lambda i: values(fault, i)) if fault == "lambda" else Reads(fault))


@dataclass(frozen=True)
class Reads:
    fault: str

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        return values(self.fault, number)


def values(fault: str, number: int) -> dict[str, np.ndarray]:
    array = np.array([number, np.nan if fault == "nan" else 1.0], "float64" if fault == "dtype" else "float32")
    if fault == "random":
        array[1] = np.random.default_rng().random()
    return {"other" if fault == "name" else "numbers": array[:1] if fault == "shape" else array}


@pytest.mark.parametrize(
    ("fault", "law", "mend"),
    [
        ("", "wrong input", "a folder that does not exist raises FileNotFoundError; raise a MultiviewError"),
        ("ids", "same plan", "two rows have the id 'a'; make ids unique"),
        ("lambda", "picklable", "make read a frozen dataclass with __call__, no lambda"),
        ("nan", "finite", "row 0, numbers: NaN or infinite; raise BadSample"),
        ("dtype", "shape and dtype", "row 0, numbers: its dtype is float64, declared is float32"),
        ("shape", "shape and dtype", "row 0, numbers: its shape is (1,), declared is (2,)"),
        ("random", "deterministic", "row 0 read twice differs"),
        ("name", "modalities", "samples hold other, which the plan does not declare"),
    ],
)
def test_a_source_that_breaks_a_law_is_found_with_a_remedy(tmp_path: Path, fault: str, law: str, mend: str) -> None:
    (tmp_path / "something").touch()
    assert mend in troubles(judged(sources.LAWS, sources.Trial(Faulty(fault=fault), tmp_path)))[law]


def test_the_command_prints_a_table_and_returns_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["check", "view", "depth"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "view depth"
    assert "  holds   shape             (6, 1, 32, 32) -> (6, 1, 32, 32)" in text.splitlines()
    assert text.splitlines()[-1] == "10 of 10 laws hold."
    monkeypatch.setattr(objectives, "load", lambda group, name: Careless)
    assert run(["check", "objective", "careless", "--options", "{fault: backwards, dim: 8}"]) == 1
    assert "  BROKEN  agreement is better  losses at no, half and full" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("check veiw L", "'veiw' is not a subject of `multiview check`; .* Did you mean 'view'?"),
        ("check view labb", "'labb' is not a view"),
        ("check encoder timm", "write timm:MODEL"),
        ("check source folder", "multiview check source folder INPUT"),
        ("check source folder nowhere", "nowhere"),
        ("check encoder convnet --chanels 3", "Did you mean 'channels'?"),
    ],
)
def test_a_mistake_is_one_message(words: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message.replace("?", r"\?")):
        run(words.split())


@pytest.mark.parametrize("laws", [views.LAWS, encoders.LAWS, objectives.LAWS, sources.LAWS])
def test_every_law_has_a_name_and_a_docstring(laws: tuple[Law, ...]) -> None:
    names = [title(law) for law in laws]
    assert len(set(names)) == len(names)
    assert all(law.__doc__ for law in laws)
