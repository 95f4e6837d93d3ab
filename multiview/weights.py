"""Weights from a local file: safetensors or PyTorch's plain tensors, never code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from multiview.errors import MultiviewError


def load_weights(
    network: nn.Module,
    path: str,
    *,
    ignore: tuple[str, ...] = (),
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Loads the file `path` (.safetensors, .pt, .pth) into `network`.

    ignore: beginnings of names that the file may have and the network has not. adapt: changes the
    read tensors so that they fit. Raises MultiviewError for a missing or unreadable file, and for
    a file of another network.
    """
    state = adapt({name: x for name, x in _read(Path(path)).items() if not name.startswith(ignore)})
    own = network.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    other = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or extra or other:
        first = (missing or extra or sorted(other))[0]
        raise MultiviewError(
            f"{path} holds the weights of another network: {len(missing)} names are missing, {len(extra)} are unknown "
            f"and {len(other)} have another shape, for example '{first}'. Give the file that belongs to this encoder "
            "and its options."
        )
    network.load_state_dict(state)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MultiviewError(f"there is no file {path} with weights; give the path of a file on this machine.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:
        # Readers of damaged files and refused pickles raise many types.
        raise MultiviewError(
            f"{path} cannot be read as weights ({type(cause).__name__}); give a .safetensors file, or one that "
            f"torch.save(network.state_dict(), FILE) wrote."
        ) from cause
    for name in ("state_dict_ema", "state_dict", "model"):  # where training scripts put them
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise MultiviewError(f"{path} holds more than a state_dict; save network.state_dict() alone.")
    return state
