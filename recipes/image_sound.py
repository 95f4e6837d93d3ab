"""Image against sound: the image of an event is contrasted with the sound of the same event.

accelerate launch -m multiview.recipes.image_sound --data scenes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import multiview as mv
from multiview.graphs.auto_views import SOUND_FRAMES
from multiview.graphs.windows import sound_shape

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

SOUND = "soundconv"
"""The usual encoder of sound."""


@dataclass(frozen=True, kw_only=True)
class ImageSound(mv.Recipe):
    """Image against sound: an RGB image and the log-mel spectrogram of its sound.

    Args:
        encoder: of the picture: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        sound_encoder: of the spectrogram; soundconv keeps segments of time, envelope, duration and
            the spectrogram itself (null = `encoder`).
        width: factor on the encoders' channels.
        size: side of the image crops in pixels.
        seconds: length of the window that is cut from the sound (auto = by the lengths of the
            stored sounds; null = the whole sound; all sounds must then be equally long).
        rate: sampling rate of the stored sound in Hz (null = that of the store).
        bands: number of mel bands of the spectrogram.
        objective: how image and sound are contrasted.
    """

    encoder: str = "convnet"
    sound_encoder: str | None = SOUND
    width: float = 1.0
    size: int = 32
    seconds: float | Literal["auto"] | None = "auto"
    rate: int | None = None
    bands: int = 40
    objective: mv.Objective = mv.SimCLR(temperature=0.2, negatives="cross")
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    older: ClassVar[Mapping[str, object]] = {"sound_encoder": None}

    def for_data(self, store: "Store") -> tuple[mv.Recipe, Sequence[str]]:
        """The recipe with the rate and the windows of the stored sound."""
        if self.rate is not None and self.seconds != "auto":
            return self, ()
        if (shape := sound_shape(store)) is None:
            return self, ()
        seconds = shape.seconds if self.seconds == "auto" else self.seconds
        found = shape._replace(rate=self.rate or shape.rate, seconds=seconds)
        return replace(self, rate=found.rate, seconds=found.seconds), (found.words,)

    def build(self) -> mv.Setup:
        """Both views use one crop: the sound of a clip is cut around the frame of the image."""
        seconds = None if self.seconds == "auto" else self.seconds
        crop = mv.Crop(size=self.size, scale=(0.6, 1.0), seconds=seconds)
        image = mv.GraphView(view="rgb", encoder=self.encoder, encoder_options={"width": self.width})
        own = {"width": self.width / 2, "frames": SOUND_FRAMES} if self.sound_encoder == SOUND else {}
        sound = mv.GraphView(
            view="logmel",
            options={"bands": self.bands} | ({"rate": self.rate} if self.rate else {}),
            encoder=self.sound_encoder or self.encoder,
            encoder_options={"width": self.width} | own,
        )
        return mv.Graph(views={"image": image, "sound": sound}, crop=crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(ImageSound)
