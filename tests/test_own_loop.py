"""docs/own_loop.md: the plain loop, Lightning and the Hugging Face Trainer run as shown."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
from readme import blocks, complaints

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/own_loop.md"
NEEDED = {"Functions": None, "A plain loop": None, "Lightning": "lightning", "Hugging Face Trainer": "transformers"}

# Runs after the blocks of a section.
CHECKS = {
    "Functions": "assert loss.isfinite() and photo.grad.abs().sum() > 0",
    "A plain loop": """
state = torch.load("loop.pt", weights_only=True)
assert state["pair"]["_extra_state"] == 8
assert any(name.endswith(".rows") for name in state["pair"])
assert pair.calls == photo_keys.updates == 4
""",
    "Lightning": """
state = torch.load("lightning.ckpt", weights_only=False)["state_dict"]
assert state["pair._extra_state"] == 8
fresh = PhotoDepth(64)
before = [p.clone() for p in fresh.parameters()]
fresh.load_state_dict(state)
assert all((x != y).any() for x, y in zip(before, fresh.parameters(), strict=True))
banks = [x for name, x in state.items() if name.endswith(".rows")]
assert len(banks) == 2 and all(((x.norm(dim=1) - 1).abs() < 1e-5).all() for x in banks)  # every row was written
""",
    "Hugging Face Trainer": """
from safetensors.torch import load_file
state = load_file("trainer/last/model.safetensors")
assert state["pair._extra_state"] == 8
banks = [x for name, x in state.items() if name.endswith(".rows")]
assert len(banks) == 2 and all(((x.norm(dim=1) - 1).abs() < 1e-5).all() for x in banks)  # every row was written
""",
}


def sections() -> list[object]:
    """The sections; those that start a whole library are slow."""
    return [pytest.param(name, marks=(pytest.mark.slow,) if NEEDED[name] else ()) for name in NEEDED]


@pytest.mark.parametrize("section", sections())
def test_a_section_runs_and_every_row_of_a_bank_is_written(section: str, warm: list[str], tmp_path: Path) -> None:
    package = NEEDED[section]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install {package}")
    code = "\n".join(block.text for block in blocks(PAGE.read_text("utf8")) if block.section == section)
    (tmp_path / "own_loop.py").write_text(code + CHECKS[section], "utf8")
    command = [*warm, "own_loop.py"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=quiet, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_page_has_no_other_block() -> None:
    found = blocks(PAGE.read_text("utf8"))
    assert {block.section for block in found} == set(NEEDED)
    assert list(complaints(found, "", "")) == []
