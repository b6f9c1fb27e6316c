"""Seconds and memory of this package, PyTorch, ONNX Runtime and OpenVINO, and their ratios.

    pip install -c constraints.txt '.[dev,peers]'
    python -m benchmarks.peers [--only 64x64] [--rounds 3] [--precision bfloat16]

Each row runs in a new process, with equal networks and weights; the programs run in turns, `--rounds` times. Seconds
are the median of the rounds' medians of seven calls. Memory is the peak minus the memory after the imports. PyTorch
runs with channels last, in inference mode, with autocast for bfloat16.

The limit is the time of the network's multiplications at the speed of PyTorch's fastest 3x3 convolution on this
machine. Steps are of phase `psnr`, with Adam and an EMA of the weights. A whole command lasts from the start of Python
to the PNG file, and its memory is the process's peak; PyTorch's command is benchmarks/pytorch_upscale.py. Run nothing
else on the machine meanwhile.

On a machine with an NVIDIA GPU the rows are the GPU's: 16 images per call, PyTorch also compiled, and the GPU's peak
memory. Images per second are 16 divided by the seconds.
"""

import argparse
import functools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

TIMES = 7
FULL, NARROW = {}, {"filters": 32, "blocks": 5, "growth": 16}
# A network of tests/torch_reference.py, its sizes, the width and height of images or patches, images per call.
INFERENCE = {
    "RRDBNet 64x64": ("BasicSR", FULL, 64, 1),
    "RRDBNet 256x256": ("BasicSR", FULL, 256, 1),
    "compact 256x256": ("Compact", {"blocks": 32}, 256, 1),
    "bundled 256x256": ("CompactResNet", FULL, 256, 1),
}
STEPS = {
    "step, full, 4 of 128x128": ("BasicSR", FULL, 32, 4),
    "step, 32/5/16, 16 of 128x128": ("BasicSR", NARROW, 32, 16),
}
COMMANDS = {"photo of 1024x683, bundled, whole command": ("CompactResNet", FULL, 1024, 1)}
CASES = INFERENCE | STEPS | COMMANDS
BOTH = ("float32", "bfloat16")
PRECISIONS = {"ours": BOTH, "PyTorch": BOTH, "OpenVINO": BOTH, "ONNX Runtime": ("float32",)}
STEP_PRECISIONS = {"ours": BOTH, "ours, gradient checkpointing": BOTH, "PyTorch": BOTH}
COMMAND_PRECISIONS = {"esrgan-tf upscale": BOTH, "PyTorch script": BOTH}


PROGRAMS = ((INFERENCE, PRECISIONS), (STEPS, STEP_PRECISIONS), (COMMANDS, COMMAND_PRECISIONS))
# A GPU runs 16 images per call, and no programs that support only CPUs.
ON_GPU = Path("/dev/nvidia0").exists()
GPU_PRECISIONS = {"ours": BOTH, "PyTorch": BOTH, "PyTorch, compiled": BOTH}
if ON_GPU:
    CASES = {name: (*sizes, 16) for name, (*sizes, _) in CASES.items()}
    PROGRAMS = ((INFERENCE | STEPS, GPU_PRECISIONS),)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run only cases with this text in their name")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=BOTH, action="append", help="by default both")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        case, program, precision, folder = arguments.child
        print(json.dumps(CHILDREN[program](case, precision, Path(folder))))
        return
    print(f"{os.cpu_count()} cores of {processor()}; bfloat16 instructions: {'yes' if has_bfloat16() else 'no'}")
    with tempfile.TemporaryDirectory() as folder:
        limit = child("", "limit", "float32", folder)["flops"]
        print(f"the limit: {limit / 1e9:.0f} GFLOP/s\n")
        print(
            "| case | precision | program | seconds | ratio to ours | memory, MB | ratio to ours |\n| --- "
            + "| --- " * 6
            + "|"
        )
        for case in (case for case in CASES if arguments.only in case and not (ON_GPU and case in COMMANDS)):
            flops = child(case, "weights", "float32", folder)["flops"]
            programs = next(programs for cases, programs in PROGRAMS if case in cases)
            for precision in arguments.precision or BOTH:
                print_rows(case, precision, programs, arguments.rounds, flops / limit, folder)


