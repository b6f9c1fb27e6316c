"""The page on this computer: it enlarges in the browser, or here by Python, with any model.

Below the token that is the address's first part:

    GET    …/                      the page and what it loads; `models.json` lists networks of both kinds
    POST   …/jobs?model=NAME       the bytes of an image file; answers {"job": ID}
    GET    …/jobs/ID/events        server-sent events: {"state", "done", "left", "ahead", "error"}
    GET    …/jobs/ID/result        a PNG
    DELETE …/jobs/ID               gives it up, and deletes what there is of it
"""

import contextlib
import functools
import hmac
import json
import mimetypes
import secrets
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from esrgan_tf.errors import UserError, first_line
from esrgan_tf.web.jobs import OVER, Enlarge, Jobs

MAX_BYTES = 512 * 2**20  # of an upload
_SILENCE = 30.0  # seconds, after which a connection is given up
_CHUNK = 2**20
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # with the next, threads in the browser
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Frame-Options": "DENY",
}
# As in the page, and for its workers, to which a page's own rules do not reach.
_HEADERS["Content-Security-Policy"] = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; img-src 'self' blob:; worker-src 'self' blob:; "
    "style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".tflite": "application/octet-stream"}
_LOCAL = ("127.0.0.1", "localhost")

File = Callable[[], Path]  # the path of a file that is given out, made when it is first asked for


