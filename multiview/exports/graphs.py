"""Views as graphs of operators: files of ONNX and of torch.export."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.errors import MultiviewError
from multiview.exports.compare import Vectors
from multiview.exports.network import INPUT, StoredToVectors
from multiview.exports.refusals import refusal

Run = Callable[[NDArray], Vectors]
"""Runs an exported file: stored values -> vectors by output."""
LIMIT = 1_900_000_000
"""Bytes of weights that fit into one ONNX file, whose format ends at 2 GiB."""
FACTS = "multiview.json"
"""Name of our facts in a file of torch.export."""


def write_torch_export(network: StoredToVectors, example: NDArray, about: Mapping[str, Any], path: Path) -> None:
    """Writes `torch.export`'s file (.pt2), with facts for `read_facts`."""
    program = _captured(network, example, about)
    with _refusing(about, "torch.export"), _quiet():
        torch.export.save(program, path, extra_files={FACTS: json.dumps(about)})


def run_torch_export(path: Path, outputs: list[str]) -> Run:
    """Loads a file of torch.export; the result runs it."""
    with _quiet():
        module = torch.export.load(path).module()

    def run(values: NDArray) -> Vectors:
        with torch.no_grad(), _quiet():
            found = module(torch.from_numpy(values))
        return {name: x.numpy() for name, x in zip(outputs, found, strict=True)}

    return run


def write_onnx(network: StoredToVectors, example: NDArray, about: Mapping[str, Any], path: Path) -> None:
    """Writes one ONNX file, with facts in its metadata. Raises MultiviewError above 2 GB."""
    require_onnx()
    size = sum(x.numel() * x.element_size() for x in network.state_dict().values())
    if size > LIMIT:
        raise MultiviewError(
            f"an ONNX file holds at most 2 GB, and these weights take {size:,} bytes; use torch-export."
        )
    program = _captured(network, example, about)
    outputs = list(about["outputs"])
    with _refusing(about, "ONNX"), _quiet():
        made = torch.onnx.export(
            program, input_names=[INPUT], output_names=outputs, dynamo=True, verbose=False, optimize=True
        )
        assert made is not None
        made.model.metadata_props.update({"multiview": json.dumps(about)})
        made.save(path, external_data=False)


def run_onnx(path: Path, outputs: list[str]) -> Run:
    """Opens an ONNX file with onnxruntime on the CPU; the result runs it."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 3
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda values: dict(zip(outputs, map(np.asarray, session.run(outputs, {INPUT: values})), strict=True))


def require_onnx() -> None:
    """Raises MultiviewError when a package that ONNX needs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as cause:
        raise MultiviewError(f"{cause.name} is not installed; type: pip install 'multiview-cmc[onnx]'.") from cause


def _captured(network: StoredToVectors, example: NDArray, about: Mapping[str, Any]) -> torch.export.ExportedProgram:
    """The graph of a network for any number of samples. example: two stored samples or more."""
    values = torch.from_numpy(example)
    with torch.no_grad():
        network(values)  # tables that are made at first use must not be made of stand-in tensors
        with _refusing(about, "torch.export"), _quiet():
            shapes = ({0: torch.export.Dim("batch", min=1)},)
            return torch.export.export(network, (values,), dynamic_shapes=shapes, strict=False)


@contextmanager
def _refusing(about: Mapping[str, Any], to: str) -> Iterator[None]:
    """Turns whatever an exporter raises into one sentence."""
    try:
        yield
    except MultiviewError:
        raise
    except Exception as cause:
        raise refusal(f"the view '{about['view']}' with the encoder {about['encoder']}", to, cause) from cause


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' notes for developers off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch.fx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
