"""Sound as a view: waveform or log-mel spectrogram, which image encoders read; SpecAugment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from multiview import require
from multiview.errors import MultiviewError
from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.stored_numbers import as_given, real

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from multiview.counter_rng import Draws

FLOOR = 1e-6
"""Power added before the logarithm: -60 dB of full-scale noise."""


def mono(sound: Tensor) -> Tensor:
    """The mean of the channels: (n, channels, samples), floats or 16 bit -> (n, 1, samples)."""
    return as_given(real(sound, "int16").mean(1, keepdim=True), sound)


@recorded
def waveform(crop: Crop, augment: Augmentation | None = None, *, std: float = 0.1) -> View:
    """The view `waveform`: the mean of the sound's channels (n, 1, samples); full scale is [-1, 1].

    std: of the normalisation; speech has about 0.1 of full scale.
    """
    return View(
        modality="audio",
        channels=Channels("waveform", 1, "full scale", -1.0, 1.0),
        crop=crop,
        convert=mono,
        axes=("channels", "samples"),
        mean=(0.0,),
        std=(std,),
        augment=augment,
    )


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrogram of sound at `rate` Hz; `window` and `hop` are in samples."""

    rate: int
    bands: int
    window: int
    hop: int

    @property
    def fft(self) -> int:
        """Samples of the Fourier transform: the smallest power of two that holds a window."""
        return 1 << (self.window - 1).bit_length()

    def __call__(self, sound: Tensor) -> Tensor:
        """(n, channels, samples) -> (n, 1, bands, 1 + samples // hop), ln of power.

        Sound: floats in [-1, 1] or 16 bit. Channels are averaged. Full-scale noise has a power of
        about 1 in each bin.
        """
        from torch import get_default_dtype
        from torchaudio.functional import spectrogram

        window, filters = _constants(self, sound.device.type, get_default_dtype())
        wave = mono(real(sound, "int16"))[:, 0]
        if not wave.shape[0]:  # the Fourier transform refuses an empty batch; `len` would fix it in a graph
            return sound.new_zeros((0, 1, self.bands, 1 + wave.shape[1] // self.hop), dtype=wave.dtype)
        power = spectrogram(
            wave if wave.shape[1] else wave.new_zeros((wave.shape[0], 1)),
            pad=0,
            window=window.to(wave),
            n_fft=self.fft,
            hop_length=self.hop,
            win_length=self.window,
            power=2.0,
            normalized="window",
            pad_mode="constant",
        )
        mel = filters.to(wave).T @ power
        return as_given(mel.add(FLOOR).log().unsqueeze(1), sound)


@lru_cache(maxsize=16)
def _constants(mel: LogMel, device: str, dtype: dtype) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Hann window and mel filters on a kind of device, in PyTorch's default type: `dtype`."""
    import torch
    from torchaudio.functional import melscale_fbanks

    filters = melscale_fbanks(mel.fft // 2 + 1, 0.0, mel.rate / 2, mel.bands, mel.rate, norm=None, mel_scale="htk")
    return torch.hann_window(mel.window).to(device), filters.to(device)


def _logmel_of(rate: int, bands: int, window: float, hop: float) -> LogMel:
    """The conversion for a window and hop in seconds. Raises MultiviewError when they are short."""
    convert = LogMel(rate, bands, round(window * rate), round(hop * rate))
    if convert.window < 2 or convert.hop < 1:
        raise MultiviewError(f"logmel: window {window} s and hop {hop} s are too short at {rate} Hz; give longer ones.")
    if 2 * bands > convert.fft:
        raise MultiviewError(
            f"logmel: {bands} bands are too many for windows of {convert.window} samples; "
            f"give at most {convert.fft // 2} bands, or a longer window than {window} s."
        )
    return convert


@recorded
def logmel(
    crop: Crop,
    augment: Augmentation | None = None,
    *,
    rate: int = 8000,
    bands: int = 40,
    window: float = 0.032,
    hop: float = 0.01,
    mean: float = -8.0,
    std: float = 4.0,
    mask: Augmentation | None = None,
) -> View:
    """The view `logmel`: a log-mel spectrogram (n, 1, bands, frames), ln of power.

    Args:
        augment: augmentation of the waveform.
        rate: of the stored sound, Hz; a store with another rate is refused.
        bands: number of mel bands.
        window: length of a window, seconds.
        hop: time from window to window, seconds.
        mean, std: of the normalisation; the defaults are those of spoken letters at 8 kHz.
        mask: augmentation of the spectrogram, such as `SpecAugment`.
    Raises MultiviewError when the window is too short for so many bands.
    """
    convert = _logmel_of(rate, bands, window, hop)
    return View(
        modality="audio",
        channels=Channels("logmel", 1, "ln power", math.log(FLOOR), math.log(convert.fft)),
        crop=crop,
        axes=("channels", "bands", "frames"),
        convert=convert,
        mean=(mean,),
        std=(std,),
        augment=augment,
        mask=mask,
        rate=float(rate),
    )


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """Stripes of a spectrogram replaced by its mean, at places and of widths drawn per sample.

    Widths are uniform from 0 to the largest. Source: Park et al., arXiv:1904.08779, without the
    time warp, which its authors found to matter least.

    Args:
        band_masks: stripes along time.
        bands: largest width of these, in bands.
        time_masks: stripes along the bands.
        frames: largest width of these, in frames.
    """

    band_masks: int = 2
    bands: int = 8
    time_masks: int = 2
    frames: int = 20

    def __post_init__(self) -> None:
        require.options(
            self, ("band_masks", "bands", "time_masks", "frames"), lambda count: count >= 0, "0 or more", "SpecAugment"
        )

    def __call__(self, x: Tensor, draws: Draws) -> Tensor:
        """The masked spectrogram, of the shape of `x` (n, channels, bands, frames)."""
        rows = stripes(draws.of("bands"), self.band_masks, self.bands, x.shape[-2]).to(x.device)
        columns = stripes(draws.of("frames"), self.time_masks, self.frames, x.shape[-1]).to(x.device)
        hidden = rows[:, None, :, None] | columns[:, None, None, :]
        return x.where(~hidden, x.mean((1, 2, 3), keepdim=True))


def stripes(draws: Draws, count: int, widest: int, size: int) -> Tensor:
    """Hidden places of each sample: bool (n, size), `count` stripes of up to `widest` places."""
    import torch

    widths = (draws.uniform("width", count) * (min(widest, size) + 1)).floor()
    starts = (draws.uniform("start", count) * (size - widths + 1)).floor()
    place = torch.arange(size)
    return ((place >= starts[..., None]) & (place < (starts + widths)[..., None])).any(1)
