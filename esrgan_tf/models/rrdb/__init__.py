"""RRDBNet, the generator of ESRGAN and Real-ESRGAN."""

from esrgan_tf.models.family import Family
from esrgan_tf.models.rrdb import torch_mapping
from esrgan_tf.models.rrdb.options import RRDB

FAMILY = Family(RRDB, torch_mapping, "rrdb_generator")
