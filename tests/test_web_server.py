"""`esrgan-tf web`: the jobs of a visitor, and the attempts of strangers."""

import concurrent.futures
import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import Image

from esrgan_tf.errors import UserError
from esrgan_tf.web import backend
from esrgan_tf.web import jobs as jobs_module
from esrgan_tf.web.jobs import Jobs
from esrgan_tf.web.server import MAX_BYTES, Server
from tests.conftest import run_process
from tests.test_web_page import CHROMIUM, expect, sync_playwright


class Visitor:
    """A server in a separate process, and its address."""

    def __init__(self, folder: Path):
        self.folder = folder
        command = [Path(sys.executable).with_name("esrgan-tf"), "web", "--port", "0", "--models_dir", folder / "models"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, **pipes)
        line = self.process.stdout.readline()
        self.address = re.match(r"open (http://127\.0\.0\.1:\d+/[\w-]{32}/) \(Ctrl-C ends the server\)$", line)[1]
        parts = urlsplit(self.address)
        self.host, self.path = parts.netloc, parts.path

    def ask(self, method, path, body=None, **headers):
        """The answer's status and content."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, content: bytes, wait=True) -> bytes:
        """The answer to bytes that are sent unchanged."""
        host, port = self.host.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(content)
            if not wait:
                return b""
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def post(self, content, model="photo", **headers):
        status, answer = self.ask("POST", f"{self.path}jobs?model={model}", content, **headers)
        return status, json.loads(answer)["job"] if status == 202 else answer.decode()

    def events(self, job):
        _, text = self.ask("GET", f"{self.path}jobs/{job}/events")
        return [json.loads(line[6:]) for line in text.decode().splitlines() if line.startswith("data: ")]

    def job_state(self, job):
        """The first event only."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("GET", f"{self.path}jobs/{job}/events")
        try:
            return json.loads(connection.getresponse().readline()[6:])
        finally:
            connection.close()

    def uploads(self):
        return [path for path in self.folder.glob("esrgan_tf_web_*/*")]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    visitor = Visitor(tmp_path_factory.mktemp("web"))
    yield visitor
    assert visitor.process.poll() is None  # the server still runs
    status, out, err = visitor.end()
    assert (status, out, err) == (
        0,
        "ending after the computation in progress\nended; photos and results are deleted\n",
        "",
    )
    assert [path.name for path in visitor.folder.iterdir()] == []


def png(image) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


def in_16_bits(path):
    image = skimage.data.chelsea()[100:140, 100:150].astype(np.uint16) * 257 + 3
    pyvips.Image.new_from_array(image).copy(interpretation="rgb16").write_to_file(str(path))
    return path


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium; on Debian: apt-get install chromium")
def test_a_photo_through_the_page_is_what_the_command_makes(visitor, tmp_path):
    """Uses 16 bits, which no canvas has: the result must be the server's file."""
    path = in_16_bits(tmp_path / "cat.png")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(visitor.address)
        page.wait_for_selector("html[data-ready]")
        page.check("input[value=computer]")
        assert page.input_value("#local") == "faithful"  # the first of the bundled models
        page.select_option("#local", "photo")
        page.set_input_files("#file", path)
        page.click("#start")
        expect(page.locator("#status")).to_contain_text("Done in", timeout=120_000)
        assert page.is_visible("#stage")
        with page.expect_download() as download:
            page.click("#save")
        assert download.value.suggested_filename == "cat_x4.png"
        made = Path(download.value.path()).read_bytes()
        (tmp_path / "notes.txt").write_text("no image")
        page.set_input_files("#file", tmp_path / "notes.txt")
        page.click("#start")
        expect(page.locator("#status")).to_contain_text("The photo could not be upscaled: the photo", timeout=120_000)
        browser.close()
    result = run_process("esrgan-tf", "upscale", path, "--model", "photo", "--output", tmp_path / "by_command.png")
    assert result.returncode == 0, result.stderr
    assert made == (tmp_path / "by_command.png").read_bytes()


