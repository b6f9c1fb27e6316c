"""Training: one loop, the step over all devices, and one file for what each phase learns from."""

from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loop import run_phase
from esrgan_tf.training.psnr_step import PsnrStep
from esrgan_tf.training.train_step import Phase

__all__ = [
    "GanStep",
    "Phase",
    "PsnrStep",
    "run_phase",
]