def print_rows(case, precision, programs, rounds, limit, folder):
    found = {program: [] for program, known in programs.items() if precision in known}
    for _ in range(rounds):
        for program, results in found.items():
            results.append(child(case, program, precision, folder))
    seconds = {program: statistics.median(r["seconds"] for r in results) for program, results in found.items()}
    memory = {program: statistics.median(r["memory"] for r in results) for program, results in found.items()}
    if precision == "float32" and case not in COMMANDS and not ON_GPU:  # the limit is the CPU's
        print(f"| {case} | float32 | the limit | {limit:.3f} | {limit / seconds['ours']:.2f} | | |")
    for program in found:
        ratios = [mine[program] / mine[next(iter(found))] for mine in (seconds, memory)]
        times, space = (f"{ratio:.2f}" for ratio in ratios)
        row = (case, precision, program, f"{seconds[program]:.3f}", times, f"{memory[program]:.0f}", space)
        print(f"| {' | '.join(row)} |", flush=True)


def child(case, program, precision, folder):
    command = [sys.executable, "-m", "benchmarks.peers", "--child", case, program, precision, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{case}, {program}, {precision}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(call, before, times=TIMES):
    """Median seconds of `times` calls after a warm-up call, and MB of memory above `before`, the peak after imports."""
    call()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return {"seconds": statistics.median(seconds), "memory": (peak() - before) / 1e6}


def peak():
    """The peak memory of this process, or of the GPU, in bytes."""
    if ON_GPU:
        if "torch" in sys.modules:
            return sys.modules["torch"].cuda.max_memory_allocated()
        tensorflow = sys.modules.get("tensorflow")
        return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"] if tensorflow else 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def images(case):
    _, _, side, count = CASES[case]
    rng = np.random.default_rng(0)
    lr = rng.random((count, side, side, 3), dtype=np.float32)
    return (lr, rng.random((count, 4 * side, 4 * side, 3), dtype=np.float32)) if case in STEPS else lr


def torch_network(case, folder):
    """The case's network, with the weights of all programs if their file exists."""
    from safetensors.torch import load_file

    from tests import torch_reference

    name, sizes, _, _ = CASES[case]
    network = getattr(torch_reference, name)(**sizes)
    path = folder / "weights.safetensors"
    if path.exists():
        network.load_state_dict(load_file(path))
    return network


def write_weights(case, precision, folder):
    """Writes the weights and the network as ONNX, and returns its floating-point operations per call."""
    if case in COMMANDS:
        case = "bundled 256x256"  # has the command's network
    import torch
    from safetensors.torch import save_file

    for path in folder.iterdir():
        path.unlink()
    network = torch_network(case, folder)
    save_file(network.state_dict(), folder / "weights.safetensors")
    total = [0]

    def count(layer, _, output):
        total[0] += 2 * output.shape[0] * output[0, 0].numel() * layer.weight.numel()

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    lr = images(case)
    lr = torch.from_numpy((lr[0] if case in STEPS else lr).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        network(lr)
    if case in INFERENCE:
        plain = torch_network(case, folder).eval()
        torch.onnx.export(plain, (lr,), folder / "network.onnx", dynamo=True, external_data=False)
    return {"flops": total[0] * (3 if case in STEPS else 1)}


def fastest_convolution(case, precision, folder):
    import torch

    best = 0.0
    for channels in (64, 96, 128, 192):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        x = torch.rand(1, channels, 128, 128).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            seconds = measured(lambda layer=layer, x=x: layer(x), 0, 15)["seconds"]
        best = max(best, 2 * 128 * 128 * layer.weight.numel() / seconds)
    return {"flops": best}


def ours(case, precision, folder):

    from esrgan_tf import load_model

    before = peak()
    model = load_model(folder / "weights.safetensors")
    if case in STEPS:
        return our_step(case, precision, model, before, "none")
    from esrgan_tf.inference.tiles import Upscaler

    upscaler = Upscaler(model, precision=precision)
    lr = images(case)
    return measured(lambda: upscaler._runner(lr), before)


def ours_with_checkpointing(case, precision, folder):
    from esrgan_tf import load_model

    before = peak()
    return our_step(case, precision, load_model(folder / "weights.safetensors"), before, "blocks")


def our_step(case, precision, model, before, gradient_checkpointing):
    import tensorflow as tf

    from esrgan_tf.config import load_config
    from esrgan_tf.training.building import build_phase
    from esrgan_tf.training.train_step import TrainStep

    _, sizes, _, _ = CASES[case]
    chosen = [f"generator.{key}={value}" for key, value in sizes.items()]
    policy = "float32" if precision == "float32" else "mixed_bfloat16"
    chosen += [f"runtime.precision={policy}", f"runtime.gradient_checkpointing={gradient_checkpointing}"]
    config = load_config(None, chosen)
    strategy = tf.distribute.MirroredStrategy(["GPU:0" if ON_GPU else "CPU:0"])
    with strategy.scope():
        phase = build_phase("psnr", config, (Path("weights"), model))
    step = TrainStep(phase, strategy, config.runtime)
    lr, hr = (tf.constant(np.rint(255 * x).astype(np.uint8)) for x in images(case))
    return measured(lambda: step(lr, hr, tf.constant(0.0)).numpy(), before)


def pytorch(case, precision, folder, compiled=False):
    import torch

    before, device = peak(), "cuda" if ON_GPU else "cpu"
    network = torch_network(case, folder).to(device, memory_format=torch.channels_last)
    forward = torch.compile(network) if compiled else network
    autocast = torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")

    def to_device(x):
        return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(device, memory_format=torch.channels_last)

    if case in INFERENCE:
        lr = to_device(images(case))
        network.eval()
        with torch.inference_mode(), autocast:
            return measured(lambda: forward(lr).float().cpu().numpy(), before)
    lr, hr = map(to_device, images(case))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    average = [p.detach().clone() for p in network.parameters()]

    def step():
        optimizer.zero_grad()
        with autocast:
            loss = (forward(lr).float() - hr).abs().mean()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, p in zip(average, network.parameters(), strict=True):
                mean.lerp_(p, 0.001)
        return loss.item()

    return measured(step, before)


def onnx_runtime(case, precision, folder):
    import onnxruntime

    before = peak()
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    lr = np.ascontiguousarray(images(case).transpose(0, 3, 1, 2))
    name = session.get_inputs()[0].name
    return measured(lambda: session.run(None, {name: lr}), before)


def open_vino(case, precision, folder):
    import openvino

    before = peak()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16"}
    network = openvino.Core().compile_model(folder / "network.onnx", "CPU", hints)
    lr = np.ascontiguousarray(images(case).transpose(0, 3, 1, 2))
    return measured(lambda: network([lr])[0], before)


def our_command(case, precision, folder):
    program = Path(sys.executable).with_name("esrgan-tf")
    weights = folder / "weights.safetensors"
    return whole_command(program, "upscale", photo(folder), "--model", weights, "--precision", precision, folder=folder)


def pytorch_command(case, precision, folder):
    program = ("-m", "benchmarks.pytorch_upscale", CASES[case][0], folder / "weights.safetensors", photo(folder))
    return whole_command(sys.executable, *program, folder / "photo_x4.png", precision, folder=folder)


def photo(folder):
    import skimage.data
    from PIL import Image

    path = folder / "photo.png"
    Image.fromarray(skimage.data.astronaut()).resize((1024, 683), Image.Resampling.BICUBIC).save(path)
    return path


def whole_command(*command, folder):
    from benchmarks.conversion import measure

    seconds, megabytes = measure(*map(str, command), cwd=Path.cwd())
    (folder / "photo_x4.png").unlink()
    return {"seconds": seconds, "memory": megabytes}


CHILDREN = {
    "limit": fastest_convolution, "weights": write_weights, "ours": ours, "PyTorch": pytorch, "OpenVINO": open_vino,
    "ONNX Runtime": onnx_runtime, "ours, gradient checkpointing": ours_with_checkpointing,
    "esrgan-tf upscale": our_command, "PyTorch script": pytorch_command,
    "PyTorch, compiled": functools.partial(pytorch, compiled=True),
}  # fmt: skip


def processor():
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1] for line in info.read_text(encoding="utf-8").splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0].strip() if names else platform.processor()


def has_bfloat16():
    info = Path("/proc/cpuinfo")
    return info.exists() and any(flag in info.read_text(encoding="utf-8") for flag in ("avx512_bf16", "amx_bf16"))


if __name__ == "__main__":
    main()
