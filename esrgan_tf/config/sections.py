"""The sections of a configuration. `config.yaml` at the top of the repository explains every key."""

from dataclasses import dataclass, field
from typing import Annotated

from esrgan_tf.models import rrdb, vgg
from esrgan_tf.models.family import DiscriminatorOptions, GeneratorOptions, Positive
from esrgan_tf.schema import AtLeast, Between, OneOf, Pair, Probability, Weights

NotNegative = AtLeast(0)
_KERNEL_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)
_CUTOFF, _CUTOFF_LARGE = (1 / 3, 1.0), (1 / 5, 1.0)
KernelSizes = Annotated[tuple[int, ...], Between(3, 51)]
Cutoff = Annotated[Pair, Between(0.01, 1)]
Shape = Annotated[Pair, AtLeast(0.01)]
Norm = Annotated[str, OneOf("l1", "l2")]
Beta = Annotated[float, Between(0, 0.999999)]


@dataclass(frozen=True)
class DataConfig:
    source: Annotated[str, OneOf("div2k", "folder", "synthetic")] = "div2k"
    data_dir: str = "~/tensorflow_datasets"
    hr_dir: str | None = None
    lr_dir: str | None = None
    val_hr_dir: str | None = None
    val_lr_dir: str | None = None
    skip_unreadable: bool = False
    hr_patch: Positive = 128
    batch_size: Positive = 16
    cache_dir: str = "~/.cache/esrgan_tf"


@dataclass(frozen=True)
class DegradationConfig:
    kind: Annotated[str, OneOf("none", "jpeg", "second_order")] = "none"
    margin: Annotated[int, NotNegative] = 32
    clean_probability: Probability = 0.0
    sharpen: bool = True
    sinc_probability: Probability = 0.8
    sinc_sizes: KernelSizes = _KERNEL_SIZES
    sinc_cutoff: Cutoff = _CUTOFF
    jpeg_last: Probability = 0.5


@dataclass(frozen=True)
class DegradationRoundConfig:
    blur_probability: Probability = 1.0
    blur_sizes: KernelSizes = _KERNEL_SIZES
    blur_kinds: Weights = field(
        default_factory=lambda: {
            "isotropic": 0.45,
            "anisotropic": 0.25,
            "generalised_isotropic": 0.12,
            "generalised_anisotropic": 0.03,
            "plateau_isotropic": 0.12,
            "plateau_anisotropic": 0.03,
        }
    )
    blur_sigma: Shape = (0.2, 3.0)
    generalised_beta: Shape = (0.5, 4.0)
    plateau_beta: Shape = (1.0, 2.0)
    sinc_probability: Probability = 0.1
    sinc_cutoff: Cutoff = _CUTOFF
    sinc_cutoff_large: Cutoff = _CUTOFF_LARGE
    resize: Weights = field(default_factory=lambda: {"up": 0.2, "down": 0.7, "keep": 0.1})
    resize_scale: Annotated[Pair, Between(0.01, 4)] = (0.15, 1.5)
    gaussian_probability: Probability = 0.5
    gaussian_sigma: Annotated[Pair, NotNegative] = (1.0, 30.0)
    poisson_scale: Annotated[Pair, NotNegative] = (0.05, 3.0)
    gray_probability: Probability = 0.4
    jpeg_quality: Annotated[Pair, Between(1, 100)] = (30.0, 95.0)


@dataclass(frozen=True)
class SecondRoundConfig(DegradationRoundConfig):
    blur_probability: Probability = 0.8
    blur_sigma: Shape = (0.2, 1.5)
    resize: Weights = field(default_factory=lambda: {"up": 0.3, "down": 0.4, "keep": 0.3})
    resize_scale: Annotated[Pair, Between(0.01, 4)] = (0.3, 1.2)
    gaussian_sigma: Annotated[Pair, NotNegative] = (1.0, 25.0)
    poisson_scale: Annotated[Pair, NotNegative] = (0.05, 2.5)


@dataclass(frozen=True)
class PhaseConfig:
    steps: Positive = 1_000_000
    optimizer: Annotated[str, OneOf("adam", "muon")] = "adam"
    learning_rate: Annotated[float, Between(1e-12, 1)] = 2e-4
    schedule: Annotated[str, OneOf("step", "cosine")] = "step"
    warmup_steps: Annotated[int, NotNegative] = 0
    decay_steps: tuple[int, ...] = (200_000, 400_000, 600_000, 800_000)
    decay_rate: Probability = 0.5
    beta_1: Beta = 0.9
    beta_2: Beta = 0.99
    ema_decay: Beta = 0.999
    clip_norm: Annotated[float | None, AtLeast(1e-12)] = None
    pixel_weight: Annotated[float, NotNegative] = 1.0
    pixel_loss: Norm = "l1"
    sharpen_targets: bool = False


@dataclass(frozen=True)
class GanConfig(PhaseConfig):
    steps: Positive = 400_000
    learning_rate: Annotated[float, Between(1e-12, 1)] = 1e-4
    decay_steps: tuple[int, ...] = (50_000, 100_000, 200_000, 300_000)
    pixel_weight: Annotated[float, NotNegative] = 1e-2
    perceptual_weight: Annotated[float, NotNegative] = 1.0
    grid_weight: Annotated[float, NotNegative] = 0.0
    random_shift: Annotated[int, NotNegative] = 0
    perceptual_layers: Weights = field(default_factory=lambda: {"conv5_4": 1.0})
    perceptual_loss: Norm = "l1"
    vgg_weights: str = "imagenet"
    adversarial_weight: Annotated[float, NotNegative] = 5e-3
    adversarial_loss: Annotated[str, OneOf("relativistic", "plain")] = "relativistic"


@dataclass(frozen=True)
class RuntimeConfig:
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    deterministic: bool = True
    precision: Annotated[str, OneOf("float32", "mixed_bfloat16", "mixed_float16")] = "float32"
    jit_compile: Annotated[str, OneOf("auto", "on", "off")] = "auto"
    log_every: Positive = 100
    validate_every: Positive = 5_000
    checkpoint_every: Positive = 1_000
    keep_checkpoints: Positive = 3


@dataclass(frozen=True)
class ExportConfig:
    alpha: Probability = 0.8


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    degradation_1: DegradationRoundConfig = field(default_factory=DegradationRoundConfig)
    degradation_2: DegradationRoundConfig = field(default_factory=SecondRoundConfig)
    generator: GeneratorOptions = field(default_factory=rrdb.RRDB)  # each family has its own keys
    discriminator: DiscriminatorOptions = field(default_factory=vgg.VGG)
    psnr: PhaseConfig = field(default_factory=PhaseConfig)
    gan: GanConfig = field(default_factory=GanConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
