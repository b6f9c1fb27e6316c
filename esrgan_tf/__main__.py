"""`python -m esrgan_tf …` is `esrgan-tf …`."""

from esrgan_tf.cli.main import entry_point

if __name__ == "__main__":
    entry_point()
