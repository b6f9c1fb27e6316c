"""PSNR and SSIM under their public import path."""

from esrgan_tf.evaluation.metrics import psnr, ssim

__all__ = ["psnr", "ssim"]
