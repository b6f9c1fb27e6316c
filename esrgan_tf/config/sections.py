"""The sections of a configuration, with the meaning of each key. `make keys` writes the meanings into `config.yaml`."""

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
KernelSizes = Annotated[tuple[int, ...], Between(3, 51), "kernel sizes in pixels, drawn with equal probability"]
Cutoff = Annotated[
    Pair, Between(0.01, 1), "uniform range of the cutoff frequency, as a fraction of pi radians per pixel"
]
Shape = Annotated[Pair, AtLeast(0.01)]
Strength = Annotated[Pair, AtLeast(0)]
Resizing = Annotated[Pair, Between(0.01, 4)]
Optimizer = Annotated[str, OneOf("adam", muon="Jordan et al., 2024; better in short trainings")]
Clip = Annotated[float | None, AtLeast(1e-12)]
Norm = Annotated[str, OneOf(l1="absolute difference", l2="squared difference")]
Beta = Annotated[float, Between(0, 0.999999)]


@dataclass(frozen=True)
class DataConfig:
    """Images, and the patches of a batch."""

    source: Annotated[
        str, "training images", OneOf("div2k", folder="your images", synthetic="images made from the seed, no download")
    ] = "div2k"
    data_dir: Annotated[str, "folder of TensorFlow Datasets, for source div2k; the default is tfds' own"] = (
        "~/tensorflow_datasets"
    )
    hr_dir: Annotated[str | None, "HR images, for source folder, in any format that upscale reads"] = None
    lr_dir: Annotated[str | None, "LR images of hr_dir; null makes them by antialiased bicubic downscaling"] = None
    val_hr_dir: Annotated[
        str | None, "HR images for validation, for any source; null takes the source's validation images, if any"
    ] = None
    val_lr_dir: Annotated[str | None, "LR images of val_hr_dir; null makes them"] = None
    skip_unreadable: Annotated[
        bool,
        "true leaves out images that cannot be read or do not match their partner, and prints their names; false "
        "refuses them",
    ] = False
    hr_patch: Annotated[
        Positive,
        "side of an HR patch in pixels, divisible by the scale. The discriminator of phase gan needs a multiple of: "
        f"{', '.join(f'{name} {family.options.multiple}' for name, family in DISCRIMINATORS.items())}",
    ] = 128
    batch_size: Annotated[Positive, "patches per step, over all devices together"] = 16
    cache_dir: Annotated[
        str,
        "decoded images with 8 bits per channel, 7 GB for DIV2K. The least recently used images are deleted when the "
        "cache takes more than half of the disk space available to it",
    ] = "~/.cache/esrgan_tf"


@dataclass(frozen=True)
class DegradationConfig:
    """The degradation of training images, and its last steps."""

    kind: Annotated[
        str,
        "degradation of LR images in training, and in validation without val_lr_dir",
        OneOf(
            "none",
            jpeg="SRGAN's, with the quality of degradation_2.jpeg_quality",
            noise="DPSR's, Gaussian, with the sigma of degradation_2.gaussian_sigma, which a noise-conditioned network "
            "receives as input",
            second_order="Real-ESRGAN's, arXiv 2107.10833, section 3",
        ),
        "the values of second_order are the authors' (options/train_realesrgan_x4plus.yml), except for the margin. "
        "It makes all LR images from hr_dir; jpeg and noise also degrade LR images of lr_dir. `esrgan-tf degrade` "
        "shows the results",
    ] = "none"
    margin: Annotated[
        NotNegative,
        "pixels by which a patch is larger during degradation. The patch is then cropped at random, so that JPEG "
        "blocks and reflected borders vary in position. The authors use 144, for 1.9 times the work",
    ] = 32
    clean_probability: Annotated[
        Probability,
        "probability of a patch without degradation, so that the network preserves clean images; 0 in the paper",
    ] = 0.0
    sharpen: Annotated[bool, "unsharp masking of the HR patch before all degradation"] = True
    sinc_probability: Annotated[
        Probability, "probability of a final sinc filter, which rings like repeatedly edited images"
    ] = 0.8
    sinc_sizes: KernelSizes = _KERNEL_SIZES
    sinc_cutoff: Cutoff = _CUTOFF
    jpeg_last: Annotated[Probability, "probability of JPEG after the last resize and sinc filter instead of before"] = (
        0.5
    )


