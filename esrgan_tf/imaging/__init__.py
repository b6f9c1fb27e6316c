"""Reading and writing of image files and their metadata, filters and resampling."""

import os

# libvips writes warnings on damaged files to standard error, besides our line. It reads this variable at the first
# import, in any module of this package.
os.environ.setdefault("VIPS_WARNING", "0")
