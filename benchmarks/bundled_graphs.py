"""Writes the OpenVINO graphs of the bundled models beside their weights.

python -m benchmarks.bundled_graphs
"""

from esrgan_tf import load_model
from esrgan_tf.inference.engines.openvino_graph import convert_generator, save_graph
from esrgan_tf.weights.bundled import bundled_models


def main() -> None:
    for name, bundled in bundled_models().items():
        save_graph(convert_generator(load_model(name)), bundled.path.with_suffix(".xml"))


if __name__ == "__main__":
    main()
