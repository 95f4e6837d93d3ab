"""Small networks with the parameter names and the arithmetic of published code.

They share no code with the encoders: blocks are torchvision's, or written from the papers.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module in evaluation mode, with random values in every parameter and statistic."""
    random = torch.Generator().manual_seed(seed)
    for name, x in module.state_dict().items():
        if not x.is_floating_point():
            x.fill_(7)
        elif name.endswith("running_var") or (name.endswith("weight") and x.ndim == 1):
            x.copy_(0.5 + torch.rand(x.shape, generator=random))
        else:
            x.copy_(torch.randn(x.shape, generator=random) * (0.1 if x.ndim < 2 else x[0].numel() ** -0.5))
    return module.eval()


class Net(nn.Module):
    """A narrow ResNet under torchvision's names; features are the mean of the last map."""

    def __init__(
        self,
        channels: int = 3,
        planes: int = 8,
        stem: int = 8,
        kernel: int = 7,
        padding: int | None = None,
        bottleneck: bool = False,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        stride = 2 if kernel == 7 else 1
        self.conv1 = nn.Conv2d(channels, stem, kernel, stride, kernel // 2 if padding is None else padding, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.pool = nn.MaxPool2d(3, 2, 1) if kernel == 7 else nn.Identity()
        before = stem
        for stage in range(4):
            after, step = planes * 2**stage * block.expansion, 1 if stage == 0 else 2
            blocks = []
            for number in range(2):
                down = None
                if number == 0 and (step != 1 or before != after):
                    down = nn.Sequential(nn.Conv2d(before, after, 1, step, bias=False), nn.BatchNorm2d(after))
                blocks.append(block(before, planes * 2**stage, step if number == 0 else 1, down))
                before = after
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = head or nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class CmcAlexNet(nn.Module):
    """One stream of CMC's AlexNet under its names, narrower."""

    def __init__(self, channels: int, planes: tuple[int, ...], units: int) -> None:
        super().__init__()
        shapes = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
        before = channels
        for number, (after, (kernel, stride, padding)) in enumerate(zip(planes, shapes, strict=True), 1):
            layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if number in (1, 2, 5) else []
            self.add_module(f"conv_block_{number}", nn.Sequential(*layers))
            before = after
        self.fc6 = nn.Sequential(nn.Linear(before * 36, units), nn.BatchNorm1d(units), nn.ReLU())
        self.fc7 = nn.Sequential(nn.Linear(units, units), nn.BatchNorm1d(units), nn.ReLU())
        self.fc8 = nn.Sequential(nn.Linear(units, 16))

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, 6):
            x = getattr(self, f"conv_block_{number}")(x)
        return self.fc7(self.fc6(x.flatten(1)))


class SimClrV2(nn.Module):
    """SimCLR v2's ResNet under the names of its conversion to PyTorch, with two blocks a stage."""

    class Block(nn.Module):
        def __init__(self, before: int, planes: int, stride: int, project: bool) -> None:
            super().__init__()
            self.projection = nn.Identity()
            if project:
                self.projection = nn.ModuleDict()
                self.projection["shortcut"] = nn.Conv2d(before, 4 * planes, 1, stride, bias=False)
                self.projection["bn"] = nn.Sequential(nn.BatchNorm2d(4 * planes), nn.Identity())
            self.net = nn.Sequential(
                nn.Conv2d(before, planes, 1, bias=False),
                nn.Sequential(nn.BatchNorm2d(planes), nn.ReLU()),
                nn.Conv2d(planes, planes, 3, stride, 1, bias=False),
                nn.Sequential(nn.BatchNorm2d(planes), nn.ReLU()),
                nn.Conv2d(planes, 4 * planes, 1, bias=False),
                nn.Sequential(nn.BatchNorm2d(4 * planes), nn.Identity()),
            )

        def forward(self, x: Tensor) -> Tensor:
            ways = self.projection
            short = ways["bn"](ways["shortcut"](x)) if isinstance(ways, nn.ModuleDict) else x
            return F.relu(short + self.net(x))

    def __init__(self, planes: int = 8, depths: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        stem = nn.Sequential(
            nn.Conv2d(3, planes, 7, 2, 3, bias=False),
            nn.Sequential(nn.BatchNorm2d(planes), nn.ReLU()),
            nn.MaxPool2d(3, 2, 1),
        )
        stages: list[nn.Module] = [stem]
        before = planes
        for stage, depth in enumerate(depths):
            width = planes * 2**stage
            blocks = nn.ModuleList()
            for number in range(depth):
                first = number == 0
                blocks.append(self.Block(before, width, 2 if first and stage else 1, first))
                before = 4 * width
            stages.append(nn.ModuleDict({"blocks": blocks}))
        self.net = nn.Sequential(*stages)
        self.fc = nn.Linear(before, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.net[0](x)
        for stage in list(self.net)[1:]:
            for block in stage["blocks"]:
                x = block(x)
        return x.mean((2, 3))


class Attention(nn.Module):
    """Multi-head attention with one matrix for queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weight = (q @ k.transpose(2, 3) * (dim // self.heads) ** -0.5).softmax(-1)
        return self.proj((weight @ v).transpose(1, 2).reshape(n, tokens, dim))


class Scale(nn.Module):
    """DINOv2's scale of a branch."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Branches(nn.Module):
    """A transformer block under the names of timm, DINO and DINOv2."""

    def __init__(self, dim: int, heads: int, scaled: bool) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})
        self.ls1, self.ls2 = (Scale(dim), Scale(dim)) if scaled else (nn.Identity(), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))


