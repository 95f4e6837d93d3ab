"""One file of weights for each published format, with the network that it was saved from.

`python tests/weight_cases.py` prints the table of docs/weights.md; further words choose its lines.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from reference_networks import ClipVit, CmcAlexNet, Net, SimClrV2, Vit, mlp, shaken
from safetensors.torch import load_file
from torch import Tensor, nn

from multiview.encoder import Encoder, make_encoder
from multiview.weights import Report, load_into, read_file

NARROW = {"width": 0.125}


@dataclass(frozen=True)
class Case:
    """A file as published code saves it.

    content: what torch.save wrote. original: the network whose features the encoder must have.
    encoder, channels, options: the encoder that takes the weights. size: side of the pictures.
    network: which network of the file is asked for. adapted: number of adapted parameters.
    """

    format: str
    content: Any
    original: nn.Module
    encoder: str
    channels: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int = 64
    network: str | None = None
    adapted: int = 0


def under(begin: str, module: nn.Module) -> dict[str, Tensor]:
    """The state of a module, with all names behind `begin`."""
    return {f"{begin}{name}": x for name, x in module.state_dict().items()}


def net(seed: int = 0, **options: Any) -> Net:
    return shaken(Net(**options), seed)  # type: ignore[return-value]


def cmc_resnet() -> Case:
    light, colour = net(1, channels=1, stem=16), net(2, channels=2, stem=16)
    state = under("encoder.module.l_to_ab.", light) | under("encoder.module.ab_to_l.", colour)
    banks = {"memory_l": torch.zeros(5, 4), "memory_ab": torch.zeros(5, 4), "params": torch.zeros(5)}
    opt = argparse.Namespace(model="resnet18v1", view="Lab", nce_k=16384)
    content = {"opt": opt, "model": state, "contrast": banks, "optimizer": {"state": {}}, "epoch": 240}
    return Case("cmc", content, colour, "resnet18", 2, {**NARROW, "stem_planes": 16})


def cmc_alexnet() -> Case:
    planes = (6, 16, 24, 24, 16)
    light, colour = (shaken(CmcAlexNet(c, planes, 256), c) for c in (1, 2))
    state = under("encoder.module.l_to_ab.", light) | under("encoder.module.ab_to_l.", colour)
    opt = argparse.Namespace(model="alexnet", view="Lab")
    return Case("cmc", {"opt": opt, "model": state, "epoch": 1}, light, "alexnet", 1, NARROW, size=224)


def pycontrast() -> Case:
    q, k, head = net(1), net(2), shaken(mlp(64, 64, 16))
    state = under("module.encoder.", q) | under("module.head.", head)
    ema = under("encoder.", k) | under("head.", head)
    content = {"model": state, "contrast": {"memory": torch.zeros(9, 16)}, "model_ema": ema, "epoch": 200}
    return Case("pycontrast", content, q, "resnet18", 3, NARROW)


def pycontrast_cmc() -> Case:
    y, dbdr = net(1, channels=1, planes=4, stem=4), net(2, channels=2, planes=4, stem=4)
    state = under("module.encoder1.", y) | under("module.encoder2.", dbdr) | under("module.head1.", mlp(32, 8))
    content = {"model": state, "contrast": {"memory_1": torch.zeros(9, 8)}, "epoch": 240}
    return Case("pycontrast_cmc", content, y, "resnet18", 1, {"width": 0.0625})


def moco_v1() -> Case:
    q, k = net(1), net(2)
    state = under("module.encoder_q.", q) | under("module.encoder_k.", k)
    state |= {"module.queue": torch.zeros(16, 32), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    content = {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {0: torch.zeros(3)}}}
    return Case("moco", content, q, "resnet18", 3, NARROW)


def moco_v2() -> Case:
    q, k = net(1, head=mlp(64, 64, 16)), net(2, head=mlp(64, 64, 16))
    state = under("module.encoder_q.", q) | under("module.encoder_k.", k) | {"module.queue": torch.zeros(16, 32)}
    return Case(
        "moco", {"epoch": 800, "arch": "resnet18", "state_dict": state}, k, "resnet18", 3, NARROW, network="key"
    )


VIT = {"img_size": 32, "embed_dim": 64, "depth": 2, "num_heads": 2}


def moco_v3() -> Case:
    base, momentum, head = shaken(Vit(), 1), shaken(Vit(), 2), mlp(64, 32, 16)
    state = under("module.base_encoder.", base) | under("module.momentum_encoder.", momentum)
    state |= under("module.base_encoder.head.", head) | under("module.predictor.", head)
    content = {"epoch": 300, "arch": "vit_base", "state_dict": state}
    return Case("moco_v3", content, base, "timm:vit_base_patch16_224", 3, VIT, 32)


def simsiam() -> Case:
    q = net(1, head=mlp(64, 64, 64))
    state = under("module.encoder.", q) | under("module.predictor.", mlp(64, 16, 64))
    return Case("simsiam", {"epoch": 100, "arch": "resnet18", "state_dict": state}, q, "resnet18", 3, NARROW)


def simclr_sthalles() -> Case:
    q = net(1, head=mlp(64, 64, 16))
    content = {"epoch": 200, "arch": "resnet18", "state_dict": under("backbone.", q), "optimizer": {}}
    return Case("simclr_resnet", content, q, "resnet18", 3, NARROW)


def simclr_spijkervet() -> Case:
    q = net(1)
    state = {name: x for name, x in under("encoder.", q).items() if ".fc." not in name}
    return Case("simclr", OrderedDict(state | under("projector.", mlp(64, 64, 16))), q, "resnet18", 3, NARROW)


def simclr_converted() -> Case:
    q = net(1)
    for name, x in q.state_dict().items():
        if name.endswith("num_batches_tracked"):
            x.zero_()
    return Case("simclr_converted", {"state_dict": q.state_dict()}, q, "resnet18", 3, NARROW)


def simclr_v2_converted() -> Case:
    q = shaken(SimClrV2(), 1)
    content = {"resnet": q.state_dict(), "head": under("layers.", mlp(256, 16))}
    return Case("simclr_v2_converted", content, q, "resnet50", 3, NARROW)


def solo_learn() -> Case:
    q, k = net(1), net(2)
    plain = [
        {n: x for n, x in under(begin, m).items() if ".fc." not in n}
        for begin, m in (("backbone.", q), ("momentum_backbone.", k))
    ]
    state = plain[0] | plain[1] | under("classifier.", nn.Linear(64, 10)) | under("projector.", mlp(64, 16))
    content = {"epoch": 99, "pytorch-lightning_version": "1.6", "state_dict": state, "optimizer_states": [{}]}
    return Case("solo_learn", content, q, "resnet18", 3, NARROW)


def solo_learn_cifar() -> Case:
    q = net(1, kernel=3, padding=2)
    state = {n: x for n, x in under("encoder.", q).items() if ".fc." not in n} | under("classifier.", nn.Linear(64, 10))
    return Case("solo_learn", {"state_dict": state}, q, "resnet18", 3, {**NARROW, "stem": "solo_learn"}, 32)


def lightly() -> Case:
    q = net(1)
    children = nn.Sequential(
        q.conv1,
        q.bn1,
        nn.ReLU(),
        q.pool,
        *(getattr(q, f"layer{stage}") for stage in range(1, 5)),
        nn.AdaptiveAvgPool2d(1),
    )
    state = under("backbone.", children) | under("projection_head.layers.", mlp(64, 64, 16))
    state |= under("backbone_momentum.", children) | under("projection_head_momentum.layers.", mlp(64, 64, 16))
    content = {"epoch": 10, "global_step": 100, "pytorch-lightning_version": "2.1", "state_dict": state}
    return Case("lightly", content, q, "resnet18", 3, NARROW)


def lightly_small() -> Case:
    q = net(1, kernel=3)
    children = nn.Sequential(q.conv1, q.bn1, *(getattr(q, f"layer{stage}") for stage in range(1, 5)))
    names = {name: name.replace(".downsample.", ".shortcut.") for name in under("backbone.", children)}
    state = {names[name]: x for name, x in under("backbone.", children).items()}
    content = {"state_dict": state | under("projection_head.layers.", mlp(64, 16))}
    return Case("lightly", content, q, "resnet18", 3, {**NARROW, "stem": "cifar"}, 32)


def lightly_train_exported() -> Case:
    network = torchvision.models.resnet18(weights=None)
    shaken(network)
    bare = torchvision.models.resnet18(weights=None).eval()
    bare.load_state_dict(network.state_dict())
    bare.fc = nn.Identity()
    return Case("plain", network.state_dict(), bare, "resnet18")


def lightly_train_checkpoint() -> Case:
    teacher, student = net(1), net(2)
    begin = "{}embedding_model.model_wrapper._features."
    state = {n: x for n, x in under(begin.format("teacher_"), teacher).items() if ".fc." not in n}
    state |= {n: x for n, x in under(begin.format("student_"), student).items() if ".fc." not in n}
    state |= under("teacher_projection_head.", mlp(64, 16))
    about = {"version": "0.13.0", "models": {"model": teacher.layer4}, "license_info": None}
    about["normalize_args"] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
    return Case("lightly_train", {"state_dict": state, "lightly_train": about}, teacher, "resnet18", 3, NARROW)


def dino() -> Case:
    teacher, student = shaken(Vit(), 1), shaken(Vit(), 2)
    content = {
        "student": under("module.backbone.", student) | under("module.head.mlp.", mlp(64, 16)),
        "teacher": under("backbone.", teacher) | under("head.mlp.", mlp(64, 16)),
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16),
        "dino_loss": {"center": torch.zeros(1, 16)},
    }
    return Case("dino", content, teacher, "timm:vit_small_patch16_224", 3, VIT, 32)


DINOV2 = {**VIT, "img_size": 28}


def dinov2() -> Case:
    network = shaken(Vit(28, 14, scaled=True), 1)
    return Case("dinov2", network.state_dict(), network, "timm:vit_small_patch14_dinov2", 3, DINOV2, 28)


def dinov2_registers() -> Case:
    network = shaken(Vit(28, 14, scaled=True, registers=4), 1)
    model = "timm:vit_small_patch14_reg4_dinov2"
    return Case("dinov2", network.state_dict(), network, model, 3, DINOV2, 28, adapted=2)


def dinov2_training() -> Case:
    network = shaken(Vit(28, 14, scaled=True, chunks=1), 1)
    state = under("backbone.", network) | under("dino_head.mlp.", mlp(64, 16)) | under("ibot_head.mlp.", mlp(64, 16))
    return Case("dinov2_training", {"teacher": state}, network, "timm:vit_small_patch14_dinov2", 3, DINOV2, 28)


def timm_resnet() -> Case:
    network, bare = timm.create_model("resnet10t", num_classes=5), timm.create_model("resnet10t", num_classes=0)
    shaken(network)
    bare.load_state_dict({n: x for n, x in network.state_dict().items() if not n.startswith("fc.")})
    content = {"arch": "resnet10t", "epoch": 3, "state_dict": bare.state_dict(), "state_dict_ema": network.state_dict()}
    return Case("plain", content, bare.eval(), "timm:resnet10t")


def timm_vit() -> Case:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT).eval()
    return Case("plain", network.state_dict(), network, "timm:vit_tiny_patch16_224", 3, VIT, 32)


def torchvision_resnet() -> Case:
    made = lightly_train_exported()
    return Case("plain", made.content, made.original, "timm:resnet18")


def torchvision_vit() -> Case:
    network = torchvision.models.VisionTransformer(32, 16, 2, 2, 64, 256, num_classes=5)
    shaken(network)
    state = {name: x.clone() for name, x in network.state_dict().items()}
    network.heads = nn.Identity()  # type: ignore[assignment]
    return Case("plain", state, network.eval(), "timm:vit_base_patch16_224", 3, VIT, 32)


def open_clip() -> Case:
    network = shaken(ClipVit(), 1)
    text = {"token_embedding.weight": torch.zeros(9, 4), "text_projection": torch.zeros(4, 4)}
    state = under("visual.", network) | text | {"logit_scale": torch.tensor(1.0)}
    content = {"epoch": 32, "name": "run", "state_dict": {f"module.{n}": x for n, x in state.items()}}
    options = {**VIT, "img_size": 64}
    return Case("open_clip", content, network, "timm:vit_base_patch32_clip_224", 3, options, 64)


def open_clip_timm() -> Case:
    network = timm.create_model("vit_base_patch16_224", num_classes=0, **VIT).eval()
    state = under("visual.trunk.", network) | {"visual.head.proj.weight": torch.zeros(4, 64), "text.x": torch.zeros(2)}
    return Case("open_clip_timm", state, network, "timm:vit_base_patch16_224", 3, VIT, 32)


TRANSFORMERS = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}


class Transformers(nn.Module):
    """A model of transformers whose features are its normalised class token."""

    def __init__(self, kind: str, **options: Any) -> None:
        import transformers

        super().__init__()
        config = getattr(transformers, f"{kind}Config")(**TRANSFORMERS, **options)
        self.model = getattr(transformers, f"{kind}Model")(config)
        shaken(self)

    def forward(self, x: Tensor) -> Tensor:
        out = self.model(x)
        return out.pooler_output if hasattr(self.model, "post_layernorm") else out.last_hidden_state[:, 0]

    def content(self) -> dict[str, Tensor]:
        """What `save_pretrained` writes."""
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            return load_file(Path(folder) / "model.safetensors")


def transformers_vit() -> Case:
    network = Transformers("ViT", image_size=32, patch_size=16, layer_norm_eps=1e-6)
    state = {f"vit.{name}": x for name, x in network.content().items()} | under("classifier.", nn.Linear(64, 5))
    return Case("transformers_vit", state, network, "timm:vit_base_patch16_224", 3, VIT, 32)


def transformers_dinov2() -> Case:
    network = Transformers("Dinov2", image_size=28, patch_size=14)
    return Case("transformers_vit", network.content(), network, "timm:vit_small_patch14_dinov2", 3, DINOV2, 28)


def transformers_clip() -> Case:
    network = Transformers("CLIPVision", image_size=64, patch_size=32)
    state = {f"vision_model.{name}": x for name, x in network.content().items()}
    state |= {"visual_projection.weight": torch.zeros(4, 64), "text_model.x": torch.zeros(2)}
    model = "timm:vit_base_patch32_clip_quickgelu_224"
    return Case("transformers_clip", state, network, model, 3, {**VIT, "img_size": 64}, 64)


def barlow_twins() -> Case:
    q = net(1, head=nn.Identity())
    state = under("module.backbone.", q) | under("module.projector.", mlp(64, 16))
    return Case("barlow_twins", {"epoch": 1000, "model": state, "optimizer": {}}, q, "resnet18", 3, NARROW)


def swav() -> Case:
    q = net(1, head=nn.Identity())
    state = under("module.", q) | under("module.projection_head.", mlp(64, 16))
    state |= {"module.prototypes.weight": torch.zeros(30, 16)}
    return Case("swav", state, q, "resnet18", 3, NARROW)


def mae() -> Case:
    network = shaken(Vit(), 1)
    more = {"mask_token": torch.zeros(1, 1, 32), "decoder_embed.weight": torch.zeros(32, 64)}
    return Case("mae", {"model": network.state_dict() | more}, network, "timm:vit_base_patch16_224", 3, VIT, 32)


CASES: dict[str, Callable[[], Case]] = {
    "CMC, ResNet (stream ab)": cmc_resnet,
    "CMC, AlexNet (stream L)": cmc_alexnet,
    "PyContrast, RGB": pycontrast,
    "PyContrast, CMC (stream Y)": pycontrast_cmc,
    "MoCo v1": moco_v1,
    "MoCo v2 (key encoder)": moco_v2,
    "MoCo v3, ViT": moco_v3,
    "SimSiam": simsiam,
    "SimCLR (sthalles)": simclr_sthalles,
    "SimCLR (Spijkervet)": simclr_spijkervet,
    "SimCLR, converted from TensorFlow": simclr_converted,
    "SimCLR v2, converted from TensorFlow": simclr_v2_converted,
    "solo-learn": solo_learn,
    "solo-learn, small pictures": solo_learn_cifar,
    "lightly, children of a torchvision ResNet": lightly,
    "lightly, ResNet for small pictures": lightly_small,
    "lightly-train, exported model": lightly_train_exported,
    "lightly-train, checkpoint": lightly_train_checkpoint,
    "DINO": dino,
    "DINOv2": dinov2,
    "DINOv2 with registers": dinov2_registers,
    "DINOv2, checkpoint of its training": dinov2_training,
    "timm, ResNet with averaged weights": timm_resnet,
    "timm, ViT": timm_vit,
    "torchvision, ResNet": torchvision_resnet,
    "torchvision, ViT": torchvision_vit,
    "OpenCLIP, ViT": open_clip,
    "OpenCLIP, timm tower": open_clip_timm,
    "transformers, ViT": transformers_vit,
    "transformers, Dinov2": transformers_dinov2,
    "transformers, CLIP": transformers_clip,
    "Barlow Twins, VICReg": barlow_twins,
    "SwAV": swav,
    "MAE": mae,
}


def loaded(case: Case, folder: Path, ending: str = "pth") -> tuple[Encoder, Report]:
    """The encoder of a case after its file was saved and loaded."""
    path = folder / f"weights.{ending}"
    torch.save(case.content, path)
    encoder = make_encoder(case.encoder, case.channels, seed=5, **case.options)
    return encoder.eval(), load_into(encoder.weights_target(), read_file(path), tower=case.network)


@torch.no_grad()
def difference(case: Case, encoder: Encoder) -> float:
    """The largest difference between the features of the original and of the encoder."""
    x = torch.randn(2, case.channels, case.size, case.size, generator=torch.Generator().manual_seed(3))
    expected = case.original(x)
    assert expected.std() > 1e-3, "features that are all alike show nothing"
    return float((encoder(x) - expected).abs().max())


def rows(words: Sequence[str] = ()) -> Iterator[str]:
    """The table of docs/weights.md, one line a case; only titles with one of the words, if any."""
    for title, make in CASES.items():
        if words and not any(word in title for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = make()
            encoder, report = loaded(case, Path(folder))
        yield row(title, case, report, difference(case, encoder))


def row(title: str, case: Case, report: Report, worst: float) -> str:
    """One line of the table."""
    counts = f"{len(report.mapped)} | {len(report.dropped)} | {len(report.adapted)}"
    return f"| {title} | `{case.encoder}` | {counts} | {worst:.0e} |".replace("0e+00", "0")


if __name__ == "__main__":
    for line in rows(sys.argv[1:]):
        print(line, flush=True)
