"""The same letter in two languages: two recordings of one class are the two views of a sample.

multiview preprocess pairs letters_multi stores/letters --seconds 1
accelerate launch -m multiview.recipes.spoken_letters --data stores/letters
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import multiview as mv
from multiview.graphs.windows import sound_shape
from multiview.views.sound import SpecAugment

if TYPE_CHECKING:
    from multiview.data.store.reading import Store


@dataclass(frozen=True, kw_only=True)
class SpokenLetters(mv.Recipe):
    """Recording against recording: the log-mel spectrograms of two recordings of one word.

    Both views share one encoder and are augmented with SpecAugment. The source `pairs` makes the
    pairs of recordings.

    Args:
        encoder: convnet, resnet18, resnet50, resnet101, alexnet, or timm:NAME.
        width: factor on the encoder's channels.
        seconds: length of the window that is cut from each recording (null = the whole recording;
            all recordings must then be equally long).
        rate: sampling rate of the stored sound in Hz (null = that of the store).
        bands: number of mel bands of the spectrogram.
        objective: how the two recordings are contrasted.
    """

    encoder: str = "convnet"
    width: float = 0.5
    seconds: float | None = 0.8
    rate: int | None = None
    bands: int = 40
    objective: mv.Objective = mv.SimCLR(temperature=0.2)
    train: mv.Train = mv.Train(epochs=30, batch=64, optimizer=mv.Optimizer(name="adamw", lr=1e-3, warmup=1))

    def for_data(self, store: "Store") -> tuple[mv.Recipe, Sequence[str]]:
        """The recipe with the rate of the stored sound."""
        shape = sound_shape(store)
        return (replace(self, rate=shape.rate) if shape and self.rate is None else self), ()

    def build(self) -> mv.Setup:
        """Two recordings with independent windows and masks; both views share one encoder."""
        options = {"bands": self.bands, "mask": SpecAugment()} | ({"rate": self.rate} if self.rate else {})
        second = mv.GraphView(view="logmel", modality="second", options=options, crop="second", share="first")
        first = mv.GraphView(
            view="logmel",
            modality="first",
            options=options,
            crop="first",
            encoder=self.encoder,
            encoder_options={"width": self.width},
        )
        crop = mv.Crop(seconds=self.seconds)
        return mv.Graph(views={"first": first, "second": second}, crop=crop, objective=self.objective).setup()


if __name__ == "__main__":
    mv.main(SpokenLetters)
