"""Picture and sound of the same event: what is seen against what is heard, as in CMC beyond colour (arXiv:1906.05849).

accelerate launch recipes/image_sound.py --data STORE_OR_FOLDER
"""

from dataclasses import dataclass

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class ImageSound(mv.Recipe):
    """Picture against sound: the colours of a picture and the log-mel spectrogram of its sound, an encoder each.

    Args:
        encoder: of both views: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels.
        size: side of the crops of the picture, pixels.
        seconds: length of the window that is cut from the sound (null = all of it, where all are equally long).
        rate: of the stored sound, Hz.
        bands: mel bands of the spectrogram.
        objective: how the two are contrasted.
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    seconds: float | None = None
    rate: int = 8000
    bands: int = 40
    objective: mv.Objective = mv.SimCLR(temperature=0.2, negatives="cross")
    train: mv.Train = mv.Train(epochs=44, batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """One crop for both, so that the sound is cut where a clip's picture is."""
        crop = mv.Crop(size=self.size, scale=(0.6, 1.0), seconds=self.seconds)
        views = {
            "image": mv.make_view("rgb", crop),
            "sound": mv.make_view("logmel", crop, rate=self.rate, bands=self.bands),
        }
        encoders = {
            name: mv.make_encoder(self.encoder, view.channels.count, width=self.width) for name, view in views.items()
        }
        return mv.Setup(views, encoders, mv.ContrastGraph.full(views, self.objective))


if __name__ == "__main__":
    mv.main(ImageSound)
