"""Progress of a command on many images as lines for logs, in place of the terminal's progress bar."""

import contextlib
import math
import time
from collections.abc import Callable

EVERY = 10.0  # seconds between two lines, and before the first


class Lines:
    """Prints lines about one image after another, with the methods of a `tqdm` per image.

    Args:
        images: number of images.
        say: called with each line.
    """

    def __init__(self, images: int, say: Callable[[str], None]):
        self._images, self._say = images, say
        self._start = self._printed = time.monotonic()
        self._title, self._total, self._image_start = "", 0, self._start
        self.n = 0  # finished pixels, tqdm's name

    def begin(self, title: str) -> "Lines":
        """Starts the next image."""
        self._title = title
        return self

    def reset(self, total: int) -> None:
        """Sets the number of pixels of the image."""
        self._total, self.n, self._image_start = total, 0, time.monotonic()

    def update(self, pixels: int) -> None:
        """Adds finished pixels."""
        self.n += pixels
        share = self.n / self._total
        self._print_progress(f"{self._title}: {100 * share:.0f}%", self._image_start, share)

    def finished(self, images: int) -> None:
        """Reports the number of finished images, including failed images."""
        if images < self._images:
            self._print_progress(f"{images} of {self._images} images", self._start, images / self._images)

    def _print_progress(self, text, start, share):
        now = time.monotonic()
        if 0 < share < 1 and now - self._printed >= EVERY:
            self._printed = now
            with contextlib.suppress(OSError):  # a closed pipe must not end the work
                self._say(f"{text}, {duration((now - start) * (1 / share - 1))} left")


def duration(seconds: float) -> str:
    """Formats seconds, rounded up: `9 s`, `2 min 5 s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
