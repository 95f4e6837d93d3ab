"""A small HTTP server that answers as the Hugging Face hub does, as far as push and pull need."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"
OWNER = "me"
Files = dict[str, bytes]


class Hub(ThreadingHTTPServer):
    """Repositories by name: a list of versions, each a dictionary of files."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repos: dict[str, list[Files]] = {}
        self.private: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def version(self, repo: str, revision: str) -> tuple[str, Files] | None:
        versions = [(commit_of(repo, number), files) for number, files in enumerate(self.repos[repo])]
        return versions[-1] if revision == "main" else {c: (c, f) for c, f in versions}.get(revision)


def commit_of(repo: str, number: int) -> str:
    return hashlib.sha1(f"{repo}{number}".encode()).hexdigest()


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def reply(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.reply(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if self.path == "/api/validate-yaml":
            self.reply(200, {"errors": [], "warnings": []})
        elif not self.known:
            self.refuse(401, "Unauthorized")
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif parts[4] == "preupload":
            files = json.loads(body)["files"]
            regular = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in files]
            self.reply(200, {"files": regular})
        else:
            self.commit("/".join(parts[2:4]), [json.loads(line) for line in body.splitlines()])

    def create(self, asked: dict[str, Any]) -> None:
        owner, repo = asked.get("organization") or OWNER, asked["name"]
        name = f"{owner}/{repo}"
        if owner != OWNER:
            self.refuse(403, "Forbidden")
        elif name in self.server.repos:
            self.reply(409, {"error": "You already created this model repo", "url": f"{self.server.url}/{name}"})
        else:
            self.server.repos[name] = [{".gitattributes": b""}]
            if asked.get("private") or asked.get("visibility") == "private":
                self.server.private.add(name)
            self.reply(200, {"url": f"{self.server.url}/{name}", "id": name, "name": name})

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        added = {x["value"]["path"]: base64.b64decode(x["value"]["content"]) for x in lines if x["key"] == "file"}
        self.server.repos[repo].append({**self.server.repos[repo][-1], **added})
        oid = commit_of(repo, len(self.server.repos[repo]) - 1)
        self.reply(200, {"commitUrl": f"{self.server.url}/{repo}/commit/{oid}", "commitOid": oid, "success": True})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        api = parts[0] == "api"
        repo = "/".join(parts[2:4] if api else parts[:2])
        rest = parts[4:] if api else parts[2:]
        if repo not in self.server.repos or (repo in self.server.private and not self.known):
            self.refuse(401, "RepoNotFound")
        elif (found := self.server.version(repo, rest[1] if len(rest) > 1 else "main")) is None:
            self.refuse(404, "RevisionNotFound")
        elif not api:
            self.resolve(*found, "/".join(rest[2:]))
        elif rest and rest[0] == "tree":
            blobs = [
                {"type": "file", "path": n, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
                for n, x in found[1].items()
            ]
            self.reply(200, blobs)
        else:
            names = [{"rfilename": name} for name in found[1]]
            self.reply(200, {"id": repo, "sha": found[0], "private": repo in self.server.private, "siblings": names})

    def resolve(self, commit: str, files: Files, name: str) -> None:
        if name not in files:
            self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
            self.reply(200, files[name], ETag=etag, X_Repo_Commit=commit)


@contextmanager
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