def test_a_job_reports_its_state_and_is_deleted(visitor):
    status, job = visitor.post(png(skimage.data.coffee()[:90, :120]))
    assert status == 202
    reported = visitor.events(job)
    assert reported[-1] == {"state": "done", "done": 1.0, "left": 0.0, "error": "", "ahead": 0}
    assert all(event["state"] in ("waiting", "running", "done") for event in reported)
    status, content = visitor.ask("GET", f"{visitor.path}jobs/{job}/result")
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (480, 360)
    assert visitor.ask("DELETE", f"{visitor.path}jobs/{job}")[0] == 204
    assert visitor.ask("GET", f"{visitor.path}jobs/{job}/result")[0] == 404
    assert visitor.uploads() == []


def test_strangers_are_refused(visitor):
    """Refuses unknown addresses, foreign origins and forbidden requests."""
    photo = png(np.zeros((4, 4, 3), np.uint8))
    post = f"{visitor.path}jobs?model=photo"
    port = visitor.host.split(":")[1]
    refused = [
        visitor.ask("GET", "/"),
        visitor.ask("GET", "/index.html"),
        visitor.ask("GET", f"/{'x' * 32}/"),
        visitor.ask("GET", visitor.path[:-1]),  # without the slash, nothing is below the address
        visitor.ask("POST", f"/{'x' * 32}/jobs?model=photo", photo),
        visitor.ask("GET", visitor.path, Origin="http://evil.example"),
        visitor.ask("GET", visitor.path, Origin="null"),
        visitor.ask("GET", visitor.path, Sec_Fetch_Site="cross-site"),
        visitor.ask("POST", post, photo, Origin="https://evil.example"),
        visitor.ask("POST", post, photo, Origin=f"http://localhost:{port}"),
        visitor.ask("GET", visitor.path, Host=f"evil.example:{port}"),
        visitor.ask("GET", visitor.path, Host=f"127.0.0.1.evil.example:{port}"),
        visitor.ask("POST", post, photo, Host="evil.example"),
        visitor.ask("DELETE", f"{visitor.path}jobs/unknown"),
        visitor.ask("GET", f"{visitor.path}jobs/unknown/events"),
        visitor.ask("POST", f"{visitor.path}jobs?model=/etc/passwd", photo),
        visitor.ask("POST", f"{visitor.path}jobs", photo),
        visitor.ask("POST", f"{visitor.path}models.json", photo),
        visitor.ask("PUT", post, photo),
        *(
            visitor.ask("GET", f"{visitor.path}{path}")
            for path in ("../server.py", "%2e%2e/server.py", "..%2fserver.py", "/etc/passwd", "//etc/passwd",
                         "models/../../../etc/passwd", "jobs/../../x/result", "index.html%00.png", "page.js/", "jobs")
        ),
    ]  # fmt: skip
    assert {status for status, _ in refused} <= {400, 403, 404, 501}
    assert visitor.ask("GET", visitor.path, Host="localhost:9000")[0] == 200  # through a tunnel
    assert all(len(content) < 1000 and b"root:" not in content for _, content in refused)
    assert visitor.uploads() == []


