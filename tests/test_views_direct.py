"""Conversions called directly: any memory layout, no samples, bytes and floats alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_views_laws import NAMES, sample_batch, view_of
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.viewlayer import scaled

CONVERTED = [name for name in NAMES if view_of(name).convert is not None]
PICTURES = [name for name in CONVERTED if view_of(name).modality == "image"]


def odd(x: Tensor) -> Tensor:
    """The same numbers at an odd place of a larger tensor."""
    return torch.cat((torch.zeros(1, dtype=x.dtype), x.flatten()))[1:].view(x.shape)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "every second pixel": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "every second row": lambda x: x.repeat_interleave(2, -2)[..., ::2, :],
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "channels last": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "part of a batch": lambda x: torch.cat((x, x))[::2][: len(x)] if len(x) % 2 else torch.stack((x, x), 1)[:, 0],
    "odd place": odd,
}


def stored(name: str, n: int = 4) -> Tensor:
    return sample_batch(n).crops["crop"][view_of(name).modality]


def convert(name: str, x: Tensor) -> Tensor:
    function = view_of(name).convert
    assert function is not None
    return function(x)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CONVERTED)
def test_the_memory_layout_changes_nothing(name: str, layout: str) -> None:
    x = stored(name)
    for given in dict.fromkeys((x, scaled(x))):
        laid = LAYOUTS[layout](given)
        assert laid.shape[1:] == given.shape[1:]
        expected = convert(name, scaled(laid).contiguous())
        torch.testing.assert_close(convert(name, laid), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CONVERTED)
def test_stored_whole_numbers_equal_floats(name: str) -> None:
    x = stored(name)
    torch.testing.assert_close(convert(name, x), convert(name, scaled(x)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint16, torch.bool])
@pytest.mark.parametrize("name", PICTURES)
def test_whole_numbers_of_unknown_range_are_refused(name: str, dtype: torch.dtype) -> None:
    with pytest.raises(MultiviewError, match=r"floats, or from whole numbers of the type uint8, not from torch\."):
        convert(name, torch.zeros(1, 3, 4, 4, dtype=dtype))


@pytest.mark.parametrize("name", CONVERTED)
def test_empty_tensors_pass(name: str) -> None:
    x = stored(name)
    for given in dict.fromkeys((x, scaled(x))):
        assert convert(name, given[:0]).shape == (0, *convert(name, given).shape[1:])
        convert(name, given[..., :0])
        convert(name, given[..., :0, :] if given.ndim > 3 else given[:0])


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_without_height_or_width_give_such_pictures(name: str) -> None:
    x = stored(name)
    count = convert(name, x).shape[1]
    assert convert(name, x[..., :0, :]).shape == (4, count, 0, 16)
    assert convert(name, scaled(x)[..., :0]).shape == (4, count, 16, 0)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", CONVERTED)
def test_a_conversion_works_under_vmap(name: str) -> None:
    x = stored(name)
    for given in dict.fromkeys((x, scaled(x))):
        mapped = torch.vmap(lambda one: convert(name, one[None])[0])(given)
        torch.testing.assert_close(mapped, convert(name, given), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CONVERTED)
def test_half_precision_comes_back_as_half_and_finite(name: str) -> None:
    x = scaled(stored(name))
    if x.is_floating_point():
        given = x.half()
        out = convert(name, given)
        assert out.dtype == torch.float16
        assert out.isfinite().all()
