"""Programs in processes of their own, without the seconds that each of them would import TensorFlow for.

    with Warm(folder) as warm:
        warm.run("python", "train.py", "--phase", "psnr", cwd=place)    # as `run_process`; a CompletedProcess
        run = warm.start("esrgan-tf", "upscale", "a.png", cwd=place)    # does not wait
        run.kill(); assert run.wait() == -signal.SIGKILL

`Warm` starts `python -m tests.warm`, which imports what programs import from others, and nothing of `esrgan_tf`, so that
each program still finds its own way through it. For each program it forks: a child that runs the file which a shell
would, `X.py` or a command beside this Python, and ends as any Python does. This works as long as the runtime of
TensorFlow, which starts threads with its first operation or list of devices, starts in the children only.

It is not what a user starts, so some test must also run each path cold. Variables that matter while TensorFlow is being
imported (TF_CPP_MIN_LOG_LEVEL, TF_ENABLE_ONEDNN_OPTS) are the helper's; those of its runtime (CUDA_VISIBLE_DEVICES) may
be given with each program.
"""

import ctypes
import gc
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COMMANDS = Path(sys.executable).parent


class Warm:
    """The helper, and what is asked of it. At the end of the block all that it started is killed."""

    def __init__(self, folder: Path):
        """`folder`: where the outputs go."""
        self._folder, self._count = Path(folder), itertools.count()
        environment = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"}
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "tests.warm"], cwd=REPOSITORY, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self._folder / "helper.err", "w"),
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._helper.communicate(timeout=60)  # closes its input

    def start(self, *argv, cwd=REPOSITORY, env=()) -> "Run":
        """Starts `python X.py …` or a command of this Python, `env` over the helper's environment; does not wait."""
        number, argv = next(self._count), [str(part) for part in argv]
        stdout, stderr = (self._folder / f"{number}.{stream}" for stream in ("out", "err"))
        pid = self.ask(argv=argv, cwd=str(cwd), env=dict(env), stdout=str(stdout), stderr=str(stderr))
        return Run(self, argv, pid, stdout, stderr)

    def run(self, *argv, cwd=REPOSITORY, env=(), timeout=500) -> subprocess.CompletedProcess:
        """Runs the same to its end."""
        run = self.start(*argv, cwd=cwd, env=env)
        try:
            status = run.wait(timeout)
        finally:
            run.kill()
        return subprocess.CompletedProcess(run.argv, status, run.stdout.read_text(), run.stderr.read_text())

    def ask(self, **request):
        self._helper.stdin.write(f"{json.dumps(request)}\n")
        self._helper.stdin.flush()
        answer = self._helper.stdout.readline()
        if not answer:
            raise RuntimeError(f"tests.warm ended: {(self._folder / 'helper.err').read_text()}")
        return json.loads(answer)


class Run:
    """A started program: `pid`, and `stdout` and `stderr`, the files that its output goes to."""

    def __init__(self, warm, argv, pid, stdout, stderr):
        self.argv, self.pid, self.stdout, self.stderr = argv, pid, stdout, stderr
        self._warm, self._status = warm, None

    def poll(self) -> int | None:
        """Its exit status, the negative number of the signal that ended it, or None as long as it runs."""
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
        if self.poll() is None:  # only polling frees its number for another process
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve() -> dict | None:
    """Answers requests, one at a time, until there are no more; in each child it returns what to run there."""
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
                ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with the helper,
                if os.getppid() != helper:  # which may have ended before
                    os._exit(1)
                return request
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return None


def _run(argv, cwd, env, stdout, stderr):
    """Becomes the process that a shell would have started, and runs its program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.update(env)
    if argv[0] in ("python", sys.executable):
        argv = argv[1:]
    else:
        argv[0] = COMMANDS / argv[0]
    script = os.path.abspath(argv[0])
    sys.argv, sys.path[0] = [script, *argv[1:]], os.path.dirname(os.path.realpath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as the commands do
    import keras
    import tensorflow
    import tensorflow_datasets
    import tensorflow_hub
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests; the helper ends when they close its input
    gc.freeze()
    request = _serve()
    if request is not None:
        _run(**request)
