"""Upscaling of a photo with PyTorch alone, the script that `benchmarks.peers` compares with `esrgan-tf upscale`.

    python -m benchmarks.pytorch_upscale NETWORK WEIGHTS PHOTO OUTPUT float32|bfloat16

NETWORK is a class of tests/torch_reference.py. The script upscales the whole photo at once, without tiles.
"""

import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from tests import torch_reference


def main():
    name, weights, photo, output, precision = sys.argv[1:]
    network = getattr(torch_reference, name)().eval()
    network.load_state_dict(load_file(weights))
    network = network.to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(np.asarray(Image.open(photo).convert("RGB"))).permute(2, 0, 1)[None]
    image = (pixels.float() / 255).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        upscaled = network(image)[0].float()
    upscaled = (255 * upscaled).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
    Image.fromarray(upscaled.numpy()).save(output)


if __name__ == "__main__":
    main()
