"""Why a network cannot be exported, as one sentence that names the operator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from multiview.errors import MultiviewError, printable

OPERATOR = re.compile(r"\b((?:aten|prims|torchvision|torchaudio|quantized|higher_order)(?:\.|::)[A-Za-z_][\w.]*)")
NUMBER = "aten._local_scalar_dense, a Python number made of a tensor"
"""The operator behind `.item()`, `.tolist()`, `if` and `while` on the values of a tensor."""
LONGEST = 200
"""Characters of a foreign message that are shown."""


def refusal(what: str, to: str, cause: BaseException) -> MultiviewError:
    """The sentence about a failed export; what: the view and its encoder."""
    where = _place(cause)
    operator = _operator(cause)
    reason = f"it lacks the operator {operator}{where}" if operator else f"{_first_line(cause)}{where}"
    return MultiviewError(
        f"{what} cannot be exported to {to}: {reason}. Another format may work: --to onnx, torch-export, timm or hf."
    )


def _chain(cause: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that led to it, the first of them last."""
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _operator(cause: BaseException) -> str:
    """The operator that a chain of exceptions is about, "" when it names none."""
    chain = list(_chain(cause))
    for each in chain:
        if (operator := getattr(each, "func", None)) is not None:
            return str(operator)
        if type(each).__name__.startswith("GuardOnDataDependent"):
            return NUMBER
    texts = [found for each in chain if (found := OPERATOR.search(str(each)))]
    return texts[-1][1].rstrip(".") if texts else ""


def _place(cause: BaseException) -> str:
    """File and line of the network's own code that failed, "" when it is only torch's."""
    for each in reversed(list(_chain(cause))):
        trace, place = each.__traceback__, ""
        while trace is not None:
            file = Path(trace.tb_frame.f_code.co_filename)
            if "torch" not in file.parts and file.parent.name != "exports":
                place = f" (in {file.name}, line {trace.tb_lineno})"
            trace = trace.tb_next
        if place:
            return place
    return ""


def _first_line(cause: BaseException) -> str:
    text = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    short = printable(text[:LONGEST]).rstrip(". ")
    return f"{type(cause).__name__}: {short}" if short else type(cause).__name__
