"""Images for training and validation: sources yield pairs, a store keeps them decoded, patches make batches.

LR images come from the source, or `degradations` makes them for each patch; only that module imports TensorFlow.
"""

from esrgan_tf.data.cache import open_store
from esrgan_tf.data.div2k import div2k_source
from esrgan_tf.data.folder import folder_source
from esrgan_tf.data.patches import Patches
from esrgan_tf.data.store import Images, ImageStore, Source
from esrgan_tf.data.synthetic import synthetic_source

__all__ = [
    "ImageStore",
    "Images",
    "Patches",
    "Source",
    "div2k_source",
    "folder_source",
    "open_store",
    "synthetic_source",
]
