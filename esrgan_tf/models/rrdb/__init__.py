"""RRDBNet, the generator of ESRGAN and Real-ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.rrdb import names
from esrgan_tf.models.rrdb.options import RRDB

FAMILY = Family(RRDB, names, "rrdb_generator")
