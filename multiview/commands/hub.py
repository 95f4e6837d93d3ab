"""The commands `multiview push` and `multiview pull`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multiview.exits import DONE
from multiview.terminal import say


@dataclass(frozen=True, kw_only=True)
class Push:
    """Sends a model folder to the Hugging Face hub: weights, records and card.

    A model that is there already gets a new version. Before you push, write the licence and what
    the data show into the card, MODEL/README.md.

    Args:
        model: a model folder, or a run.
        repo_id: OWNER/NAME on the hub; without OWNER, one of yours.
        private: make a new repository private.
        token: of the hub (null = that of `hf auth login`, or of the variable HF_TOKEN).
    """

    model: str
    repo_id: str
    private: bool = False
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pull:
    """Fetches a model from the Hugging Face hub into a folder, and checks that it is whole.

    Args:
        repo_id: OWNER/NAME, or OWNER/NAME@REVISION with a branch, tag or commit.
        out: the folder to make.
        token: of the hub, for private models (null = that of `hf auth login`).
    """

    repo_id: str
    out: str
    token: str | None = None


def push(options: Push) -> int:
    """multiview push MODEL REPO_ID [options]."""
    from multiview.portable.card import licence_of
    from multiview.portable.hub import folder_to_push
    from multiview.portable.hub import push as send

    folder = folder_to_push(Path(options.model))
    if licence_of(folder) is None:
        say(f"note: {folder}/README.md names no licence, so nobody may use the model; write one into its field license")
    url = send(folder, options.repo_id, private=options.private, token=options.token)
    name = "/".join(url.split("/")[-2:])
    say(f'pushed {folder} to {url}\nload it with: multiview.load("hf:{name}")')
    return DONE


def pull(options: Pull) -> int:
    """multiview pull REPO_ID OUT [options]."""
    from multiview.portable.hub import pull as fetch

    out = fetch(options.repo_id, Path(options.out), token=options.token)
    say(f'pulled {options.repo_id} into {out}\nload it with: multiview.load("{out}")')
    return DONE
