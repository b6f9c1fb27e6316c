"""Image files in and out, for training and for people; what is measured on them and done to them."""

import os

# libvips writes warnings on damaged files straight to standard error, beside the one line that we say. It reads this
# when it is first imported, by whichever module of this package that is.
os.environ.setdefault("VIPS_WARNING", "0")