class Vit(nn.Module):
    """A vision transformer; features are the normalised class token.

    registers: DINOv2's tokens that have no position. chunks: blocks under two numbers, as DINOv2
    trains them.
    """

    def __init__(
        self,
        size: int = 32,
        patch: int = 16,
        dim: int = 64,
        heads: int = 2,
        depth: int = 2,
        scaled: bool = False,
        registers: int = 0,
        chunks: int = 0,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, dim))
        if scaled:
            self.mask_token = nn.Parameter(torch.zeros(1, dim))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, patch, patch)})
        blocks = [Branches(dim, heads, scaled) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        if chunks:
            parts = [
                nn.ModuleList([*[nn.Identity() for _ in range(start)], *blocks[start : start + chunks]])
                for start in range(0, depth, chunks)
            ]
            self.blocks = nn.ModuleList(parts)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.registers, self.ordered = registers, blocks

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1) + self.pos_embed
        if self.registers:
            x = torch.cat((x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]), 1)
        for block in self.ordered:
            x = block(x)
        return self.norm(x)[:, 0]


class ClipVit(nn.Module):
    """OpenCLIP's vision transformer under its names; features are those before `proj`."""

    class Block(nn.Module):
        def __init__(self, dim: int, heads: int) -> None:
            super().__init__()
            self.ln_1, self.attn = nn.LayerNorm(dim), nn.MultiheadAttention(dim, heads, batch_first=True)
            self.ln_2 = nn.LayerNorm(dim)
            self.mlp = nn.ModuleDict({"c_fc": nn.Linear(dim, 4 * dim), "c_proj": nn.Linear(4 * dim, dim)})

        def forward(self, x: Tensor) -> Tensor:
            y = self.ln_1(x)
            x = x + self.attn(y, y, y, need_weights=False)[0]
            return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))

    def __init__(self, size: int = 64, patch: int = 32, dim: int = 64, heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(dim))
        self.positional_embedding = nn.Parameter(torch.zeros((size // patch) ** 2 + 1, dim))
        self.conv1 = nn.Conv2d(3, dim, patch, patch, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(self.Block(dim, heads) for _ in range(depth))})
        self.proj = nn.Parameter(torch.zeros(dim, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.class_embedding.expand(len(x), 1, -1), x), 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer["resblocks"]:
            x = block(x)
        return self.ln_post(x[:, 0])