@dataclass(frozen=True)
class DegradationRoundConfig:
    """The first round of degradation."""

    blur_probability: Annotated[Probability, "probability of any blur"] = 1.0
    blur_sizes: KernelSizes = _KERNEL_SIZES
    blur_kinds: Annotated[Weights, "relative probabilities of the blur kernels"] = field(
        default_factory=lambda: {
            "isotropic": 0.45,
            "anisotropic": 0.25,
            "generalised_isotropic": 0.12,
            "generalised_anisotropic": 0.03,
            "plateau_isotropic": 0.12,
            "plateau_anisotropic": 0.03,
        }
    )
    blur_sigma: Annotated[
        Shape, "range of the kernel's width in pixels; anisotropic kernels draw two widths and a rotation"
    ] = (0.2, 3.0)
    generalised_beta: Annotated[
        Shape, "range of the shape of generalised kernels; values below and above 1 are equally probable"
    ] = (0.5, 4.0)
    plateau_beta: Annotated[Shape, "range of the shape of plateau kernels; a range from 1 makes half of them 1"] = (
        1.0,
        2.0,
    )
    sinc_probability: Annotated[Probability, "probability of a sinc filter instead of these kernels"] = 0.1
    sinc_cutoff: Cutoff = _CUTOFF
    sinc_cutoff_large: Annotated[Cutoff, "range for filters of 13 pixels and more"] = _CUTOFF_LARGE
    resize: Annotated[Weights, "relative probabilities of upscaling, downscaling and keeping the size"] = field(
        default_factory=lambda: {"up": 0.2, "down": 0.7, "keep": 0.1}
    )
    resize_scale: Annotated[
        Resizing, "scale factors of the current size: down draws from the first number to 1, up from 1 to the second"
    ] = (0.15, 1.5)
    gaussian_probability: Annotated[Probability, "probability of Gaussian noise; otherwise Poisson (shot) noise"] = 0.5
    gaussian_sigma: Annotated[Strength, "range of the standard deviation of Gaussian noise, for values of 0 to 255"] = (
        1.0,
        30.0,
    )
    poisson_scale: Annotated[
        Strength, "range of the strength of Poisson noise; 1 is the strength of real shot noise"
    ] = (
        0.05,
        3.0,
    )
    gray_probability: Annotated[Probability, "probability of gray noise, equal in all channels"] = 0.4
    jpeg_quality: Annotated[Pair, Between(1, 100), "range of the JPEG quality, from 1 to 100"] = (30.0, 95.0)


@dataclass(frozen=True)
class SecondRoundConfig(DegradationRoundConfig):
    """The second round of degradation."""

    blur_probability: Probability = 0.8
    blur_sigma: Shape = (0.2, 1.5)
    resize: Weights = field(default_factory=lambda: {"up": 0.3, "down": 0.4, "keep": 0.3})
    resize_scale: Annotated[Resizing, "scale factors of the LR size"] = (0.3, 1.2)
    gaussian_sigma: Strength = (1.0, 25.0)
    poisson_scale: Strength = (0.05, 2.5)


@dataclass(frozen=True)
class PhaseConfig:
    """Phase `psnr`."""

    steps: Annotated[Positive, "length of the phase in steps"] = 1_000_000
    optimizer: Optimizer = "adam"
    learning_rate: Annotated[Rate, "learning rate before its decay"] = 2e-4
    schedule: Annotated[
        str,
        "decay of the learning rate",
        OneOf(step="decay_rate at each of decay_steps", cosine="to 0 at the last step"),
    ] = "step"
    warmup_steps: Annotated[NotNegative, "steps in which the learning rate rises from 0; none in the paper"] = 0
    decay_steps: Annotated[
        tuple[int, ...], 'steps at which the learning rate decays, in the paper by "a factor of 2 every 2e5"'
    ] = (200_000, 400_000, 600_000, 800_000)
    decay_rate: Annotated[Probability, "factor of the learning rate at each of decay_steps"] = 0.5
    beta_1: Annotated[Beta, "Adam's; muon uses Adam for biases and for the first and the last convolution"] = 0.9
    beta_2: Annotated[Beta, "Adam's; from the authors' options, not in the paper"] = 0.99
    ema_decay: Annotated[Beta, "decay per step of the weights' EMA, from the authors' options; 0 turns the EMA off"] = (
        0.999
    )
    clip_norm: Annotated[Clip, "maximum norm of all gradients together; null sets no limit, as in the paper"] = None
    pixel_weight: Annotated[Weight, "weight of the pixel loss, for images in [0, 1]"] = 1.0
    pixel_loss: Norm = "l1"
    sharpen_targets: Annotated[bool, "unsharp masking of the targets, as in Real-ESRGAN"] = False


