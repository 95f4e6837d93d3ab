"""Ready photometric augmentations, with the values of the papers' own code."""

from __future__ import annotations

from multiview.photometric import Augment

CROP_ONLY: Augment | None = None
"""CMC (arXiv:1906.05849): no photometric change, only a random resized crop and a mirror image."""

SIMCLR = Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, jitter=0.8, grey=0.2, blur=0.5)
"""SimCLR (arXiv:2002.05709, appendix A) at colour strength 1."""

MOCO_V1 = Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grey=0.2, grey_first=True)
"""MoCo v1 (arXiv:1911.05722): grey, then a colour jitter with probability 1."""

MOCO_V2 = Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter=0.8, grey=0.2, blur=0.5)
"""MoCo v2 (arXiv:2003.04297): SimCLR's changes at half the strength, with blur."""

SIMSIAM = MOCO_V2
"""SimSiam (arXiv:2011.10566): the same as MoCo v2."""

SMALL = Augment(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.5, jitter=0.8, grey=0.3)
"""For pictures of 32 to 64 px whose colour does not matter: SimCLR's jitter with any hue.

No blur: the papers' sigma of up to 2 px would remove the shapes of so small a picture."""
