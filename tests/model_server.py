"""An HTTP server for a downloadable model, with correct or faulty answers, and a catalogue with its address."""

import contextlib
import hashlib
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = random.Random(0).randbytes(300_000)  # replaces weights where nothing reads them


class ModelServer(ThreadingHTTPServer):
    """Answers every request for `/NAME` with `answers[NAME](handler)`, each in a separate thread.

    Attributes:
        asked: the paths requested so far.
        over: set at the end of the test; answers that hang wait for it.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.asked, self.over = {}, [], threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        with contextlib.suppress(ConnectionError):  # the client closed the connection
            self.server.answers[self.path.lstrip("/")](self)

    def log_message(self, *_):
        pass

    def begin(self, length=None, status=200, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def whole(content, length=None):
    """Sends `content`, with `length` as the announced size in bytes."""

    def answer(handler):
        handler.begin(len(content) if length is None else length)
        handler.wfile.write(content)

    return answer


def record(name: str, content: bytes, **changes) -> dict:
    """An entry of the catalogue, in the catalogue's form."""
    return {
        "name": name,
        "title": name,
        "author": "somebody",
        "license": "MIT",
        "date": "2024-05-06",
        "architecture": "compact",
        "scale": 2,
        "in_channels": 3,
        "out_channels": 3,
        "size": ["4nf", "1nc"],
        "type": "safetensors",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "tags": ["photo"],
        **changes,
    }


def write_catalogue(path: Path, *records: dict) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path
