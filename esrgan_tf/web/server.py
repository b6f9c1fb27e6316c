"""The web server of `esrgan-tf web`: the page, and upscaling on this computer with any model.

All paths begin with a random token:

    GET    …/                      the page and its files; `models.json` lists the browser's and this computer's models
    POST   …/jobs?model=NAME       the bytes of an image file; the response is {"job": ID}
    GET    …/jobs/ID/events        server-sent events: {"state", "done", "left", "ahead", "error"}
    GET    …/jobs/ID/result        a PNG
    DELETE …/jobs/ID               cancels the job and deletes its files
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
from esrgan_tf.web.jobs import OVER, Jobs, UpscaleFile

MAX_BYTES = 512 * 2**20  # of an upload
_TIMEOUT = 30.0  # seconds without data until a connection is closed
_CHUNK = 2**20
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # this and the next header allow threads in the browser
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Frame-Options": "DENY",
}
# The page's own policy again, for workers, which do not inherit the page's policy.
_HEADERS["Content-Security-Policy"] = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; img-src 'self' blob:; worker-src 'self' blob:; "
    "style-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".tflite": "application/octet-stream"}
_LOCAL = ("127.0.0.1", "localhost")

File = Callable[[], Path]  # returns the path of a served file, which it writes at the first call


class Server(ThreadingHTTPServer):
    """An HTTP server that listens from its creation; `serve_forever` handles requests.

    Args:
        host: the name or address of the interface; only this computer reaches 127.0.0.1.
        port: 0 selects a free port.
        upscale: upscales a file with a model.

    Attributes:
        files: the served files by their paths on the page.
        models: the models that jobs may request.
        token: the first part of all paths, random.

    Raises:
        UserError: the port is in use, or the host does not exist.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, upscale: UpscaleFile):
        self.token = secrets.token_urlsafe(24)
        self.files: dict[str, File] = {}
        self.models: list[str] = []
        self.jobs = Jobs(upscale)
        self.local_only = host in _LOCAL
        try:
            super().__init__((host, port), _Handler)  # calls server_close on an error
        except OSError as error:
            message = f"port {port} of {host} cannot be opened ({error.strerror}); choose another with --port"
            raise UserError(message) from error

    @property
    def address(self) -> str:
        """The page's URL."""
        host = str(self.server_address[0])
        return f"http://{socket.gethostname() if host == '0.0.0.0' else host}:{self.server_port}/{self.token}/"

    def file(self, name: str) -> Path | None:
        """The path of a served file, or None if the server does not serve it."""
        return self.files[name]() if name in self.files else None

    def server_close(self) -> None:
        """Cancels all jobs and deletes photos and results."""
        super().server_close()
        self.jobs.close()

    def handle_error(self, request, client_address) -> None:
        """Prints an error, unless it is a broken connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "esrgan_tf", ""
    timeout = _TIMEOUT

    def do_GET(self):
        self._respond(self._get)

    def do_POST(self):
        self._respond(self._post)

    def do_DELETE(self):
        self._respond(self._delete)

    def log_message(self, *_):
        """Logs nothing, since request lines hold the token."""

    def _respond(self, method):
        try:
            parts = self._parts_after_token()
            method(parts, parse_qs(urlsplit(self.path).query))
        except _Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except ConnectionError:
            self.close_connection = True
        except TimeoutError:
            raise  # the base class handles it
        except ValueError:  # a malformed URL or number
            self._refuse(HTTPStatus.BAD_REQUEST, "malformed request")
        except OSError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"this computer cannot store the photo: {error.strerror}")
        except Exception as error:  # printed here too, for the person who runs the server
            print(f"esrgan-tf: {type(error).__name__}: {first_line(error)}", file=sys.stderr, flush=True)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, first_line(error))

    def _refuse(self, status, message):
        self.close_connection = True  # the rest of the request's body is not read
        with contextlib.suppress(ConnectionError):
            self._send(status, "text/plain; charset=utf-8", message.encode())

    def _parts_after_token(self):
        """The parts of the path after the token; refuses requests with another token, host or origin."""
        host = self.headers.get("Host", "")
        name = urlsplit(f"//{host}").hostname  # the port may be a tunnel's
        if self.server.local_only and name not in _LOCAL:  # DNS rebinding by another site
            raise _Refused(HTTPStatus.FORBIDDEN, "open the address that esrgan-tf web has printed")
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if (origin is not None and origin != f"http://{host}") or site not in ("none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "another site sent this request; use the page of esrgan-tf web")
        first, *rest = urlsplit(self.path).path.removeprefix("/").split("/")
        if not hmac.compare_digest(first.encode(), self.server.token.encode()) or not rest:
            raise _Refused(HTTPStatus.NOT_FOUND, "open the address that esrgan-tf web has printed")
        return rest

    def _get(self, parts, _):
        if parts[0] == "jobs" and len(parts) == 3:
            job = self._job(parts[1])
            if parts[2] == "events":
                return self._send_events(job)
            if parts[2] == "result" and job.state == "done":
                return self._send_file(job.target, "image/png")
        path = self.server.file("/".join(parts) or "index.html")
        if path is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such file")
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._send_file(path, kind)

    def _post(self, parts, query):
        if parts != ["jobs"]:
            raise _Refused(HTTPStatus.NOT_FOUND, "photos are sent to the path jobs")
        model = query.get("model", [""])[-1]
        if model not in self.server.models:
            raise _Refused(HTTPStatus.BAD_REQUEST, "no such model")
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 15:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the request lacks the photo's size (Content-Length)")
        if not 0 < int(length) <= MAX_BYTES:
            message = f"the photo has {int(length) / 2**20:.0f} MB; the limit is {MAX_BYTES // 2**20} MB"
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        try:
            with self.server.jobs.uploading(int(length)) as source:
                self._receive(source, int(length))
                job = self.server.jobs.add(source, model)
        except UserError as error:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        try:
            self._send(HTTPStatus.ACCEPTED, "application/json", json.dumps({"job": job.id}).encode())
        except OSError:
            self.server.jobs.stop(job)  # the page has no id of it
            raise

    def _receive(self, path, length):
        with open(path, "xb") as file:
            while length:
                chunk = self.rfile.read(min(length, _CHUNK))
                if not chunk:
                    raise ConnectionError("the connection broke during an upload")
                file.write(chunk)
                length -= len(chunk)

    def _delete(self, parts, _):
        if len(parts) != 2 or parts[0] != "jobs":
            raise _Refused(HTTPStatus.NOT_FOUND, "only jobs can be deleted")
        self.server.jobs.stop(self._job(parts[1]))
        self._send(HTTPStatus.NO_CONTENT, None, b"")

    def _job(self, key):
        job = self.server.jobs.get(key)
        if job is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such photo, or it was cancelled")
        return job

    def _send_events(self, job):
        """Sends the job's states until the job is over; a write fails once the page is closed."""
        self._head(HTTPStatus.OK, "text/event-stream", None)
        sent, version, over = "", -1, False
        while not over:
            state, version = self.server.jobs.state(job, version, seconds=5)
            line = json.dumps(state)
            self.wfile.write((f"data: {line}\n\n" if line != sent else ": unchanged\n\n").encode())
            self.server.jobs.keep_alive(job)
            sent, over = line, state["state"] in OVER
        self.close_connection = True

    def _send_file(self, path, kind):
        try:
            file = open(path, "rb")  # noqa: SIM115  (closed below; an open file stays readable after its deletion)
        except FileNotFoundError as error:
            raise _Refused(HTTPStatus.NOT_FOUND, "the photo was cancelled") from error
        with file:
            self._head(HTTPStatus.OK, kind, path.stat().st_size)
            for chunk in iter(functools.partial(file.read, _CHUNK), b""):
                self.wfile.write(chunk)

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
