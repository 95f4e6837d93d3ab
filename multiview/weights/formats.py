"""The published formats of weights, as a table: how a file is recognised, and what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from multiview.weights.reading import Stored

Scale = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""
Scales = Mapping[str, Scale]
"""The scale of each view whose numbers the weights were trained on, by the name of its channels."""

IMAGENET: Scales = {"rgb": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
UNIT: Scales = {"rgb": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))}
CLIP: Scales = {"rgb": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))}
CIFAR10: Scales = {"rgb": ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))}
CIFAR100: Scales = {"rgb": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))}
LAB: Scales = {"L": ((50.0,), (50.0,)), "ab": ((6.025, -6.690), (92.208, 101.168))}
YDBDR: Scales = {"ydbdr_y": ((0.457,), (0.5,)), "ydbdr_dbdr": ((-0.082, -0.052), (1.331, 1.333))}

M = r"(?:module\.|_orig_mod\.)*"
"""What DistributedDataParallel and `torch.compile` write before names."""
C = rf"(?:(?:state_dict|model_state_dict|model|network|net)\.)?{M}"
"""Where training scripts put a network."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One published format.

    Args:
        name: for the code.
        title: of the code that writes such files.
        signs: regular expressions, each of which matches the beginning of some name.
        without: regular expressions that match the beginning of no name.
        towers: networks that become encoders: name -> beginning of their names; the first is taken
            unless another is named, or has as many input channels as the view.
        parts: beginning of other names -> what these are.
        scales: the normalisation that the weights were trained with.
        scales_of: chooses the normalisation by what else the file says.
        holds: a further test of the file.
        heads: width of a transformer -> its attention heads, where timm's model has others.
        stem_padding: padding of a 3 x 3 stem, when it is not 1.
        note: a sentence for the user.
    """

    name: str
    title: str
    signs: tuple[str, ...]
    without: tuple[str, ...] = ()
    towers: Mapping[str, str]
    parts: Mapping[str, str] = field(default_factory=dict)
    scales: Scales = field(default_factory=lambda: IMAGENET)
    scales_of: Callable[[Stored], Scales] | None = None
    holds: Callable[[Stored], bool] | None = None
    heads: Mapping[int, int] = field(default_factory=dict)
    stem_padding: int | None = None
    note: str = ""

    def fits(self, stored: Stored) -> bool:
        """Whether the file is of this format."""
        names = stored.tensors
        return (
            all(any(re.match(sign, name) for name in names) for sign in self.signs)
            and not any(re.match(sign, name) for sign in self.without for name in names)
            and (self.holds is None or self.holds(stored))
        )

    def scales_in(self, stored: Stored) -> Scales:
        """The normalisation that belongs to the weights of a file."""
        return self.scales_of(stored) if self.scales_of else self.scales

    def towers_in(self, stored: Stored) -> dict[str, dict[str, str]]:
        """Tower -> name within the tower -> name in the file, for towers that the file holds."""
        found: dict[str, dict[str, str]] = {}
        for tower, begin in self.towers.items():
            names = {name[match.end() :]: name for name in stored.tensors if (match := re.match(begin, name))}
            if names:
                found[tower] = names
        return found

    def part_of(self, name: str) -> str:
        """What a name outside of the tower belongs to."""
        return next((part for begin, part in self.parts.items() if re.match(begin, name)), "another network")


def _from_tensorflow(stored: Stored) -> bool:
    """Whether batch norms have learned but never counted a batch: PyTorch did not train them."""
    if set(stored.entries) != {"state_dict"}:
        return False
    counts = [x for name, x in stored.tensors.items() if name.endswith("num_batches_tracked")]
    spreads = [x for name, x in stored.tensors.items() if name.endswith("running_var")]
    return bool(counts) and not any(bool(x.any()) for x in counts) and any(bool((x != 1).any()) for x in spreads)


def _of_cmc(stored: Stored) -> Scales:
    """CMC's option `view` chooses the colour space; with YCbCr it has other statistics."""
    return {} if str(stored.facts.get("opt.view", "Lab")) != "Lab" else LAB


def _of_solo(stored: Stored) -> Scales:
    """solo-learn normalises by data set."""
    data = " ".join(str(value) for key, value in stored.facts.items() if key.endswith(("dataset", "data.dataset")))
    return {"cifar10": CIFAR10, "cifar100": CIFAR100}.get(data.strip(), CIFAR10 if _small_stem(stored) else IMAGENET)


def _small_stem(stored: Stored) -> bool:
    return any(name.endswith("conv1.weight") and x.shape[1:] == (3, 3, 3) for name, x in stored.tensors.items())