def test_bodies_with_false_headers(visitor):
    def post(length, body=b"", wait=True):
        head = f"POST {visitor.path}jobs?model=photo HTTP/1.1\r\nHost: {visitor.host}\r\n{length}\r\n\r\n"
        return visitor.raw(head.encode() + body, wait)

    assert b" 413 " in post(f"Content-Length: {2 * 2**30}")
    assert b" 413 " in post(f"Content-Length: {MAX_BYTES + 1}")
    assert b" 413 " in post("Content-Length: 0")
    for length in ("", "Content-Length: -1", "Content-Length: ten", "Content-Length: ٣", "Transfer-Encoding: chunked"):
        assert b" 411 " in post(length)
    for _ in range(20):
        post("Content-Length: 100000", b"cut in the middle", wait=False)
    assert b" 202 " not in post("Content-Length: 100000", b"cut in the middle")
    assert b" 411 " in post(f"Content-Length: {'9' * 5000}")
    assert b" 400 " in visitor.raw(f"GET http://[x/ HTTP/1.1\r\nHost: {visitor.host}\r\n\r\n".encode())
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\r\n" * 100, b"G" * 70_000, b"GET / HTTP/9.9\r\n\r\n"):
        visitor.raw(nonsense)
    until = time.monotonic() + 30
    while visitor.uploads() and time.monotonic() < until:
        time.sleep(0.1)
    assert visitor.uploads() == []
    assert visitor.ask("GET", visitor.path)[0] == 200


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\n but then no more", b"GIF89a", b"\0" * 1000])
def test_a_file_that_is_no_image_has_a_plain_message(content, visitor):
    status, job = visitor.post(content)
    assert status == 202
    last = visitor.events(job)[-1]
    assert last["state"] == "failed"
    assert "the photo" in last["error"]
    assert str(visitor.folder) not in last["error"]
    visitor.ask("DELETE", f"{visitor.path}jobs/{job}")
    assert visitor.uploads() == []


def test_fifty_jobs_at_once_are_done_or_refused(visitor):
    photo = png(skimage.data.astronaut()[:16, :16])
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: visitor.post(photo), range(50)))
        taken = [job for status, job in answers if status == 202]
        assert {status for status, _ in answers} <= {202, 503}
        assert jobs_module.WAITING <= len(taken) <= 50
        refusals = [words for status, words in answers if status == 503]
        assert all("photos are waiting already" in words for words in refusals)
        for reported in pool.map(visitor.events, taken):
            assert reported[-1]["state"] == "done"
    for job in taken:
        visitor.ask("DELETE", f"{visitor.path}jobs/{job}")
    assert visitor.uploads() == []


def test_stopping_during_a_job_leaves_nothing(tmp_path):
    """Receives two signals, like from an impatient user."""
    visitor = Visitor(tmp_path)
    status, job = visitor.post(png(skimage.data.astronaut()))
    assert status == 202
    while visitor.job_state(job)["done"] == 0:
        time.sleep(0.1)
    visitor.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    visitor.process.send_signal(signal.SIGTERM)
    status, out, err = visitor.end()
    assert (status, err) == (0, "")
    assert out.endswith("ended; photos and results are deleted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_a_line(run_main):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, out, err = run_main("web", "--port", port)
    words = (
        f"esrgan-tf: port {port} of 127.0.0.1 cannot be opened (Address already in use); choose another with --port\n"
    )
    assert (status, out, err) == (2, "", words)


def ended(jobs, job):
    until, version = time.monotonic() + 30, -1
    while not job.over and time.monotonic() < until:
        _, version = jobs.state(job, version, 1)
    assert job.over


def added(jobs, photo, model="any"):
    """A job of an uploaded photo."""
    with jobs.uploading(len(photo)) as source:
        source.write_bytes(photo)
        return jobs.add(source, model)


def test_an_abandoned_job_is_cancelled(monkeypatch):
    """The page of the job was closed, and other jobs wait."""
    monkeypatch.setattr(jobs_module, "ABANDONED", 0.2)
    computed = []

    def enlarge(model, source, target, progress):
        for tile in range(1, 1001):
            progress(tile, 1000)
            computed.append(tile)
            time.sleep(0.01)

    jobs = Jobs(enlarge)
    try:
        job = added(jobs, b"")
        ended(jobs, job)
        assert job.state == "stopped"
        assert len(computed) < 500
        assert not job.source.exists()
    finally:
        jobs.close()


def test_only_the_newest_results_are_kept_and_a_running_job_can_be_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "KEPT", 2)
    monkeypatch.setattr(jobs_module, "WAITING", 3)
    goes_on, begun = threading.Event(), threading.Event()

    def enlarge(model, source, target, progress):
        if model == "slow":
            begun.set()
            goes_on.wait(30)
        progress(1, 2)
        target.write_bytes(source.read_bytes())

    jobs = Jobs(enlarge)

    def add(model):
        return added(jobs, b"photo", model)

    try:
        slow, *waiting = [add(model) for model in ("slow", "fast", "fast", "fast")]
        assert [jobs.state(job)[0]["ahead"] for job in (slow, *waiting)] == [0, 1, 2, 3]
        with pytest.raises(UserError, match="3 photos are waiting already"):
            add("fast")
        assert begun.wait(30)
        jobs.stop(waiting[1])
        assert not waiting[1].source.exists()
        jobs.stop(slow)
        goes_on.set()
        ended(jobs, waiting[2])
        assert [job.state for job in (slow, *waiting)] == ["stopped", "done", "stopped", "done"]
        assert not slow.target.exists()
        last = [add("fast") for _ in range(2)]
        ended(jobs, last[1])
        add("fast")
        assert jobs.get(waiting[0].id) is None
        assert not waiting[0].target.exists()
    finally:
        goes_on.set()
        jobs.close()
    assert not slow.source.parent.exists()


