"""Training: one loop, and one step file for each phase."""

from esrgan_tf.training.checkpoints import Diverged
from esrgan_tf.training.gan_step import GanStep
from esrgan_tf.training.loop import Phase, Stopped, run_phase
from esrgan_tf.training.psnr_step import PsnrStep

__all__ = ["Diverged", "GanStep", "Phase", "PsnrStep", "Stopped", "run_phase"]