def _of_lightly_train(stored: Stored) -> Scales:
    """lightly-train writes its normalisation into the checkpoint."""
    at = "lightly_train.normalize_args"
    mean, std = (stored.facts.get(f"{at}.{name}") for name in ("mean", "std"))
    return {"rgb": (tuple(mean), tuple(std))} if mean and std else IMAGENET


def _beside(stored: Stored) -> Scales:
    """What a configuration beside the file says, as transformers and timm write it."""
    mean, std = stored.facts.get("beside.mean"), stored.facts.get("beside.std")
    return {"rgb": (tuple(mean), tuple(std))} if mean and std else {}


def _of_transformers(stored: Stored) -> Scales:
    """That of the configuration beside the file, and ImageNet's for DINOv2."""
    dinov2 = any("layer_scale1" in name for name in stored.tensors)
    return _beside(stored) or (IMAGENET if dinov2 else {})


_EMBEDDING = r"embedding_model(?:_wrapper)?\.(?:(?:model_wrapper|wrapped_model)\.)?_(?:model|features)\."
_LIGHTNING = r"state_dict\."

FORMATS = (
    Format(
        name="cmc",
        title="CMC (github.com/HobbitLong/CMC)",
        signs=(rf"{C}(?:encoder\.)?{M}l_to_ab\.", rf"{C}(?:encoder\.)?{M}ab_to_l\."),
        towers={"L": rf"{C}(?:encoder\.)?{M}l_to_ab\.", "ab": rf"{C}(?:encoder\.)?{M}ab_to_l\."},
        parts={r".*l_to_ab": "stream L", r".*ab_to_l": "stream ab", "contrast": "memory banks"},
        scales_of=_of_cmc,
    ),
    Format(
        name="pycontrast_cmc",
        title="PyContrast with two colour streams (github.com/HobbitLong/PyContrast)",
        signs=(rf"{C}encoder1\.", rf"{C}encoder2\."),
        towers={"Y": rf"{C}encoder1\.", "DbDr": rf"{C}encoder2\.", "Y_ema": r"model_ema\.(?:module\.)?encoder1\."},
        parts={
            rf"{C}head": "projector",
            rf"{C}encoder1": "stream Y",
            rf"{C}encoder2": "stream DbDr",
            "contrast": "memory banks or queues",
            "model_ema": "momentum encoder",
        },
        scales=YDBDR,
    ),
    Format(
        name="moco_v3",
        title="MoCo v3 (github.com/facebookresearch/moco-v3)",
        signs=(rf"{C}base_encoder\.",),
        towers={"base": rf"{C}base_encoder\.", "momentum": rf"{C}momentum_encoder\."},
        parts={rf"{C}momentum_encoder": "momentum encoder", rf"{C}predictor": "predictor", rf"{C}base": "base encoder"},
        heads={384: 12},
        note="MoCo v3's ViT-S has 12 attention heads of 32 numbers, timm's vit_small has 6.",
    ),
    Format(
        name="moco",
        title="MoCo v1 or v2 (github.com/facebookresearch/moco)",
        signs=(rf"{C}encoder_q\.",),
        towers={"query": rf"{C}encoder_q\.", "key": rf"{C}encoder_k\."},
        parts={rf"{C}encoder_k": "key encoder", rf"{C}queue": "queue", rf"{C}encoder_q": "query encoder"},
    ),
    Format(
        name="pycontrast",
        title="PyContrast (github.com/HobbitLong/PyContrast)",
        signs=(rf"{C}encoder\.", rf"{C}head(?:_jig)?\."),
        towers={"encoder": rf"{C}encoder\.", "ema": rf"model_ema\.{M}encoder\."},
        parts={rf"{C}head": "projector", "contrast": "memory bank or queue", "model_ema": "momentum encoder"},
    ),
    Format(
        name="simsiam",
        title="SimSiam (github.com/facebookresearch/simsiam)",
        signs=(rf"{C}encoder\.conv1\.", rf"{C}predictor\.0\."),
        without=(rf"{C}projector\.", rf"{C}momentum_encoder\."),
        towers={"encoder": rf"{C}encoder\."},
        parts={rf"{C}predictor": "predictor"},
    ),
    Format(
        name="lightly_train",
        title="lightly-train (github.com/lightly-ai/lightly-train)",
        signs=(rf"state_dict\.(?:\w+?_)?{_EMBEDDING}",),
        towers={
            "model": rf"state_dict\.{_EMBEDDING}",
            "teacher": rf"state_dict\.teacher_{_EMBEDDING}",
            "student": rf"state_dict\.student_{_EMBEDDING}",
        },
        parts={
            "lightly_train": "second copy of the network",
            r".*_head": "head",
            r"state_dict\.student": "student",
            r"state_dict\.teacher": "teacher",
            _LIGHTNING: "head of the method",
        },
        scales_of=_of_lightly_train,
    ),
    Format(
        name="solo_learn",
        title="solo-learn (github.com/vturrisi/solo-learn)",
        signs=(rf"{_LIGHTNING}(?:backbone|encoder)\.", rf"{_LIGHTNING}classifier\.(?:weight|bias)"),
        towers={
            "backbone": rf"{_LIGHTNING}(?:backbone|encoder)\.",
            "momentum": rf"{_LIGHTNING}momentum_(?:backbone|encoder)\.",
        },
        parts={
            rf"{_LIGHTNING}momentum": "momentum network",
            rf"{_LIGHTNING}classifier": "online classifier",
            rf"{_LIGHTNING}projector": "projector",
            rf"{_LIGHTNING}predictor": "predictor",
            rf"{_LIGHTNING}queue": "queue",
            _LIGHTNING: "other part of the method",
        },
        scales_of=_of_solo,
        stem_padding=2,
        note="Its stem for small pictures has a padding of 2: resnet18 with stem=solo_learn.",
    ),
    Format(
        name="barlow_twins",
        title="Barlow Twins or VICReg (github.com/facebookresearch/barlowtwins, /vicreg)",
        signs=(rf"model\.{M}backbone\.", rf"model\.{M}projector\."),
        towers={"backbone": rf"model\.{M}backbone\."},
        parts={rf"model\.{M}projector": "projector", rf"model\.{M}bn": "batch norm of the loss"},
    ),
    Format(
        name="simclr_resnet",
        title="SimCLR (github.com/sthalles/SimCLR)",
        signs=(rf"{C}backbone\.conv1\.", rf"{C}backbone\.fc\.0\.weight"),
        without=(rf"{C}(?:projection_head|prediction_head|backbone_momentum|classifier)\.",),
        towers={"backbone": rf"{C}backbone\."},
        scales=UNIT,
    ),
    Format(
        name="dinov2_training",
        title="DINOv2, a checkpoint of its training (github.com/facebookresearch/dinov2)",
        signs=(r"(?:model\.)?teacher\.backbone\.", r"(?:model\.)?teacher\.(?:dino|ibot)_head\."),
        towers={"teacher": r"(?:model\.)?teacher\.backbone\.", "student": r"(?:model\.)?student\.backbone\."},
        parts={r".*dino_head": "DINO head", r".*ibot_head": "iBOT head", r".*student": "student"},
    ),
    Format(
        name="dino",
        title="DINO or iBOT (github.com/facebookresearch/dino, github.com/bytedance/ibot)",
        signs=(rf"(?:teacher|student)\.{M}(?:backbone\.)?(?:cls_token|pos_embed|patch_embed|conv1|layer1|blocks)",),
        towers={"teacher": rf"teacher\.{M}(?:backbone\.)?", "student": rf"student\.{M}(?:backbone\.)?"},
        parts={r"student": "student", r"teacher": "teacher", r"dino_loss|ibot_loss": "loss"},
    ),
    Format(
        name="lightly",
        title="lightly (github.com/lightly-ai/lightly)",
        signs=(rf"{_LIGHTNING}(?:student_)?backbone\.",),
        towers={
            "backbone": rf"{_LIGHTNING}backbone\.",
            "teacher": rf"{_LIGHTNING}teacher_backbone\.",
            "student": rf"{_LIGHTNING}student_backbone\.",
            "momentum": rf"{_LIGHTNING}backbone_momentum\.",
        },
        parts={
            rf"{_LIGHTNING}backbone_momentum": "momentum encoder",
            rf"{_LIGHTNING}(?:student|teacher)_(?!backbone)": "head",
            rf"{_LIGHTNING}\w*projection_head": "projector",
            rf"{_LIGHTNING}\w*prediction_head": "predictor",
            _LIGHTNING: "other part of the method",
        },
    ),
    Format(
        name="open_clip_timm",
        title="OpenCLIP with a timm tower (github.com/mlfoundations/open_clip)",
        signs=(rf"{C}visual\.trunk\.",),
        towers={"visual": rf"{C}visual\.trunk\."},
        parts={rf"{C}visual\.": "projection into the common space", C: "text tower"},
        scales=CLIP,
        note="OpenCLIP's SigLIP towers are normalised by mean .5 and std .5: give the view its own mean and std.",
    ),
    Format(
        name="open_clip",
        title="CLIP or OpenCLIP (github.com/mlfoundations/open_clip)",
        signs=(rf"{C}visual\.(?:conv1|transformer|layer1)\.",),
        towers={"visual": rf"{C}visual\."},
        parts={C: "text tower"},
        scales=CLIP,
        note="The file does not say its activation: OpenAI's weights need timm's vit_*_clip_quickgelu models.",
    ),
    Format(
        name="transformers_clip",
        title="CLIP of transformers (huggingface.co)",
        signs=(rf"{C}(?:vision_model\.)?embeddings\.class_embedding",),
        towers={"vision": rf"{C}(?:vision_model\.)?(?=embeddings\.|encoder\.|pre_layrnorm|post_layernorm)"},
        parts={".*visual_projection": "projection into the common space", "": "text tower"},
        scales_of=lambda stored: _beside(stored) or CLIP,
        note="OpenAI's weights need timm's vit_*_clip_quickgelu models.",
    ),
    Format(
        name="transformers_vit",
        title="ViT or Dinov2 of transformers (huggingface.co)",
        signs=(rf"{C}(?:vit\.|dinov2\w*\.)?embeddings\.patch_embeddings\.projection\.",),
        towers={"model": rf"{C}(?:vit\.|dinov2\w*\.)?(?=embeddings\.|encoder\.|layernorm\.|pooler\.)"},
        parts={"classifier": "classifier", "decoder": "decoder"},
        scales_of=_of_transformers,
        note="transformers computes its ViT with layer_norm_eps 1e-12, timm with 1e-6.",
    ),
    Format(
        name="simclr_v2_converted",
        title="SimCLR v2, converted from TensorFlow (github.com/Separius/SimCLRv2-Pytorch)",
        signs=(r"(?:resnet\.)?net\.0\.0\.weight", r"(?:resnet\.)?net\.1\.blocks\.0\."),
        towers={"resnet": r"(?:resnet\.)?(?=net\.|fc\.)"},
        parts={r"head": "projector"},
        scales=UNIT,
    ),
    Format(
        name="simclr",
        title="SimCLR (github.com/Spijkervet/SimCLR)",
        signs=(rf"{C}encoder\.conv1\.", rf"{C}projector\.0\."),
        towers={"encoder": rf"{C}encoder\."},
        parts={rf"{C}projector": "projector"},
        scales=UNIT,
    ),
    Format(
        name="swav",
        title="SwAV or DeepCluster v2 (github.com/facebookresearch/swav)",
        signs=(rf"{C}conv1\.", rf"{C}projection_head\."),
        towers={"model": rf"(?!{C}(?:projection_head|prototypes)){C}"},
        parts={rf"{C}projection_head": "projector", rf"{C}prototypes": "prototypes"},
    ),
    Format(
        name="mae",
        title="MAE (github.com/facebookresearch/mae)",
        signs=(rf"{C}patch_embed\.", rf"{C}decoder_embed\."),
        towers={"encoder": rf"(?!{C}(?:decoder_|mask_token)){C}"},
        parts={rf"{C}decoder": "decoder", rf"{C}mask_token": "mask token"},
    ),
    Format(
        name="dinov2",
        title="DINOv2 (github.com/facebookresearch/dinov2)",
        signs=(rf"{C}mask_token", rf"{C}blocks\.0\.(?:0\.)?ls1\.gamma"),
        towers={"model": C},
    ),
    Format(
        name="simclr_converted",
        title="SimCLR, converted from TensorFlow (github.com/tonylins/simclr-converter)",
        signs=(r"state_dict\.conv1\.weight", r"state_dict\.layer4\.", r"state_dict\.fc\."),
        towers={"resnet": r"state_dict\."},
        scales=UNIT,
        holds=_from_tensorflow,
    ),
)
"""The first format that fits a file is taken."""

PLAIN_TOWERS = {
    "ema": rf"(?:state_dict_ema|model_ema|ema)\.{M}",
    "model": rf"(?:state_dict|model_state_dict|model|network|net)\.{M}",
}


def plain(stored: Stored) -> Format:
    """The format of a network alone: of torchvision, timm, an encoder of ours, or any training."""
    towers = {
        name: begin for name, begin in PLAIN_TOWERS.items() if any(re.match(begin, each) for each in stored.tensors)
    }
    return Format(
        name="plain",
        title="a network alone",
        signs=(),
        towers=towers or {"model": M},
        parts={r"(?:state_dict|model)\.": "weights without averaging", "": "other tensors"},
        scales_of=_beside,
    )


def format_of(stored: Stored) -> Format:
    """The format of a file."""
    return next((each for each in FORMATS if each.fits(stored)), None) or plain(stored)


def facts_text(stored: Stored) -> Mapping[str, Any]:
    """The few facts of a file that a reader wants to see."""
    wanted = ("epoch", "arch", "name", "global_step", "model", "view", "dataset", "method", "patch_size")
    return {key: x for key, x in stored.facts.items() if key.rpartition(".")[2] in wanted and isinstance(x, (str, int))}
