"""Miniatures of the data sets, and a place to download them from."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.data import miniatures


@pytest.fixture(scope="session")
def layouts(tmp_path_factory) -> Callable[[str], Path]:
    """Folder of a miniature, written once; read it only."""
    written: dict[str, Path] = {}

    def layout(name: str) -> Path:
        if name not in written:
            written[name] = miniatures.write(name, tmp_path_factory.mktemp(name.replace(" ", "_")))
        return written[name]

    return layout


@pytest.fixture
def small(monkeypatch) -> Callable[[str], None]:
    """Let a data set be complete when it has what its miniature has."""

    def expect(name: str) -> None:
        for constant, value in miniatures.COUNTS[name.split()[0]].items():
            monkeypatch.setattr(miniatures.MODULES[name.split()[0]], constant, value)

    return expect


class Place(ThreadingHTTPServer):
    """A web server on this computer that can continue downloads, and lose connections."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []  # bytes after which the next connections are lost
        self.continues = True
        self.asked: list[tuple[str, str | None]] = []  # file and range of each request
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Place

    def do_GET(self) -> None:
        name, wanted = self.path.lstrip("/"), self.headers.get("Range")
        self.server.asked.append((name, wanted))
        if name not in self.server.files:
            return self.send_error(404)
        content = self.server.files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.continues else 0
        if start and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: self.server.breaks.pop(0)] if self.server.breaks else rest)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
