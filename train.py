"""`python train.py …` is `esrgan-tf train …`."""

import sys

from esrgan_tf.cli.main import entry_point

sys.argv.insert(1, "train")
entry_point()
