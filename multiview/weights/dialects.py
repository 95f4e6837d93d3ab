"""How families of networks name their parameters, as tables from their names to those of encoders.

The encoders use the names of torchvision's ResNets and of timm's vision transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from multiview.errors import MultiviewError

T = TypeVar("T")


@dataclass(frozen=True)
class Dialect:
    """One way to name the parameters of a network.

    Args:
        title: what is named like that.
        signs: regular expressions; each matches the beginning of a name in every such network.
        names: (regular expression, replacement), which are applied in this order.
    """

    title: str
    signs: tuple[str, ...]
    names: tuple[tuple[str, str], ...]

    def fits(self, names: Iterable[str]) -> bool:
        """Whether the names are written in this dialect."""
        every = list(names)
        return all(any(re.match(sign, name) for name in every) for sign in self.signs)

    def renamed(self, name: str) -> str:
        """The name that encoders use."""
        for pattern, replacement in self.names:
            name = re.sub(pattern, replacement, name)
        return name


_TRANSFORMER = (
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.(?:self_attention|attn)\.in_proj_(weight|bias)$", r".attn.qkv.\1"),
    (r"\.(?:self_attention|attn)\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(?:c_fc|0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(?:c_proj|3|linear_2)\.", ".mlp.fc2."),
)

DIALECTS = (
    Dialect(
        "CMC's AlexNet",
        (r"conv_block_1\.0\.weight", r"fc6\.0\.weight"),
        ((r"^conv_block_(\d)\.", r"conv\1."), (r"^fc6\.1\.", "fc6.3."), (r"^fc6\.0\.", "fc6.2.")),
    ),
    Dialect(
        "a torchvision ResNet as a list of its children",
        (r"0\.weight$", r"1\.running_mean$", r"4\.0\.conv1\.weight", r"7\.0\.conv1\.weight"),
        (
            (r"^0\.", "conv1."),
            (r"^1\.", "bn1."),
            (r"^4\.", "layer1."),
            (r"^5\.", "layer2."),
            (r"^6\.", "layer3."),
            (r"^7\.", "layer4."),
        ),
    ),
    Dialect(
        "lightly's small ResNet as a list of its children",
        (r"0\.weight$", r"1\.running_mean$", r"2\.0\.conv1\.weight", r"5\.0\.conv1\.weight"),
        (
            (r"^0\.", "conv1."),
            (r"^1\.", "bn1."),
            (r"^5\.", "layer4."),
            (r"^4\.", "layer3."),
            (r"^3\.", "layer2."),
            (r"^2\.", "layer1."),
            (r"\.shortcut\.", ".downsample."),
        ),
    ),
    Dialect(
        "SimCLR v2's ResNet",
        (r"net\.0\.0\.weight", r"net\.1\.blocks\.0\.net\.0\.weight"),
        (
            (r"^net\.0\.0\.", "conv1."),
            (r"^net\.0\.1\.0\.", "bn1."),
            (r"^net\.([1-4])\.blocks\.", r"layer\1."),
            (r"\.net\.0\.", ".conv1."),
            (r"\.net\.1\.0\.", ".bn1."),
            (r"\.net\.2\.", ".conv2."),
            (r"\.net\.3\.0\.", ".bn2."),
            (r"\.net\.4\.", ".conv3."),
            (r"\.net\.5\.0\.", ".bn3."),
            (r"\.projection\.shortcut\.", ".downsample.0."),
            (r"\.projection\.bn\.0\.", ".downsample.1."),
        ),
    ),
    Dialect(
        "CLIP's vision transformer",
        (r"transformer\.resblocks\.0\.", r"class_embedding"),
        (
            (r"^conv1\.", "patch_embed.proj."),
            (r"^class_embedding$", "cls_token"),
            (r"^positional_embedding$", "pos_embed"),
            (r"^transformer\.resblocks\.", "blocks."),
            (r"^ln_pre\.", "norm_pre."),
            (r"^ln_post\.", "norm."),
            (r"\.ls_([12])\.", r".ls\1."),
            *_TRANSFORMER,
        ),
    ),
    Dialect(
        "torchvision's vision transformer",
        (r"conv_proj\.weight", r"encoder\.layers\.encoder_layer_0\."),
        (
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^class_token$", "cls_token"),
            (r"^encoder\.pos_embedding$", "pos_embed"),
            (r"^encoder\.layers\.encoder_layer_", "blocks."),
            (r"^encoder\.ln\.", "norm."),
            *_TRANSFORMER,
        ),
    ),
    Dialect(
        "transformers' ViT or Dinov2",
        (r"embeddings\.patch_embeddings\.projection\.weight", r"encoder\.layer\.0\.attention\.attention\.query\."),
        (
            (r"^embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
            (r"^embeddings\.position_embeddings$", "pos_embed"),
            (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
            (r"^encoder\.layer\.", "blocks."),
            (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
            (r"\.attention\.output\.dense\.", ".attn.proj."),
            (r"\.intermediate\.dense\.", ".mlp.fc1."),
            (r"\.output\.dense\.", ".mlp.fc2."),
            (r"\.layernorm_before\.", ".norm1."),
            (r"\.layernorm_after\.", ".norm2."),
            (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
            (r"^layernorm\.", "norm."),
        ),
    ),
    Dialect(
        "transformers' vision tower of CLIP",
        (r"embeddings\.class_embedding", r"encoder\.layers\.0\.self_attn\.q_proj\."),
        (
            (r"^embeddings\.class_embedding$", "cls_token"),
            (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
            (r"^embeddings\.position_ids$", "position_ids"),
            (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"^encoder\.layers\.", "blocks."),
            (r"\.self_attn\.q_proj\.", ".attn.query."),
            (r"\.self_attn\.k_proj\.", ".attn.key."),
            (r"\.self_attn\.v_proj\.", ".attn.value."),
            (r"\.self_attn\.out_proj\.", ".attn.proj."),
            (r"\.layer_norm([12])\.", r".norm\1."),
            (r"^pre_layrnorm\.", "norm_pre."),
            (r"^post_layernorm\.", "norm."),
        ),
    ),
    Dialect(
        "DINOv2's vision transformer in chunks of blocks",
        (r"blocks\.\d+\.\d+\.norm1\.weight",),
        ((r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),),
    ),
)


def in_our_names(tower: Mapping[str, T]) -> tuple[dict[str, tuple[str, T]], str]:
    """The name of an encoder -> (its name in the tower, value), and the title of the dialect.

    Raises MultiviewError when two parameters would get one name.
    """
    dialect = next((each for each in DIALECTS if each.fits(tower)), None)
    found: dict[str, tuple[str, T]] = {}
    for name, value in tower.items():
        ours = dialect.renamed(name) if dialect else name
        if ours in found:
            raise MultiviewError(
                f"'{found[ours][0]}' and '{name}' would both be '{ours}'; the file is not as published."
            )
        found[ours] = name, value
    return found, dialect.title if dialect else ""
