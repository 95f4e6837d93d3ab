"""Model folders on the Hugging Face hub: push one, pull one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.errors import MultiviewError, printable
from multiview.files import partial_path, refuse_link
from multiview.parsing import parsing, read_json
from multiview.portable.layout import CARD, MODEL, REMEDY, is_model, read_layout

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SPEC = re.compile(r"hf:/{0,2}(?P<repo>[^@]+)(@(?P<revision>.+))?")
"""`hf:OWNER/NAME`, `hf://OWNER/NAME@REVISION`."""
BESIDE = (MODEL, CARD, f"*/{CARD}", "LICENSE*")
"""Files of a model folder on the hub besides those that `model.json` lists."""
TOKEN = "type `hf auth login`, or give --token with one of https://huggingface.co/settings/tokens"


def is_on_hub(spec: object) -> bool:
    """Whether a text names a model on the hub: `hf:OWNER/NAME`."""
    return isinstance(spec, (str, Path)) and SPEC.fullmatch(str(spec)) is not None


def push(folder: Path, repo: str, *, private: bool = False, token: str | None = None) -> str:
    """Sends a model folder to the hub as `repo`, and returns the address of its page.

    A model that is there already gets a new version; the hub keeps the older ones.

    Args:
        folder: a model folder.
        repo: OWNER/NAME; without OWNER, one of the user's.
        private: whether a new repository is private.
        token: of the hub; None takes that of `hf auth login`.

    Raises:
        MultiviewError: when the folder is no whole model, when the hub does not answer or refuses
            the token, and when `repo` is there and holds no model.
    """
    digest, files = read_layout(folder).digest, _files(folder)
    api = _api(token)
    with _told(repo, "written"):
        url = _room_for(api, repo, private)
        api.upload_folder(
            repo_id=url,
            folder_path=folder,
            allow_patterns=[*files, *BESIDE],
            commit_message=f"Model {digest[:12]}",
        )
    return f"{api.endpoint}/{url}"


def pull(spec: str, out: Path, *, token: str | None = None) -> Path:
    """Fetches a model of the hub into the folder `out`.

    spec: OWNER/NAME or OWNER/NAME@REVISION. Raises MultiviewError when there is no such model, when
    it is not whole, when the hub does not answer, and when `out` is there already.
    """
    refuse_link(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MultiviewError(f"{out} exists already; choose another folder.")
    draft = partial_path(out.absolute())
    try:
        _fetch(spec, token, draft)
        shutil.rmtree(draft / ".cache", ignore_errors=True)
        read_layout(draft)
        draft.replace(out)
    except OSError as cause:
        raise MultiviewError(f"the model could not be written to {out}: {cause}.") from cause
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def cached(spec: str, token: str | None = None) -> Path:
    """The folder of a model of the hub, in the cache that `huggingface_hub` keeps.

    A model that is in the cache needs no network when the hub does not answer.
    """
    return _fetch(spec, token, None)


def _fetch(spec: str, token: str | None, folder: Path | None) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download

    match = SPEC.fullmatch(spec if spec.startswith("hf:") else f"hf:{spec}")
    if match is None:
        raise MultiviewError(f"'{printable(spec)}' names no model; give OWNER/NAME or OWNER/NAME@REVISION.")
    where: dict[str, Any] = {"repo_id": match["repo"], "revision": match["revision"], "token": token}
    where |= {"local_dir": folder, "endpoint": _endpoint()}
    with _told(match["repo"], "read", match["revision"]):
        index = Path(hf_hub_download(filename=MODEL, **where))
        return Path(snapshot_download(allow_patterns=[*_files(index.parent), *BESIDE], **where))


def _files(folder: Path) -> list[str]:
    """The files that `model.json` lists."""
    content = read_json(folder / MODEL, REMEDY)
    with parsing(str(folder / MODEL), REMEDY):
        return [str(name) for name in dict(content["files"])]


def _endpoint() -> str:
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")


def _api(token: str | None) -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), token=token, library_name="multiview-cmc")


def _room_for(api: HfApi, repo: str, private: bool) -> str:
    """Makes a repository and returns its full name; one that holds a model is used again."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return api.create_repo(repo, private=private).repo_id
    except HfHubHTTPError as cause:
        if cause.response is None or cause.response.status_code != 409:
            raise
    full = api.repo_info(repo).id
    if not api.file_exists(full, MODEL):
        raise MultiviewError(
            f"the hub has {full} already, and it holds no model of multiview: choose another name, or delete it there."
        )
    return full


@contextmanager
def _told(repo: str, done: str, revision: str | None = None) -> Iterator[None]:
    """Turns whatever the hub's library raises into one sentence.

    repo: the name that the user gave. done: `read` or `written`.
    """
    try:
        yield
    except MultiviewError:
        raise
    except Exception as cause:  # the library passes on exceptions of its own, of HTTP and of files
        raise MultiviewError(_reason(printable(repo), done, revision, cause)) from cause


def _reason(repo: str, done: str, revision: str | None, cause: Exception) -> str:
    from huggingface_hub import errors

    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(cause, errors.HFValidationError):
        return f"'{repo}' is no name for a model on the hub; give OWNER/NAME of letters, digits, '-', '_' and '.'."
    if isinstance(cause, errors.LocalTokenNotFoundError) or (status == 401 and done == "written"):
        return f"the hub does not know who you are, so {repo} cannot be {done}: {TOKEN}."
    if status == 403:
        return f"your token may not have {repo} {done}: give --token one with that right, or another OWNER."
    if isinstance(cause, errors.RevisionNotFoundError):
        return f"the model {repo} of the hub has no revision '{printable(revision)}'; leave it out for the newest."
    if isinstance(cause, errors.RepositoryNotFoundError) or status == 401:
        return f"the hub shows no model {repo}: look at the spelling; if it is private, {TOKEN}."
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return f"{repo} on the hub is no model of multiview: it has no {MODEL}."
    if status is not None:
        return f"{repo} could not be {done}: the hub answered {status} ({_first_line(cause)})."
    if _is_offline(cause):
        return f"{repo} could not be {done}: the variable HF_HUB_OFFLINE forbids asking the hub; set it to 0."
    if isinstance(cause, OSError) or "httpx" in type(cause).__module__:
        return (
            f"{repo} could not be {done}: the hub at {_endpoint()} does not answer ({type(cause).__name__}). Look at "
            "the network, or load a copy of the model folder by its path."
        )
    return f"{repo} could not be {done} ({type(cause).__name__}: {_first_line(cause)})."


def _is_offline(cause: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(cause, OfflineModeIsEnabled) or isinstance(cause.__cause__, OfflineModeIsEnabled)


def _first_line(cause: Exception) -> str:
    return printable(str(cause).strip().splitlines()[0])[:200] if str(cause).strip() else type(cause).__name__


def folder_to_push(folder: Path) -> Path:
    """The model folder that the user means: itself, or that of a run.

    Raises MultiviewError when there is none.
    """
    for each in (folder, folder / "model"):
        if is_model(each):
            return each
    raise MultiviewError(
        f"{folder} is no model folder and no run with one: it has no {MODEL}. Give RUN/model, the folder that a run "
        "writes at its end."
    )
