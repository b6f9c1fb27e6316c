"""The sections of a configuration. What a key means stands with it here; `make keys` writes it into `config.yaml`."""

from dataclasses import dataclass, field
from typing import Annotated

from esrgan_tf.models import DISCRIMINATORS, rrdb, vgg_style
from esrgan_tf.models.family import DiscriminatorOptions, GeneratorOptions, Positive
from esrgan_tf.schema import AtLeast, Between, OneOf, Pair, Probability, Weights

_KERNEL_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
_CUTOFF, _CUTOFF_LARGE = (1 / 3, 1.0), (1 / 5, 1.0)
NotNegative = Annotated[int, AtLeast(0)]
Weight = Annotated[float, AtLeast(0)]
Rate = Annotated[float, Between(1e-12, 1)]
KernelSizes = Annotated[tuple[int, ...], Between(3, 51), "pixels on a side, each as likely"]
Cutoff = Annotated[Pair, Between(0.01, 1), "of pi radians a pixel, uniform"]
Shape = Annotated[Pair, AtLeast(0.01)]
Strength = Annotated[Pair, AtLeast(0)]
Resizing = Annotated[Pair, Between(0.01, 4)]
Optimizer = Annotated[str, OneOf("adam", muon="Jordan et al., 2024: further where steps are few")]
Clip = Annotated[float | None, AtLeast(1e-12)]
Norm = Annotated[str, OneOf(l1="absolute", l2="squared")]
Beta = Annotated[float, Between(0, 0.999999)]


@dataclass(frozen=True)
class DataConfig:
    source: Annotated[str, OneOf("div2k", folder="your images", synthetic="made from a seed, no download")] = "div2k"
    data_dir: Annotated[str, "div2k: where TensorFlow Datasets keeps it (tfds' own default)"] = "~/tensorflow_datasets"
    hr_dir: Annotated[str | None, "folder: high-resolution images, any format that upscale reads"] = None
    lr_dir: Annotated[str | None, "folder: their low-resolution partners; null makes them (antialiased bicubic)"] = None
    val_hr_dir: Annotated[
        str | None, "validation images of your own, for any source; null: the source's, if it has some"
    ] = None
    val_lr_dir: Annotated[str | None, "their low-resolution partners; null makes them"] = None
    skip_unreadable: Annotated[
        bool,
        "folders: true names images that cannot be read, or do not fit their partner, and leaves them out; false "
        "refuses them",
    ] = False
    hr_patch: Annotated[
        Positive,
        "pixels on a side of a high-resolution patch; divisible by the scale, and for gan by what the discriminator "
        f"needs: {', '.join(f'{name} {family.options.multiple}' for name, family in DISCRIMINATORS.items())}",
    ] = 128
    batch_size: Annotated[Positive, "patches a step, over all devices together"] = 16
    cache_dir: Annotated[
        str,
        "decoded images, 8 bits per channel: DIV2K takes 7 GB. The least recently used ones are deleted when all take "
        "more than half of what the disk could give",
    ] = "~/.cache/esrgan_tf"


@dataclass(frozen=True)
class DegradationConfig:
    kind: Annotated[
        str,
        OneOf(
            "none",
            jpeg="of degradation_2.jpeg_quality: SRGAN's",
            noise="Gaussian, of degradation_2.gaussian_sigma; a network that takes a noise level is told it: DPSR's",
            second_order="Real-ESRGAN's: arXiv 2107.10833, section 3; its values are those of the authors' code and "
            "options/train_realesrgan_x4plus.yml, but for the margin",
        ),
        "low resolution is then made from hr_dir, or with jpeg compressed, with noise spoilt, also to validate on, "
        "unless val_lr_dir holds it; `esrgan-tf degrade` shows what two rounds do",
    ] = "none"
    margin: Annotated[
        NotNegative,
        "pixels that a patch is larger while it is degraded, then cut from anywhere in it, so that JPEG's blocks and "
        "reflected borders are not always in one place; the authors have 144, which is 1.9 times the work",
    ] = 32
    clean_probability: Annotated[
        Probability,
        "of a patch that stays the clean reduction, so that the network keeps what is good; the paper has none",
    ] = 0.0
    sharpen: Annotated[bool, "by unsharp masking, before anything else"] = True
    sinc_probability: Annotated[Probability, "of the last filter, which rings like much-edited images"] = 0.8
    sinc_sizes: KernelSizes = _KERNEL_SIZES
    sinc_cutoff: Cutoff = _CUTOFF
    jpeg_last: Annotated[
        Probability, "probability that JPEG follows the last resize and filter; else it comes before"
    ] = 0.5


