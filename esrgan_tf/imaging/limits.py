"""The size limit of images that are read."""

from esrgan_tf.errors import UserError

MAX_PIXELS = 2**28  # 268 million; larger images are refused as decompression bombs


def check_size(width: int, height: int) -> None:
    """Refuses decompression bombs.

    Raises:
        UserError: the image has more pixels than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise UserError(f"it claims {width}x{height} pixels, more than the {MAX_PIXELS:,} accepted; cut it up")
