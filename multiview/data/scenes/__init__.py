"""The embedded dataset: small ray-cast scenes with image, depth, normals, mask and sound, drawn from (seed, index).

The files here make arrays; `sources/scenes.py` offers them to `multiview preprocess`.
"""

# Old import path: this package was one module.
from multiview.data.scenes.content import (
    BLOCK as BLOCK,
)
from multiview.data.scenes.content import (
    COLOURS as COLOURS,
)
from multiview.data.scenes.content import (
    COMPANY as COMPANY,
)
from multiview.data.scenes.content import (
    DRAWS as DRAWS,
)
from multiview.data.scenes.content import (
    KINDS as KINDS,
)
from multiview.data.scenes.content import (
    PLAIN_SHARE as PLAIN_SHARE,
)
from multiview.data.scenes.content import (
    SPLITS as SPLITS,
)
from multiview.data.scenes.content import (
    TEXTURES as TEXTURES,
)
from multiview.data.scenes.content import (
    Body as Body,
)
from multiview.data.scenes.content import (
    Camera as Camera,
)
from multiview.data.scenes.content import (
    Colour as Colour,
)
from multiview.data.scenes.content import (
    Draws as Draws,
)
from multiview.data.scenes.content import (
    Light as Light,
)
from multiview.data.scenes.content import (
    Paint as Paint,
)
from multiview.data.scenes.content import (
    Scene as Scene,
)
from multiview.data.scenes.content import (
    Sound as Sound,
)
from multiview.data.scenes.content import (
    arrangement as arrangement,
)
from multiview.data.scenes.content import (
    draw_scenes as draw_scenes,
)
