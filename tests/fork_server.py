"""Separate processes for programs, without the seconds for importing TensorFlow in each process.

    with Warm(folder) as warm:  # or the fixture `warm`
        warm.run("python", "train.py", "--phase", "psnr", cwd=place)  # as `run_process`
        run = warm.start("esrgan-tf", "upscale", "photo.png", cwd=place)  # does not wait
        run.kill()
        assert run.wait() == -signal.SIGKILL

`Warm` starts `python -m tests.fork_server`, which imports the packages that programs need, but nothing of `esrgan_tf`.
Each program still imports the package's modules. The server forks a child per program. The child runs the file that a
shell would run, then the exit handlers. It ends without a shutdown of TensorFlow and PyTorch, which takes longer than
many programs. TensorFlow's runtime must start in children only, because the first operation starts threads.

Users start programs in another way, so each program here must also run cold in another test. The helper's environment
applies to the import of TensorFlow. Variables of its runtime, such as CUDA_VISIBLE_DEVICES, may differ per program.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COMMANDS = Path(sys.executable).parent


class Warm:
    """The helper process. `folder` receives the programs' output; the end of the block kills running programs."""

    def __init__(self, folder: Path):
        self._folder, self._number = Path(folder), itertools.count()
        environment = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with open(self._folder / "helper.err", "w", encoding="utf-8") as err:
            command = [sys.executable, "-m", "tests.fork_server"]
            self._helper = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=err, **pipes)

    def __enter__(self) -> "Warm":
        return self

    def __exit__(self, *_) -> None:
        self._helper.communicate(timeout=60)  # closes its input

    def start(self, *argv, cwd=REPOSITORY, env=(), eagerly=False) -> "Run":
        """Starts `python X.py …`, `python -m X …`, or a command that is installed beside this Python.

        `eagerly` does not compile the step, which halves the time of a training of a few steps.
        """
        argv, output = [str(part) for part in argv], str(self._folder / str(next(self._number)))
        files = {"stdout": f"{output}.out", "stderr": f"{output}.err"}
        pid = self.ask(argv=argv, cwd=str(cwd), env=dict(env), eagerly=eagerly, **files)
        return Run(self, argv, pid, Path(f"{output}.out"), Path(f"{output}.err"))

    def run(self, *argv, cwd=REPOSITORY, env=(), eagerly=False, timeout=500) -> subprocess.CompletedProcess:
        """Starts the program and waits for its end."""
        run = self.start(*argv, cwd=cwd, env=env, eagerly=eagerly)
        try:
            run.wait(timeout)
        finally:
            run.kill()
        return subprocess.CompletedProcess(run.argv, run.poll(), run.stdout.read_text(), run.stderr.read_text())

    def ask(self, **request):
        with contextlib.suppress(BrokenPipeError):
            self._helper.stdin.write(f"{json.dumps(request)}\n")
            self._helper.stdin.flush()
        answer = self._helper.stdout.readline()
        if not answer:
            raise RuntimeError(f"tests.fork_server ended: {(self._folder / 'helper.err').read_text()}")
        return json.loads(answer)


class Run:
    """A started program: its `pid`, and the files `stdout` and `stderr` with its output."""

    def __init__(self, warm: Warm, argv: list[str], pid: int, stdout: Path, stderr: Path):
        self.argv, self.pid, self.stdout, self.stderr = argv, pid, stdout, stderr
        self._warm, self._status = warm, None

    def poll(self) -> int | None:
        """The exit status, or minus the number of the signal, like `subprocess`; None while the program runs."""
        if self._status is None:
            self._status = self._warm.ask(reap=self.pid)
        return self._status

    def wait(self, timeout: float = 500) -> int:
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self.argv, timeout)
            time.sleep(0.02)
        return self._status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # no other process gets the number before the last poll
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve() -> dict | None:
    """Answers requests in the helper without waiting, until requests end. Returns the program to run in each child."""
    helper, children = os.getpid(), set()
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "reap" in request:
            pid, status = os.waitpid(request["reap"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            children.discard(pid)
        else:
            answer = os.fork()
            if answer == 0:
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: the child dies with the helper,
                if os.getppid() != helper:  # which may just have ended
                    os._exit(1)
                return request
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return None


def _run(argv, cwd, env, eagerly, stdout, stderr):
    """Becomes the process that a shell would have started, and runs the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.update(env)
    if eagerly:
        sys.modules["tensorflow"].config.run_functions_eagerly(True)
    argv = argv[1:] if argv[0] in ("python", sys.executable) else [COMMANDS / argv[0], *argv[1:]]
    status = 0
    try:
        if argv[0] == "-m":
            sys.argv, sys.path[0] = argv[1:], os.getcwd()
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        else:
            script = str(argv[0])  # relative if the command was relative, because hints to the user show it
            sys.argv, sys.path[0] = [script, *argv[1:]], os.path.dirname(os.path.realpath(script))
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    threading._shutdown()  # waits for threads, like Python's exit
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then close the input
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # like the commands
    for module in ("tensorflow", "keras", "tensorflow_datasets", "tensorflow_hub", "torch"):
        with contextlib.suppress(ModuleNotFoundError):  # programs report missing modules
            importlib.import_module(module)
    gc.freeze()  # otherwise each child searches all objects at exit, which takes longer than many programs
    gc.set_threshold(100_000)  # a tenth of the time was the search for cycles among TensorFlow's objects
    request = _serve()
    if request is not None:
        _run(**request)