@dataclass(frozen=True)
class GanConfig(PhaseConfig):
    """Phase `gan`."""

    steps: Positive = 400_000
    optimizer: Annotated[Optimizer, "generator's; the discriminator uses Adam"] = "adam"
    learning_rate: Annotated[Rate, "learning rate of both networks"] = 1e-4
    decay_steps: Annotated[tuple[int, ...], "steps at which the learning rate halves"] = (
        50_000,
        100_000,
        200_000,
        300_000,
    )
    clip_norm: Annotated[Clip, "maximum norm of each network's gradients"] = None
    pixel_weight: Annotated[Weight, "weight of the pixel loss; the paper's eta, section 3.3"] = 1e-2
    sharpen_targets: Annotated[
        bool, "unsharp masking of the targets of pixel and perceptual losses, not of the discriminator's images"
    ] = False
    perceptual_weight: Annotated[Weight, "weight of the perceptual loss; 0 also avoids the download of VGG19"] = 1.0
    checkerboard_weight: Annotated[
        Weight, "weight of the checkerboard loss, against patterns that repeat with every input pixel"
    ] = 0.0
    random_shift: Annotated[
        NotNegative, "pixels by which images roll before VGG19 and the discriminator, against checkerboard artefacts"
    ] = 0
    perceptual_layers: Annotated[
        Weights, "VGG19 layers with their weights: conv1_1 … conv5_4 before activation, relu1_1 … relu5_4 after it"
    ] = field(default_factory=lambda: {"conv5_4": 1.0})
    perceptual_loss: Norm = "l1"
    vgg_weights: Annotated[str, "imagenet (Keras downloads 80 MB) | path of Keras' notop .h5 file"] = "imagenet"
    adversarial_weight: Annotated[Weight, "weight of the adversarial loss; the paper's lambda, section 3.3"] = 5e-3
    adversarial_loss: Annotated[str, OneOf(relativistic="section 3.2", plain="")] = "relativistic"


@dataclass(frozen=True)
class RuntimeConfig:
    """Reproducibility, precision, memory and intervals."""

    seed: Annotated[int, Between(0, 2**32 - 1), "seed of weights, patches, degradations and synthetic images"] = 0
    deterministic: Annotated[
        bool, "identical bits in every run on the same devices, for 2 to 5 % more time on CPUs"
    ] = True
    precision: Annotated[
        str, "type of the computations, with weights in float32", OneOf("float32", "mixed_bfloat16", "mixed_float16")
    ] = "float32"
    gradient_checkpointing: Annotated[
        str,
        "activations that the backward pass computes again, for less memory",
        OneOf(none="", blocks="those of each residual block"),
    ] = "none"
    jit_compile: Annotated[str, "compilation by XLA", OneOf(auto="on for one GPU", on="", off="")] = "auto"
    log_every: Annotated[Positive, "steps between records of losses and speed"] = 100
    validate_every: Annotated[Positive, "steps between validations; from the authors' options"] = 5_000
    checkpoint_every: Annotated[Positive, "steps between checkpoints, and the most that a crash loses"] = 1_000
    keep_checkpoints: Annotated[Positive, "number of checkpoints kept, the newest"] = 3


@dataclass(frozen=True)
class ExportConfig:
    """The exported network."""

    alpha: Annotated[Probability, "network interpolation, section 3.4: 0 is the PSNR network, 1 the GAN network"] = 0.8


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    degradation: Annotated[DegradationConfig, "degradation of LR images, which the network learns to remove"] = field(
        default_factory=DegradationConfig
    )
    degradation_1: Annotated[
        DegradationRoundConfig, "first round of second_order: blur, resize, noise, JPEG. Ranges are uniform"
    ] = field(default_factory=DegradationRoundConfig)
    degradation_2: Annotated[DegradationRoundConfig, "second round of second_order, with the same keys"] = field(
        default_factory=SecondRoundConfig
    )
    generator: Annotated[GeneratorOptions, "section 3.1, 16,697,987 parameters. The keys depend on the name"] = field(
        default_factory=rrdb.RRDB
    )
    discriminator: Annotated[DiscriminatorOptions, "14,499,401 parameters for patches of 128 pixels"] = field(
        default_factory=vgg_style.VGG
    )
    psnr: Annotated[PhaseConfig, "phase 1: the generator alone, with a pixel loss"] = field(default_factory=PhaseConfig)
    gan: Annotated[GanConfig, "phase 2: the network of phase 1 with a discriminator"] = field(default_factory=GanConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
