"""Runs files in LiteRT, ONNX Runtime and OpenVINO, without TensorFlow; `benchmarks/export_formats.py` starts it.

    python benchmarks/runtimes.py FOLDER '{"LiteRT": ["model.tflite", 5]}'

The value of a runtime is the model's file and a number of runs. The program prints the median seconds per runtime, and
writes each runtime's result of `FOLDER/image.npy` to that folder.
"""

import json
import os
import statistics
import sys
import time

import numpy as np

FLOAT = "serving_default"
OUTPUT = "super_resolution"


def measured(run, rounds):
    """The result of `run`, and the median seconds of `rounds` runs after a warm-up run."""
    result, seconds = run(), []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return result, statistics.median(seconds) if seconds else None


def litert(path, image, signature):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=os.cpu_count()).get_signature_runner(signature)
    return lambda: runner(image=image)[OUTPUT]


def onnx_runtime(path, image, signature):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return lambda: session.run([OUTPUT], {"image": image})[0]


def openvino(path, image, signature):
    import openvino as ov

    model = ov.compile_model(ov.convert_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda: model(image)[0]


def main(folder, files):
    seconds = {}
    for kind, (path, rounds) in files.items():
        runtime, _, variant = kind.partition(", ")
        signature = variant if variant == "uint8" else FLOAT
        pixels = np.load(f"{folder}/image.npy")
        image = pixels if signature == "uint8" else pixels.astype(np.float32)
        start = {"LiteRT": litert, "ONNX Runtime": onnx_runtime, "OpenVINO": openvino}[runtime]
        result, seconds[kind] = measured(start(path, image, signature), rounds)
        np.save(f"{folder}/{kind}.npy", result)
    print(json.dumps(seconds))


if __name__ == "__main__":
    sys.modules |= dict.fromkeys(("tensorflow", "keras", "esrgan_tf"))
    main(sys.argv[1], json.loads(sys.argv[2]))