@dataclass(frozen=True)
class DegradationRoundConfig:
    blur_probability: Annotated[Probability, "of a filter at all"] = 1.0
    blur_sizes: KernelSizes = _KERNEL_SIZES
    blur_kinds: Annotated[Weights, "how likely each is, beside the others"] = field(
        default_factory=lambda: {
            "isotropic": 0.45,
            "anisotropic": 0.25,
            "generalised_isotropic": 0.12,
            "generalised_anisotropic": 0.03,
            "plateau_isotropic": 0.12,
            "plateau_anisotropic": 0.03,
        }
    )
    blur_sigma: Annotated[Shape, "pixels; anisotropic ones have two, and any direction"] = (0.2, 3.0)
    generalised_beta: Annotated[Shape, "shape; below and above 1 as likely"] = (0.5, 4.0)
    plateau_beta: Annotated[Shape, "the same; so half of them are exactly 1"] = (1.0, 2.0)
    sinc_probability: Annotated[Probability, "of a sinc filter instead of these"] = 0.1
    sinc_cutoff: Cutoff = _CUTOFF
    sinc_cutoff_large: Annotated[Cutoff, "of filters of 13 pixels and more"] = _CUTOFF_LARGE
    resize: Annotated[Weights, "how likely each is, beside the others"] = field(
        default_factory=lambda: {"up": 0.2, "down": 0.7, "keep": 0.1}
    )
    resize_scale: Annotated[
        Resizing, "down from the first number to 1, up from 1 to the second; of the image so far"
    ] = (0.15, 1.5)
    gaussian_probability: Annotated[Probability, "of Gaussian noise; else it is Poisson's"] = 0.5
    gaussian_sigma: Annotated[Strength, "of 255"] = (1.0, 30.0)
    poisson_scale: Annotated[Strength, "times the noise of light itself"] = (0.05, 3.0)
    gray_probability: Annotated[Probability, "of the same noise in all colours"] = 0.4
    jpeg_quality: Annotated[Pair, Between(1, 100), "of 100, the best"] = (30.0, 95.0)


@dataclass(frozen=True)
class SecondRoundConfig(DegradationRoundConfig):
    blur_probability: Probability = 0.8
    blur_sigma: Shape = (0.2, 1.5)
    resize: Weights = field(default_factory=lambda: {"up": 0.3, "down": 0.4, "keep": 0.3})
    resize_scale: Annotated[Resizing, "of the low resolution's size"] = (0.3, 1.2)
    gaussian_sigma: Strength = (1.0, 25.0)
    poisson_scale: Strength = (0.05, 2.5)


@dataclass(frozen=True)
class PhaseConfig:
    steps: Annotated[Positive, "how many the phase takes"] = 1_000_000
    optimizer: Optimizer = "adam"
    learning_rate: Annotated[Rate, "before it decays"] = 2e-4
    schedule: Annotated[str, OneOf(step="decay_rate at each of decay_steps", cosine="to 0 at the last step")] = "step"
    warmup_steps: Annotated[NotNegative, "steps over which the learning rate rises from 0; the paper has none"] = 0
    decay_steps: Annotated[tuple[int, ...], '"decayed by a factor of 2 every 2e5"'] = (
        200_000,
        400_000,
        600_000,
        800_000,
    )
    decay_rate: Annotated[Probability, "what multiplies the learning rate at each of decay_steps"] = 0.5
    beta_1: Annotated[Beta, "Adam's; muon is Adam for biases, the first and the last convolution"] = 0.9
    beta_2: Annotated[Beta, "Adam's; the authors' options, the paper leaves it open"] = 0.99
    ema_decay: Annotated[Beta, "moving average of the weights, a step; the authors' options. 0 turns it off"] = 0.999
    clip_norm: Annotated[Clip, "most that the norm of all gradients together may be; null: any, as in the paper"] = None
    pixel_weight: Annotated[Weight, "of the mean difference in [0, 1]"] = 1.0
    pixel_loss: Norm = "l1"
    sharpen_targets: Annotated[bool, "by unsharp masking, as Real-ESRGAN does"] = False


