"""What is refused alike wherever images are read."""

from esrgan_tf.errors import UserError

MOST_PIXELS = 2**28  # more is taken for a decompression bomb: 268 million, ten times a large camera's


def check_size(width: int, height: int) -> None:
    """Refuses decompression bombs.

    Raises:
        UserError: more pixels than `MOST_PIXELS`.
    """
    if width * height > MOST_PIXELS:
        raise UserError(f"it claims {width}x{height} pixels, more than the {MOST_PIXELS:,} accepted; cut it up")