@pytest.fixture
def jobs():
    """A queue of photos that wait for its event `goes_on`; results are as large as photos."""

    def enlarge(model, source, target, progress):
        jobs.goes_on.wait(30)
        progress(1, 2)
        target.write_bytes(source.read_bytes())

    jobs = Jobs(enlarge)
    jobs.goes_on = threading.Event()
    yield jobs
    jobs.goes_on.set()
    jobs.close()


def test_uploads_together_are_bounded(jobs, monkeypatch):
    """Counts announced sizes before a byte arrives, and waiting uploads."""
    monkeypatch.setattr(jobs_module, "MAX_UPLOADED", 1000)
    with jobs.uploading(400) as first, jobs.uploading(600):
        with pytest.raises(UserError, match="too large already"), jobs.uploading(1):
            pass
        first.write_bytes(b"half")
    assert not first.exists()  # no job contains it
    waiting = added(jobs, bytes(700))
    with pytest.raises(UserError, match="too large already"), jobs.uploading(301):
        pass
    with jobs.uploading(300):
        pass
    jobs.goes_on.set()
    ended(jobs, waiting)
    with jobs.uploading(1000):
        pass


def test_uploads_in_parallel_count_as_waiting(jobs, monkeypatch):
    monkeypatch.setattr(jobs_module, "WAITING", 2)
    with contextlib.ExitStack() as uploads:
        for _ in range(3):  # one besides the waiting photos
            uploads.enter_context(jobs.uploading(1))
        with pytest.raises(UserError, match="2 photos are waiting already"):
            uploads.enter_context(jobs.uploading(1))


def test_a_disk_that_is_nearly_full(jobs, monkeypatch):
    monkeypatch.setattr(jobs_module, "MIN_FREE", 2**60)
    with pytest.raises(UserError, match="nearly full"), jobs.uploading(1):
        pass


def test_results_together_are_bounded(jobs, monkeypatch):
    monkeypatch.setattr(jobs_module, "MAX_KEPT", 1000)
    jobs.goes_on.set()
    done = []
    for size in (600, 300, 500, 2000):
        done.append(added(jobs, bytes(size)))
        ended(jobs, done[-1])
    assert [job.target.exists() for job in done] == [False, False, False, True]
    assert [jobs.get(job.id) is job for job in done] == [False, False, False, True]


def test_a_result_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "MAX_PIXELS", 16 * 30 * 40 - 1)
    Image.fromarray(skimage.data.astronaut()[:30, :40]).save(tmp_path / "a.png")
    computing = backend.Backend([])
    with pytest.raises(UserError, match="the page's limit is 0"):
        computing.enlarge("photo", tmp_path / "a.png", tmp_path / "b.png", lambda done, total: None)
    assert os.listdir(tmp_path) == ["a.png"]


def test_other_network_interfaces_are_served_only_on_request():
    for host, local in (("127.0.0.1", True), ("0.0.0.0", False)):
        with Server(host, 0, lambda *_: None) as server:
            assert server.local_only is local
            assert len(server.token) == 32
    with pytest.raises(UserError, match="choose another"):
        Server("203.0.113.1", 0, lambda *_: None)