@dataclass(frozen=True)
class GanConfig(PhaseConfig):
    steps: Positive = 400_000
    optimizer: Annotated[Optimizer, "the generator's; the discriminator's is Adam"] = "adam"
    learning_rate: Annotated[Rate, "for both networks"] = 1e-4
    decay_steps: Annotated[tuple[int, ...], "halved at each"] = (50_000, 100_000, 200_000, 300_000)
    clip_norm: Annotated[Clip, "of each network's gradients"] = None
    pixel_weight: Annotated[Weight, "eta, section 3.3"] = 1e-2
    sharpen_targets: Annotated[
        bool, "for the pixel and perceptual losses; the discriminator sees images as they are"
    ] = False
    perceptual_weight: Annotated[Weight, "0 leaves VGG19 out, and its weights are not needed"] = 1.0
    checkerboard_weight: Annotated[
        Weight, "against a pattern that repeats with every input pixel, which texture may become"
    ] = 0.0
    random_shift: Annotated[
        NotNegative, "VGG19 and the discriminator see images rolled by up to so many pixels: against grids"
    ] = 0
    perceptual_layers: Annotated[
        Weights, "VGG19 layers and their weights: conv1_1 … conv5_4 before activation, relu1_1 … behind"
    ] = field(default_factory=lambda: {"conv5_4": 1.0})
    perceptual_loss: Norm = "l1"
    vgg_weights: Annotated[str, "imagenet (downloaded by Keras, 80 MB) | path of Keras' notop .h5 file"] = "imagenet"
    adversarial_weight: Annotated[Weight, "lambda, section 3.3"] = 5e-3
    adversarial_loss: Annotated[str, OneOf(relativistic="section 3.2", plain="")] = "relativistic"


@dataclass(frozen=True)
class RuntimeConfig:
    seed: Annotated[int, Between(0, 2**32 - 1), "decides weights, patches and synthetic images"] = 0
    deterministic: Annotated[bool, "the same bits each time on the same devices; costs 2 to 5 % on CPUs"] = True
    precision: Annotated[str, OneOf("float32", "mixed_bfloat16", "mixed_float16"), "weights stay float32"] = "float32"
    gradient_checkpointing: Annotated[
        str, "activations again for the gradients, for less memory", OneOf(none="", blocks="each residual block's")
    ] = "none"
    jit_compile: Annotated[str, "XLA", OneOf(auto="on for one GPU", on="", off="")] = "auto"
    log_every: Annotated[Positive, "steps"] = 100
    validate_every: Annotated[Positive, "steps; the authors' options"] = 5_000
    checkpoint_every: Annotated[Positive, "steps; a crash costs at most so many"] = 1_000
    keep_checkpoints: Annotated[Positive, "the newest so many are kept"] = 3


@dataclass(frozen=True)
class ExportConfig:
    alpha: Annotated[Probability, "network interpolation (section 3.4): 0 the PSNR network, 1 the GAN network"] = 0.8


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    degradation: Annotated[
        DegradationConfig, "how training spoils low resolution, so that the network learns to mend it"
    ] = field(default_factory=DegradationConfig)
    degradation_1: Annotated[
        DegradationRoundConfig, "the first round: blur, resize, noise, JPEG; ranges are uniform"
    ] = field(default_factory=DegradationRoundConfig)
    degradation_2: Annotated[DegradationRoundConfig, "the second round; keys as above"] = field(
        default_factory=SecondRoundConfig
    )
    generator: Annotated[
        GeneratorOptions, "section 3.1: 16,697,987 parameters. The keys below are those of its name"
    ] = field(default_factory=rrdb.RRDB)
    discriminator: Annotated[DiscriminatorOptions, "14,499,401 parameters for patches of 128"] = field(
        default_factory=vgg_style.VGG
    )
    psnr: Annotated[PhaseConfig, "phase 1: the generator alone, on pixels"] = field(default_factory=PhaseConfig)
    gan: Annotated[GanConfig, "phase 2: from phase 1's network, with a discriminator"] = field(
        default_factory=GanConfig
    )
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
