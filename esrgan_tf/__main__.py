"""`python -m esrgan_tf COMMAND …` is `esrgan-tf COMMAND …`."""

from esrgan_tf.cli.main import entry_point

entry_point()
