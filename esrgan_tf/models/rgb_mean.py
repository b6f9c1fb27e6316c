"""The mean colour of DIV2K's training images; EDSR, RCAN and SPAN subtract it, EDSR and RCAN add it at the end.

The mean is a constant, not a weight. These networks compute with colours from 0 to 255, as the downloadable weights
require.
"""

import numpy as np

from esrgan_tf.models.torch_tensors import Tensors, constant

RGB_MEAN = (0.4488, 0.4371, 0.4040)


def mean_tensors() -> Tensors:
    """Two 1x1 convolutions that are not trained, which store the mean in the authors' files of EDSR and RCAN."""
    result: Tensors = {}
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        result |= constant(f"{name}.weight", (1, 0, 0, 0, 1, 0, 0, 0, 1), (3, 3, 1, 1))
        bias = sign * np.float32(255) * np.array(RGB_MEAN, np.float32)  # rounded as PyTorch does
        result |= constant(f"{name}.bias", tuple(bias.tolist()), (3,))
    return result
