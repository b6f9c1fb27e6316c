"""Independent computations in plain NumPy, for comparison with the project's computations."""

import numpy as np


def conv2d(x, kernel, bias=None, stride=1, padding=1):
    """`[B, H, W, I]` with a kernel `[k, k, I, O]`, padded with zeros on every side."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    y = np.einsum("bhwikl,klio->bhwo", windows, kernel, optimize=True)
    return y if bias is None else y + bias


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def nearest_x2(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def batch_norm(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def pixel_unshuffle(x, r):
    """`[B, H, W, C]` to `[B, H / r, W / r, r * r * C]`, channels in the order (i, j, c)."""
    b, h, w, c = x.shape
    return x.reshape(b, h // r, r, w // r, r, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // r, w // r, r * r * c)


def pixel_shuffle(x, r):
    """`[B, H, W, r * r * C]` to `[B, r * H, r * W, C]`, channels in the order (i, j, c)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, r, r, c // r**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, h * r, w * r, c // r**2)


def rrdb(weights, image, blocks, scale=4, residual_scale=0.2, unshuffle=None):
    """RRDBNet, or ESRGAN+ if it has 1x1 convolutions, from `{"layer/kernel" or "layer/bias": array}`, in float64."""

    def conv(x, name):
        return conv2d(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])

    def dense_block(x, name):
        features = [x]
        for k in (1, 2, 3, 4):
            features.append(leaky_relu(conv(np.concatenate(features, axis=-1), f"{name}_conv{k}")))
            if k == 2 and f"{name}_conv1x1/kernel" in weights:
                features[2] = features[2] + x @ weights[f"{name}_conv1x1/kernel"][0, 0]
            if k == 4 and f"{name}_conv1x1/kernel" in weights:
                features[4] = features[4] + features[2]
        return x + residual_scale * conv(np.concatenate(features, axis=-1), f"{name}_conv5")

    r = unshuffle or max(1, 4 // scale)
    shallow = x = conv(pixel_unshuffle(image, r), "conv_first")
    for i in range(blocks):
        y = x
        for j in (1, 2, 3):
            y = dense_block(y, f"body_{i}_rdb{j}")
        x = x + residual_scale * y
    x = shallow + conv(x, "conv_body")
    stage = 1
    while f"conv_up{stage}/kernel" in weights:
        x = leaky_relu(conv(nearest_x2(x), f"conv_up{stage}"))
        stage += 1
    return conv(leaky_relu(conv(x, "conv_hr")), "conv_last")


def compact(weights, image, blocks, scale):
    """SRVGGNetCompact from `{"layer/kernel", "layer/bias" or "layer/alpha": array}`, in float64."""
    x = image
    for i in range(blocks + 2):
        x = conv2d(x, weights[f"body_{2 * i}/kernel"], weights[f"body_{2 * i}/bias"])
        if i <= blocks:
            x = np.where(x > 0, x, weights[f"body_{2 * i + 1}/alpha"][0, 0] * x)
    return image.repeat(scale, axis=1).repeat(scale, axis=2) + pixel_shuffle(x, scale)


def residual(weights, image, blocks, scale, tail=False):
    """Compact ResNet from `{"layer/kernel" or "layer/bias": array}`, in float64."""

    def conv(x, name):
        return conv2d(x, weights[f"{name}/kernel"], weights[f"{name}/bias"])

    shallow = x = conv(image, "conv_first")
    for i in range(blocks):
        y = conv(x, f"body_{i}_0")
        x = x + conv(np.where(y > 0, y, 0.1 * y), f"body_{i}_2")
    x = shallow + conv(x, "conv_body")
    if tail:
        y = pixel_shuffle(conv(x, "conv_up"), scale)
        x = conv(np.where(y > 0, y, 0.1 * y), "conv_last")
    else:
        x = pixel_shuffle(conv(x, "conv_last"), scale)
    return image.repeat(scale, axis=1).repeat(scale, axis=2) + x


def sigmoid_cross_entropy(logits, label):
    p = 1.0 / (1.0 + np.exp(-logits))
    return float(np.mean(-(label * np.log(p) + (1 - label) * np.log(1 - p))))


def eight_bits(image):
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def measures(hr, sr, border):
    """The protocol of super-resolution papers in full: `{"psnr_y": …, "ssim_y": …, "psnr_rgb": …, …}`."""
    inside = (slice(border, -border), slice(border, -border))
    result = {}
    for name in ("y", "rgb"):
        a, b = (image[inside].astype(np.float64) for image in (hr, sr))
        if name == "y":  # ITU-R BT.601, studio range, from 8-bit RGB
            a, b = (16 + (65.481 * i[..., :1] + 128.553 * i[..., 1:2] + 24.966 * i[..., 2:]) / 255 for i in (a, b))
        result[f"psnr_{name}"] = 20 * np.log10(255 / np.sqrt(np.mean((a - b) ** 2)))
        result[f"ssim_{name}"] = np.mean([_ssim(a[..., c], b[..., c]) for c in range(a.shape[2])])
    return result


def _ssim(a, b):
    """SSIM of Wang et al. (2004), with an 11x11 window as a two-dimensional sum."""
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image):
        return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(image, (11, 11)), window)

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.mean(
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    )
