"""PSNR and SSIM, under the name that programs import them by."""

from esrgan_tf.evaluation.metrics import psnr, ssim

__all__ = ["psnr", "ssim"]
