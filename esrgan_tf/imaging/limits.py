"""What is refused alike wherever images are read."""

from esrgan_tf.errors import UserError

MAX_PIXELS = 2**28  # more is taken for a decompression bomb: 268 million, ten times a large camera's


def check_size(width: int, height: int) -> None:
    """Refuses decompression bombs.

    Raises:
        UserError: more pixels than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise UserError(f"it claims {width}x{height} pixels, more than the {MAX_PIXELS:,} accepted; cut it up")
