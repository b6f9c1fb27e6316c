"""`python train.py …` is `esrgan-tf train …`."""

import sys

from esrgan_tf.cli.main import main

sys.exit(main(["train", *sys.argv[1:]]))
