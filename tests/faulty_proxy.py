"""A server before an S3 server that passes everything on, and spoils what a test asks for."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Passes one request on; `server.spoil(path)` names the fault of a GET, or None."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, answer = self.server.ask(self.command, self.path, dict(self.headers), body)
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        fault = None
        if self.command == "GET" and name.endswith((".h5", ".safetensors", ".json")):
            with self.server.lock:
                self.server.gets[name] += 1
                fault = self.server.spoil(name, self.server.gets[name])
        if fault == "503":
            status, answer, headers = 503, b"", {}
        if fault == "bytes":
            answer = answer[: len(answer) // 2] + bytes([answer[len(answer) // 2] ^ 1]) + answer[len(answer) // 2 + 1 :]
        self._answer(status, headers, answer, fault)

    def _answer(self, status: int, headers: dict[str, str], answer: bytes, fault: str | None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            hop = name.lower() in ("transfer-encoding", "content-length", "connection", "server", "date")
            if not hop and not (fault == "bytes" and name.lower().startswith(("x-amz-checksum", "etag"))):
                self.send_header(name, value)
        sent = answer[: len(answer) // 2] if fault == "truncate" else answer
        length = headers.get("Content-Length", str(len(answer))) if self.command == "HEAD" else str(len(sent))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "drop":
            self.wfile.write(answer[: len(answer) // 2])
            self.close_connection = True
            return
        if fault == "late":
            for start in range(0, len(sent), max(1, len(sent) // 4)):
                self.wfile.write(sent[start : start + max(1, len(sent) // 4)])
                self.wfile.flush()
                time.sleep(0.1)
            return
        self.wfile.write(sent)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Proxy(ThreadingHTTPServer):
    """The proxy; `spoil(name, number of the GET)` decides on the fault of each download."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = port
        self.gets: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.spoil: Callable[[str, int], str | None] = lambda *_: None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ask(self, command: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer of the server behind."""
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=30)
        connection.request(command, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no fault here."""
