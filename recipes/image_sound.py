"""Image against sound: the image of an event is contrasted with the sound of the same event.

accelerate launch -m multiview.recipes.image_sound --data scenes
"""

from dataclasses import dataclass, replace

import multiview as mv


@dataclass(frozen=True, kw_only=True)
class ImageSound(mv.Recipe):
    """Image against sound: an RGB image and the log-mel spectrogram of its sound.

    Args:
        encoder: of each view: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoders' channels.
        size: side of the image crops in pixels.
        seconds: length of the window that is cut from the sound (null = the whole sound; all sounds
            must then be equally long).
        rate: sampling rate of the stored sound in Hz.
        bands: number of mel bands of the spectrogram.
        objective: how image and sound are contrasted.
    """

    encoder: str = "convnet"
    width: float = 1.0
    size: int = 32
    seconds: float | None = None
    rate: int = 8000
    bands: int = 40
    objective: mv.Objective = mv.SimCLR(temperature=0.2, negatives="cross")
    train: mv.Train = mv.Train(epochs="auto", batch=128, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def build(self) -> mv.Setup:
        """Both views use one crop: the sound of a clip is cut around the frame of the image."""
        crop = mv.Crop(size=self.size, scale=(0.6, 1.0), seconds=self.seconds)
        image = mv.GraphView(view="rgb", encoder=self.encoder, encoder_options={"width": self.width})
        sound = replace(image, view="logmel", options={"rate": self.rate, "bands": self.bands})
        return mv.Graph(views={"image": image, "sound": sound}, crop=crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(ImageSound)
