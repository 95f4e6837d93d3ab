"""Views of sound, video, series, tables and points, on inputs with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.data.modality import Modality
from multiview.data.store.statistics import Statistics
from multiview.errors import MultiviewError
from multiview.view import Crop, View, make_view
from multiview.viewlayer import ViewLayer
from multiview.views.motion import flow_between
from multiview.views.sound import FLOOR, LogMel, SpecAugment, stripes

MEL = LogMel(rate=8000, bands=40, window=256, hop=80)


def seen(view: View, draws: Draws | None = None, **modalities: Tensor) -> Tensor:
    n = len(next(iter(modalities.values())))
    return ViewLayer({"it": view})(Batch({"crop": modalities}, torch.arange(n), {}), draws)["it"]


def noise(n: int = 2, channels: int = 1, samples: int = 4000) -> Tensor:
    return torch.rand(n, channels, samples, generator=torch.Generator().manual_seed(0)) * 2 - 1


def tone(hertz: float) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(4000) / 8000).view(1, 1, -1)


def test_logmel_equals_torchaudio() -> None:
    mel = torchaudio.transforms.MelSpectrogram(
        8000, n_fft=256, win_length=256, hop_length=80, n_mels=40, normalized="window", pad_mode="constant"
    )
    torch.testing.assert_close(MEL(noise()), (mel(noise()) + FLOOR).log())


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3000.0])
def test_a_tone_is_in_its_mel_band(hertz: float) -> None:
    loudest = MEL(tone(hertz))[0, 0, :, 25].argmax().item()
    mel = 2595 * math.log10(1 + hertz / 700)
    top = 2595 * math.log10(1 + 4000 / 700)
    assert abs(loudest + 1 - 41 * mel / top) <= 1


def test_a_frame_is_the_fourier_transform_of_its_window() -> None:
    x = noise(1)
    middle = x[0, 0, 20 * 80 - 128 : 20 * 80 + 128].double()
    window = torch.tensor([math.sin(math.pi * k / 256) ** 2 for k in range(256)], dtype=torch.float64)
    power = torch.fft.rfft(middle * window).abs() ** 2 / window.square().sum()
    filters = torchaudio.functional.melscale_fbanks(129, 0.0, 4000.0, 40, 8000).double()
    torch.testing.assert_close(MEL(x)[0, 0, :, 20].double(), (power @ filters + FLOOR).log(), rtol=1e-4, atol=1e-4)


def test_channels_of_sound_are_averaged_and_silence_gives_the_floor() -> None:
    two = noise(2, 2)
    torch.testing.assert_close(MEL(two), MEL(two.mean(1, keepdim=True)))
    assert torch.allclose(MEL(torch.zeros(1, 1, 100)), torch.tensor(FLOOR).log())
    pcm = torch.tensor([[[16384, -16384], [0, 16384]]], dtype=torch.int16)
    torch.testing.assert_close(seen(make_view("waveform", Crop(), std=0.5), audio=pcm), torch.tensor([[[0.5, 0.0]]]))


def test_a_short_sound_has_a_spectrogram() -> None:
    assert seen(make_view("logmel", Crop()), audio=torch.zeros(1, 1, 7, dtype=torch.int16)).shape == (1, 1, 40, 1)


def test_specaugment_hides_other_stripes_in_each_sample() -> None:
    x = torch.rand(6, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    augment, draws = SpecAugment(band_masks=1, bands=10, time_masks=1, frames=12), Draws(3, 5, np.arange(6))
    out = augment(x, draws)
    hidden = out != x
    assert hidden.any()
    for row in range(6):
        rows, columns = hidden[row, 0].all(1).sum(), hidden[row, 0].all(0).sum()
        assert rows <= 10
        assert columns <= 12
        assert (out[row][hidden[row]] == x[row].mean()).all() or torch.allclose(out[row][hidden[row]], x[row].mean())
        assert hidden[row].sum() == rows * 50 + columns * 40 - rows * columns
    alone = augment(x[4:5], Draws(3, 5, np.array([4])))
    torch.testing.assert_close(alone, out[4:5])
    assert len({tuple(each.flatten().tolist()) for each in hidden}) > 1


def test_stripes_have_the_drawn_widths_and_places() -> None:
    hidden = stripes(Draws(0, 0, np.arange(400)), 1, 5, 20)
    widths = hidden.sum(1)
    assert set(widths.tolist()) == set(range(6))
    assert hidden.any(0).all(), "every place is hidden for someone"
    assert (hidden.int().diff(dim=1).abs().sum(1) <= 2).all(), "one stripe"
    assert not stripes(Draws(0, 0, np.arange(4)), 0, 5, 20).any()
    assert (stripes(Draws(0, 0, np.arange(50)), 1, 99, 3).sum(1) <= 3).all()


def test_specaugment_acts_on_the_spectrogram_when_there_are_draws() -> None:
    plain, masked = make_view("logmel", Crop()), make_view("logmel", Crop(), mask=SpecAugment())
    audio = (noise(4) * 20000).to(torch.int16)
    draws = Draws(0, 1, np.arange(4))
    torch.testing.assert_close(seen(masked, audio=audio), seen(plain, audio=audio))
    changed = seen(masked, draws, audio=audio) != seen(plain, draws, audio=audio)
    assert 0 < changed.float().mean() < 0.8


def test_sound_of_another_rate_is_refused() -> None:
    view = make_view("logmel", Crop(), modality="english")
    assert view.modality == "english"
    stored = Modality(name="english", kind="audio", dtype="int16", shape=(9,), unit="", rate=16000.0)
    with pytest.raises(MultiviewError, match=r"made for 8000 samples.*'english' of this store has 16000; .*rate=16000"):
        view.with_statistics({}, {"english": stored})
    assert view.with_statistics({}, {"english": replace(stored, rate=8000.0)}) == view


def blob(right: float, down: float) -> Tensor:
    place = torch.arange(32.0)
    across, along = (place - 15 - right) / 5, (place[:, None] - 15 - down) / 5
    return torch.exp(-across.square() - along.square())[None, None]


@pytest.mark.parametrize("motion", [(1.0, 0.0), (0.0, -1.0), (0.5, 0.5)])
def test_flow_of_a_moving_blob_is_its_motion(motion: tuple[float, float]) -> None:
    u, v = flow_between(blob(0, 0), blob(*motion), iterations=100, smooth=0.02)
    inside = blob(*(x / 2 for x in motion)) > 0.5
    assert float(u[inside].mean()) == pytest.approx(motion[0], abs=0.15)
    assert float(v[inside].mean()) == pytest.approx(motion[1], abs=0.15)


def clip(*frames: Tensor) -> Tensor:
    return (torch.stack([each[0].expand(3, -1, -1) for each in frames], 1)[None] * 255).round().to(torch.uint8)


def test_speed_and_difference_of_a_clip() -> None:
    video = clip(blob(0, 0), blob(1, 0), blob(1, 0))
    speed = seen(make_view("flow", Crop(), iterations=100, smooth=0.02, std=1.0), video=video)[0, 0]
    assert float(speed[0, 15, 15]) == pytest.approx(1.0, abs=0.2)
    assert speed[1].max() < 1e-4
    change = seen(make_view("frame_difference", Crop()), video=video)[0, 0] * 0.1
    grey = video[0, 0] / 255
    torch.testing.assert_close(change, grey.diff(dim=0), rtol=0, atol=1e-5)


def test_the_frame_at_the_given_place_is_taken() -> None:
    video = torch.randint(0, 256, (2, 3, 5, 8, 8), dtype=torch.uint8)
    for at, number in ((0.0, 0), (0.5, 2), (1.0, 4)):
        view = replace(make_view("frame", Crop(), at=at), mean=(0.0,), std=(1.0,))
        torch.testing.assert_close(seen(view, video=video), video[:, :, number] / 255)


def test_a_single_frame_has_no_motion() -> None:
    with pytest.raises(MultiviewError, match="a clip of one frame has no motion; give the crop more seconds"):
        seen(make_view("flow", Crop()), video=torch.zeros(1, 3, 1, 8, 8, dtype=torch.uint8))


def test_chosen_columns_are_normalised_by_their_own_statistics() -> None:
    numbers = Statistics(5, (1.0, 2.0, 3.0), (1.0, 4.0, 0.0), (0.0,) * 3, (9.0,) * 3)
    x = torch.tensor([[1.0, 6.0, 5.0]])
    view = make_view("table", Crop(), modality="fou", columns=(2, 1)).with_statistics({"fou": numbers})
    assert seen(view, fou=x).tolist() == [[2.0, 1.0]]
    every = make_view("table", Crop(), modality="fou", columns=3).with_statistics({"fou": numbers})
    assert seen(every, fou=x).tolist() == [[0.0, 1.0, 2.0]]


def test_the_error_for_a_missing_column_lists_the_stored_ones() -> None:
    numbers = Statistics(5, (1.0,) * 3, (1.0,) * 3, (0.0,) * 3, (9.0,) * 3)
    stored = Modality(name="table", kind="table", dtype="float32", shape=(3,), unit="", names=("age", "mass", "size"))
    for columns, words in ((4, "reads 4 channels"), ((0, 3), r"reads the channels \(0, 3\)")):
        with pytest.raises(MultiviewError, match=rf"{words} of 'table', which has 3, counted from 0: age, mass, size;"):
            make_view("table", Crop(), columns=columns).with_statistics({"table": numbers}, {"table": stored})
    whole = replace(make_view("table", Crop(), columns=2), mean=(0.0,), std=(1.0,))
    with pytest.raises(MultiviewError, match="declares 2 channels, but 'table' gives it 3; declare as many"):
        seen(whole, table=torch.zeros(1, 3))


def test_a_cloud_is_centred_and_fills_the_unit_ball() -> None:
    cloud = torch.tensor([[[1.0, 3.0], [0.0, 0.0], [5.0, 5.0]]])
    assert seen(make_view("points", Crop()), points=cloud).tolist() == [[[-1, 1], [0, 0], [0, 0]]]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("logmel", {"bands": 200}, "200 bands are too many for windows of 256 samples; give at most 128 bands"),
        ("logmel", {"hop": 0.0}, "too short at 8000 Hz"),
        ("frame", {"at": 1.5}, "at is 1.5; give a place from 0"),
        ("flow", {"iterations": 0}, "iterations is 0 and smooth 0.05; give 1 or more"),
    ],
)
def test_mistakes_say_what_to_do(name: str, options: dict, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make_view(name, Crop(), **options)


def test_specaugment_refuses_negative_numbers() -> None:
    with pytest.raises(MultiviewError, match="frames is -1; give 0 or more"):
        SpecAugment(frames=-1)
