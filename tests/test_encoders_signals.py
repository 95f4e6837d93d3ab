"""Encoders of sound, series, tables, points, text and video, and weights from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
import torchvision
from encoder_tables import inputs
from safetensors.torch import save_file
from torch import Tensor, nn

from multiview.encoder import make_encoder
from multiview.encoders import Frames, Speech, TransformersEncoder
from multiview.encoders.text import bytes_of
from multiview.errors import MultiviewError


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_points_in_another_order_are_the_same_cloud() -> None:
    encoder = make_encoder("pointnet", 3, width=0.25, seed=0).eval()
    cloud = noise(2, 3, 40)
    torch.testing.assert_close(encoder(cloud[:, :, torch.randperm(40)]), encoder(cloud))
    torch.testing.assert_close(encoder(torch.cat([cloud, cloud], 2)), encoder(cloud))


def test_an_mlp_is_maps_norms_and_relus() -> None:
    encoder = make_encoder("mlp", 3, width=0.1, depth=3, seed=0).eval()
    assert encoder.layers == ("hidden1", "hidden2", "hidden3")
    x = y = noise(4, 3)
    for layer in encoder.layers:
        linear = getattr(encoder, layer)[0]
        y = ((y @ linear.weight.T + linear.bias) / (1 + 1e-5) ** 0.5).clamp(min=0)
    torch.testing.assert_close(encoder(x), y)


def test_a_residual_block_in_time_adds_its_shortcut() -> None:
    encoder = make_encoder("resnet1d", 2, width=0.1, seed=0).eval()
    x = noise(2, 2, 15)
    y = encoder(x, "block2")
    torch.testing.assert_close(encoder(x, "block3"), (encoder.block3.body(y) + y).clamp(min=0))
    torch.testing.assert_close(encoder(x), encoder(x, "block3").mean(2))


# Text


def test_text_ignores_padding_and_depends_on_order() -> None:
    encoder = make_encoder("text", 1, width=0.25, seed=0).eval()
    short, long = bytes_of(["naïve", "ab"], 8), bytes_of(["naïve", "ab"], 30)
    assert short[0].tolist() == [110, 97, 195, 175, 118, 101, 0, 0]
    torch.testing.assert_close(encoder(short), encoder(long))
    assert not torch.allclose(encoder(bytes_of(["ab"], 8)), encoder(bytes_of(["ba"], 8)), atol=1e-4)
    assert (encoder(bytes_of(["", ""], 8)) == 0).all()


def test_text_beyond_the_longest_is_not_read() -> None:
    encoder = make_encoder("text", 1, width=0.25, longest=4, depth=1, seed=0).eval()
    assert encoder.layers == ("embedding", "block1", "pool")
    torch.testing.assert_close(encoder(bytes_of(["abcdxyz"], 9)), encoder(bytes_of(["abcd"], 4)))


def test_the_output_of_a_text_layer_equals_that_of_the_whole_pass() -> None:
    encoder = make_encoder("text", 1, width=0.25, seed=0).eval()
    tokens = inputs("text", 2, 1)
    there = (tokens != 0)[..., None]
    last = encoder.norm(encoder(tokens, "block3").transpose(1, 2))
    torch.testing.assert_close(encoder(tokens), (last * there).sum(1) / there.sum(1))


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT with random weights and a tokeniser of letters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    letters = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["[PAD]", "?", *"abcdef"])}, unk_token="?"))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="[PAD]", unk_token="?").save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=8, max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return folder


def test_a_language_model_of_a_folder_reads_bytes(language_model: Path) -> None:
    encoder = make_encoder(f"transformers:{language_model}", 1).eval()
    assert isinstance(encoder, TransformersEncoder)
    assert (encoder.features, encoder.layers) == (16, ("layer1", "layer2", "pool"))
    texts = bytes_of(["fade", "bé", ""], 9)
    h = encoder(texts)
    expected = encoder.network(torch.tensor([[7, 2, 5, 6]])).last_hidden_state.mean(1)
    torch.testing.assert_close(h[:1], expected)
    torch.testing.assert_close(encoder(texts[:1], "layer2").mean(2), expected)
    assert h.isfinite().all()
    same, drawn = (
        make_encoder(f"transformers:{language_model}", 1, pretrained=p, seed=1).eval() for p in (True, False)
    )
    assert torch.equal(same(texts), h)
    assert not torch.equal(drawn(texts), h)


# Sound


def test_a_spectrogram_goes_through_any_network_for_images() -> None:
    for name in ("convnet", "resnet18", "timm:resnet10t"):
        encoder = make_encoder(name, 1, seed=0).eval()
        assert encoder(noise(2, 1, 40, 101)).shape == (2, encoder.features)


def tiny_speech(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [(32, 10, 5), (32, 8, 4), (32, 4, 4)]
    sizes: dict[str, Any] = {"encoder_embed_dim": 24, "encoder_num_layers": 2, "encoder_num_heads": 2}
    return torchaudio.models.wav2vec2_model(
        extractor_mode="group_norm",
        extractor_conv_layer_config=layers,
        extractor_conv_bias=False,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=8,
        encoder_pos_conv_groups=2,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=32,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=False,
        encoder_layer_drop=0.0,
        aux_num_out=None,
        **sizes,
    )


def test_speech_is_the_mean_over_time_of_the_last_layer() -> None:
    network = tiny_speech().eval()
    encoder = Speech(network, 2).eval()
    assert (encoder.features, encoder.layers) == (24, ("layer1", "layer2", "pool"))
    x = noise(2, 2, 1600)
    maps, _ = network.extract_features(x.mean(1))
    torch.testing.assert_close(encoder(x), maps[1].mean(1))
    torch.testing.assert_close(encoder(x, "layer1"), maps[0].transpose(1, 2))
    with pytest.raises(MultiviewError, match=r"400 samples .* or more, not 399"):
        encoder(noise(1, 2, 399))


@pytest.fixture
def tiny_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network under the name of a large one."""
    monkeypatch.setattr(torchaudio.models, "wav2vec2_base", lambda encoder_layer_drop: tiny_speech(7))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_speech_takes_its_weights_from_a_file(suffix: str, tmp_path: Path, tiny_base: None) -> None:
    network, path = tiny_speech(1), tmp_path / f"w{suffix}"
    state = {**network.state_dict(), "aux.weight": torch.zeros(3)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    encoder = make_encoder("torchaudio:wav2vec2_base", 1, weights=str(path)).eval()
    x = noise(1, 1, 1600)
    assert torch.equal(encoder(x), Speech(network, 1).eval()(x))
    assert not torch.equal(make_encoder("torchaudio:wav2vec2_base", 1).eval()(x), encoder(x))


def test_torchaudio_has_every_model_of_the_list() -> None:
    from multiview.encoders.torchaudio import MODELS

    assert all(callable(getattr(torchaudio.models, name)) for name in MODELS)


# Video


def test_frames_are_encoded_one_by_one_and_averaged() -> None:
    encoder = make_encoder("frames:convnet", 3, width=0.25, seed=3).eval()
    of = make_encoder("convnet", 3, width=0.25, seed=3).eval()
    assert isinstance(encoder, Frames)
    clip = noise(2, 3, 4, 32, 32)
    torch.testing.assert_close(encoder(clip), torch.stack([of(clip[:, :, t]) for t in range(4)]).mean(0))
    deep = make_encoder("frames:timm:resnet10t", 1, img_size=32)
    assert deep(noise(2, 1, 2, 32, 32)).shape == (2, 512)


def test_r3d_equals_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = torchvision.models.video.r3d_18(weights=None).eval()
    torch.save(reference.state_dict(), tmp_path / "r3d.pth")
    encoder = make_encoder("r3d_18", 3, weights=str(tmp_path / "r3d.pth")).eval()
    reference.fc = nn.Identity()
    clip = noise(1, 3, 4, 24, 24)
    assert torch.equal(encoder(clip), reference(clip))
    assert encoder(clip, "layer2").shape == (1, 128, 2, 6, 6)
    assert make_encoder("r3d_18", 1).eval()(clip[:, :1]).shape == (1, 512)
    with pytest.raises(
        MultiviewError, match=r"0 names are missing; 0 are unknown; 1 have another shape: stem.0.w.*in_channels: rep"
    ):
        make_encoder("r3d_18", 2, weights=str(tmp_path / "r3d.pth"))


# Mistakes


def test_a_file_without_weights_is_refused(tmp_path: Path, tiny_base: None) -> None:
    for name, content in (("broken.pt", b"PK"), ("broken.safetensors", b"{}")):
        (tmp_path / name).write_bytes(content)
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save({"a": Path("x")}, tmp_path / "pickle.pt")
    for name, words in (
        ("none.pt", "there is no file"),
        ("broken.pt", "cannot be read as weights"),
        ("broken.safetensors", "cannot be read as weights"),
        ("pickle.pt", "cannot be read as weights"),
        ("list.pt", "holds more than a state_dict"),
        ("other.pt", "holds the weights of another network: "),
    ):
        with pytest.raises(MultiviewError, match=words):
            make_encoder("torchaudio:wav2vec2_base", 1, weights=str(tmp_path / name))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("frames", 3), {}, "write frames:MODEL"),
        (("frames:mlp", 3), {}, "MLP reads (channels), not images; name an image encoder, as in frames:convnet"),
        (("frames:convnot", 3), {}, "Did you mean 'convnet'?"),
        (("frames:convnet", 3), {"strid": 2}, "Did you mean 'stride'?"),
        (("mlp", 3), {"depth": 0}, "the depth of an mlp is 0"),
        (("text", 1), {"longest": 0}, "longest 0; give 1 or more of each"),
        (("r3d_18", 3), {"width": 0.5}, "leave width at 1, not 0.5"),
        (("torchaudio:wav2vec2_bas", 1), {}, "Did you mean 'wav2vec2_base'?"),
        (("torchaudio:wav2vec2_base", 1), {"width": 2}, "leave width at 1"),
        (("torchaudio:wav2vec2_base", 1), {"dropout": 0.1}, "torchaudio cannot make wav2vec2_base with the options"),
        (("transformers:/nowhere", 1), {}, "transformers cannot load /nowhere"),
        (("transformers:/nowhere", 1), {"width": 2}, "leave width at 1"),
    ],
)
def test_mistakes_say_what_to_do(arguments: tuple[str, int], options: dict[str, Any], words: str) -> None:
    with pytest.raises(MultiviewError) as error:
        make_encoder(*arguments, **options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("mlp", (2, 3, 4), r"shape \(n, 1\), not \(2, 3, 4\); use an encoder .*, such as seriesconv for series\."),
        ("convnet", (2, 12), r"not \(2, 12\); use an encoder that reads such views, such as mlp for tables\."),
        ("waveconv", (2, 100), r"shape \(n, 1, samples\), not \(2, 100\)"),
        ("text", (2, 1, 5), r"shape \(n, bytes\), not \(2, 1, 5\)"),
        ("frames:convnet", (2, 3, 5, 8, 8), r"shape \(n, 1, frames, height, width\)"),
    ],
)
def test_a_batch_of_another_shape(name: str, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make_encoder(name, 1)(torch.zeros(shape))


# Segments of time and statistics


def test_seriesconv_has_the_mean_the_segments_and_the_statistics() -> None:
    encoder = make_encoder("seriesconv", 2, width=0.25, segments=3, seed=0).eval()
    x = noise(4, 2, 24)
    h, maps = encoder(x), encoder(x, "stage3")
    assert h.shape == (4, encoder.features) == (4, 16 * (1 + 3) + 5 * 2)
    torch.testing.assert_close(h[:, :16], maps.mean(2))
    torch.testing.assert_close(h[:, 16 : 16 * 4].view(4, 16, 3), maps.view(4, 16, 3, 4).mean(3))
    torch.testing.assert_close(h[:, -10:-8], x.mean(2))
    torch.testing.assert_close(h[:, -6:-4], x.min(2).values)


def test_seriesconv_keeps_the_series_in_frames() -> None:
    encoder = make_encoder("seriesconv", 2, width=0.25, segments=3, frames=4, seed=0).eval()
    plain = make_encoder("seriesconv", 2, width=0.25, segments=3, seed=0).eval()
    x = noise(5, 2, 24)
    h = encoder(x)
    assert h.shape == (5, encoder.features) == (5, plain.features + 4 * 2)
    torch.testing.assert_close(h[:, :-8], plain(x), rtol=0, atol=0)
    torch.testing.assert_close(h[:, -8:].view(5, 2, 4), x.view(5, 2, 4, 6).mean(3))


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
@pytest.mark.parametrize(("segments", "statistics", "frames"), [(0, False, 0), (5, True, 0), (5, True, 16)])
def test_seriesconv_takes_any_length(length: int, segments: int, statistics: bool, frames: int) -> None:
    encoder = make_encoder("seriesconv", 3, width=0.1, segments=segments, statistics=statistics, frames=frames)
    assert encoder(noise(2, 3, length)).shape == (2, encoder.features)


def test_soundconv_tells_the_duration_and_the_order_of_time() -> None:
    encoder = make_encoder("soundconv", 1, width=0.1, seed=0).eval()
    silence = torch.full((2, 1, 40, 60), -1.5)
    silence[0, :, :, :30] = 1.0
    silence[1, :, :, :15] = 1.0
    h = encoder(silence)
    assert h.shape == (2, encoder.features) == (2, 26 * 5 + 25)
    torch.testing.assert_close(h[:, -1], torch.tensor([0.5, 0.25]))
    assert not torch.allclose(encoder(silence.flip(3)), h, atol=0.1)


@pytest.mark.parametrize("length", [1, 5, 16, 98])
def test_soundconv_keeps_the_spectrogram_itself(length: int) -> None:
    encoder = make_encoder("soundconv", 1, width=0.1, frames=4, seed=0).eval()
    plain = make_encoder("soundconv", 1, width=0.1, seed=0).eval()
    x = noise(3, 1, 32, length)
    h = encoder(x)
    assert h.shape == (3, encoder.features) == (3, plain.features + 16 * 4)
    torch.testing.assert_close(h[:, :-64], plain(x), rtol=0, atol=0)
    by_hand = torch.nn.functional.adaptive_avg_pool2d(x, (16, 4)).transpose(2, 3).flatten(1)
    torch.testing.assert_close(h[:, -64:], by_hand)


@pytest.mark.parametrize("name", ["seriesconv", "soundconv"])
def test_segments_below_0_are_refused(name: str) -> None:
    with pytest.raises(MultiviewError, match=f"the segments of a {name} are -1; give 0 or more"):
        make_encoder(name, 1, segments=-1)


@pytest.mark.parametrize("name", ["seriesconv", "soundconv"])
def test_frames_below_0_are_refused(name: str) -> None:
    with pytest.raises(MultiviewError, match=f"the frames of a {name} are -2; give 0 or more"):
        make_encoder(name, 1, frames=-2)
