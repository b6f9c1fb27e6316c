"""`python export.py …` is `esrgan-tf export …`."""

import sys

from esrgan_tf.cli.main import main

sys.exit(main(["export", *sys.argv[1:]]))