class Server(ThreadingHTTPServer):
    """Listens at once; `serve_forever` answers.

    Args:
        host: of the interface; 127.0.0.1 is this computer alone.
        port: 0 is any free one.
        enlarge: enlarges a file with a model.

    Attributes:
        files: what is given out, by its path on the page.
        models: names that may be asked for.
        token: the first part of the address, drawn at random.

    Raises:
        UserError: the port is taken, or no such host.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, enlarge: Enlarge):
        self.token = secrets.token_urlsafe(24)
        self.files: dict[str, File] = {}
        self.models: list[str] = []
        self.jobs = Jobs(enlarge)
        self.local_only = host in _LOCAL
        try:
            super().__init__((host, port), _Handler)  # or closes what is there
        except OSError as error:
            words = f"port {port} of {host} cannot be had ({error.strerror}); choose another with --port"
            raise UserError(words) from error

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host = str(self.server_address[0])
        return f"http://{socket.gethostname() if host == '0.0.0.0' else host}:{self.server_port}/{self.token}/"

    def file(self, name: str) -> Path | None:
        """The file of that name, if it is one that is given out."""
        return self.files[name]() if name in self.files else None

    def server_close(self) -> None:
        """Gives up all jobs and deletes what was uploaded and made."""
        super().server_close()
        self.jobs.close()

    def handle_error(self, request, client_address) -> None:
        """A connection that breaks off is no matter; anything else is told as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, words: str):
        super().__init__(words)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "esrgan_tf", ""
    timeout = _SILENCE

    def do_GET(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def do_DELETE(self):
        self._answer(self._delete)

    def log_message(self, *_):
        """Addresses hold the token, and names of photos are nobody's business."""

    def _answer(self, method):
        try:
            parts = self._below_token()
            method(parts, parse_qs(urlsplit(self.path).query))
        except _Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except ConnectionError:
            self.close_connection = True
        except TimeoutError:
            raise  # by the base class's own account
        except ValueError:  # of an address or a number that is none
            self._refuse(HTTPStatus.BAD_REQUEST, "this cannot be understood")
        except OSError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"this computer cannot keep the photo: {error.strerror}")
        except Exception as error:  # told here too, where somebody may mend it
            print(f"esrgan-tf: {type(error).__name__}: {first_line(error)}", file=sys.stderr, flush=True)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, first_line(error))

    def _refuse(self, status, words):
        self.close_connection = True  # what is left of a body is not read
        with contextlib.suppress(ConnectionError):
            self._send(status, "text/plain; charset=utf-8", words.encode())

    def _below_token(self):
        """The path behind the token, in parts; refuses who has not been given the address."""
        host = self.headers.get("Host", "")
        name = urlsplit(f"//{host}").hostname  # the port may be that of a tunnel
        if self.server.local_only and name not in _LOCAL:  # a page of others, by their DNS
            raise _Refused(HTTPStatus.FORBIDDEN, "open the address that esrgan-tf web has printed")
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if (origin is not None and origin != f"http://{host}") or site not in ("none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "asked for by another page")
        first, *rest = urlsplit(self.path).path.removeprefix("/").split("/")
        if not hmac.compare_digest(first.encode(), self.server.token.encode()) or not rest:
            raise _Refused(HTTPStatus.NOT_FOUND, "open the address that esrgan-tf web has printed")
        return rest

    def _get(self, parts, _):
        if parts[0] == "jobs" and len(parts) == 3:
            job = self._job(parts[1])
            if parts[2] == "events":
                return self._events(job)
            if parts[2] == "result" and job.state == "done":
                return self._send_file(job.target, "image/png")
        path = self.server.file("/".join(parts) or "index.html")
        if path is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing there")
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._send_file(path, kind)

    def _post(self, parts, query):
        if parts != ["jobs"]:
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing there")
        model = query.get("model", [""])[-1]
        if model not in self.server.models:
            raise _Refused(HTTPStatus.BAD_REQUEST, "no such model")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 15:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the photo's size is not told")
        if not 0 < int(length) <= MAX_BYTES:
            words = f"a photo of 1 to {MAX_BYTES // 2**20} MB is taken, not of {int(length) / 2**20:.0f}"
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
        try:
            with self.server.jobs.uploading(int(length)) as source:
                self._receive(source, int(length))
                job = self.server.jobs.add(source, model)
        except UserError as error:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        try:
            self._send(HTTPStatus.ACCEPTED, "application/json", json.dumps({"job": job.id}).encode())
        except OSError:
            self.server.jobs.stop(job)  # nobody knows of it
            raise

    def _receive(self, path, length):
        with open(path, "xb") as file:
            while length:
                piece = self.rfile.read(min(length, _CHUNK))
                if not piece:
                    raise ConnectionError("cut off in the middle of a photo")
                file.write(piece)
                length -= len(piece)

    def _delete(self, parts, _):
        if len(parts) != 2 or parts[0] != "jobs":
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing there")
        self.server.jobs.stop(self._job(parts[1]))
        self._send(HTTPStatus.NO_CONTENT, None, b"")

    def _job(self, key):
        job = self.server.jobs.get(key)
        if job is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such photo, or it was given up")
        return job

    def _events(self, job):
        """Tells of the job until it is over or nobody listens. A page that is gone shows in the writing."""
        self._head(HTTPStatus.OK, "text/event-stream", None)
        sent, version, over = "", -1, False
        while not over:
            state, version = self.server.jobs.state(job, version, seconds=5)
            line = json.dumps(state)
            self.wfile.write((f"data: {line}\n\n" if line != sent else ": still there\n\n").encode())
            self.server.jobs.keep_alive(job)
            sent, over = line, state["state"] in OVER
        self.close_connection = True

    def _send_file(self, path, kind):
        try:
            file = open(path, "rb")  # noqa: SIM115  (closed below; deleted meanwhile, it can be read to its end)
        except FileNotFoundError as error:
            raise _Refused(HTTPStatus.NOT_FOUND, "it was given up") from error
        with file:
            self._head(HTTPStatus.OK, kind, path.stat().st_size)
            for piece in iter(functools.partial(file.read, _CHUNK), b""):
                self.wfile.write(piece)

    def _send(self, status, kind, content):
        self._head(status, kind, len(content))
        self.wfile.write(content)

    def _head(self, status, kind, length):
        self.send_response(status)
        if kind is not None:
            self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.send_header("Cache-Control", "no-store")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
