"""Ready photometric augmentations, with the values of the papers' own code."""

from __future__ import annotations

from multiview.photometric import NAMED, Augment

CROP_ONLY: Augment | None = None
"""CMC (arXiv:1906.05849): no photometric change, only a random resized crop and a mirror image."""

SIMCLR = NAMED["simclr"]
"""SimCLR (arXiv:2002.05709, appendix A) at colour strength 1."""

MOCO_V1 = NAMED["moco_v1"]
"""MoCo v1 (arXiv:1911.05722): grey, then a colour jitter with probability 1."""

MOCO_V2 = NAMED["moco_v2"]
"""MoCo v2 (arXiv:2003.04297): SimCLR's changes at half the strength, with blur."""

SIMSIAM = MOCO_V2
"""SimSiam (arXiv:2011.10566): the same as MoCo v2."""

MILD = NAMED["mild"]
"""Changes that leave colour and shape recognisable, for data of which nothing else is known."""

SMALL = NAMED["small"]
"""For pictures of 32 to 64 px whose colour does not matter: SimCLR's jitter with any hue.

No blur: the papers' sigma of up to 2 px would remove the shapes of so small a picture."""
