"""How far a command on many images is, for logs: what a bar shows on a terminal, as a line now and then."""

import contextlib
import math
import time
from collections.abc import Callable

EVERY = 10.0  # seconds from one line to the next, and until the first


class Lines:
    """Says lines about one image after another; used in place of a `tqdm` of each.

    Args:
        images: how many there are.
        say: called with each line.
    """

    def __init__(self, images: int, say: Callable[[str], None]):
        self._images, self._say = images, say
        self._began = self._said = time.monotonic()
        self._title, self._total, self._image_began = "", 0, self._began
        self.n = 0  # pixels done, as of tqdm

    def begin(self, title: str) -> "Lines":
        """The next image, by its name."""
        self._title = title
        return self

    def reset(self, total: int) -> None:
        """It has `total` pixels, and they are begun."""
        self._total, self.n, self._image_began = total, 0, time.monotonic()

    def update(self, pixels: int) -> None:
        """So many more are done."""
        self.n += pixels
        share = self.n / self._total
        self._now(f"{self._title}: {100 * share:.0f}%", self._image_began, share)

    def finished(self, images: int) -> None:
        """So many images are done, failed ones included."""
        if images < self._images:
            self._now(f"{images} of {self._images} images", self._began, images / self._images)

    def _now(self, text, began, share):
        now = time.monotonic()
        if 0 < share < 1 and now - self._said >= EVERY:
            self._said = now
            with contextlib.suppress(OSError):  # whoever read it may be gone; the work goes on
                self._say(f"{text}, {duration((now - began) * (1 / share - 1))} left")


def duration(seconds: float) -> str:
    """Whole seconds, rounded up, and minutes from one on: `9 s`, `2 min 5 s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
