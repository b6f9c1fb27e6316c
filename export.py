"""`python export.py …` is `esrgan-tf export …`."""

import sys

from esrgan_tf.cli.main import entry_point

sys.argv.insert(1, "export")
entry_point()
