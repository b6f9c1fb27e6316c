"""The mean colour of DIV2K's training images, which networks of EDSR's kind subtract first and add at the end.

It is fixed, no weight. Such networks compute in colours of 0 to 255, and published kernels expect that.
"""

import numpy as np

from esrgan_tf.models.torch_tensors import Tensors, constant

RGB_MEAN = (0.4488, 0.4371, 0.4040)


def mean_tensors() -> Tensors:
    """What the authors' files of EDSR and RCAN hold of it: two 1x1 convolutions that are not trained."""
    result: Tensors = {}
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        result |= constant(f"{name}.weight", (1, 0, 0, 0, 1, 0, 0, 0, 1), (3, 3, 1, 1))
        bias = sign * np.float32(255) * np.array(RGB_MEAN, np.float32)  # rounded as PyTorch does
        result |= constant(f"{name}.bias", tuple(bias.tolist()), (3,))
    return result
