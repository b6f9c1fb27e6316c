"""The training and validation images of a run, decoded."""

from dataclasses import dataclass

from esrgan_tf.config import Config
from esrgan_tf.data.cache import open_store
from esrgan_tf.data.degradations import Degradation, DegradedStore
from esrgan_tf.data.div2k import div2k_source
from esrgan_tf.data.folder import folder_source
from esrgan_tf.data.patches import Patches
from esrgan_tf.data.store import Images, UnusableImages
from esrgan_tf.data.synthetic import synthetic_source
from esrgan_tf.errors import UserError


@dataclass(frozen=True)
class TrainingData:
    """The images of a training phase.

    Attributes:
        patches: the batches.
        validation: whole images; None without validation.
        samples: the images that sample pictures are cropped from.
    """

    patches: Patches
    validation: Images | None
    samples: Images


def open_data(config: Config) -> TrainingData:
    """Decodes the images that are not in the cache yet, and opens all.

    Raises:
        UserError: there are no images, no image is large enough, images cannot be read, or the disk is too full for the
            cache. One message lists all unreadable images of training and validation.
    """
    data, scale, seed = config.data, config.generator.scale, config.runtime.seed
    train, validation = _sources(config)
    try:
        store = open_store(train, data.cache_dir)
    except UnusableImages as error:
        if validation is not None:
            try:
                open_store(validation, data.cache_dir)
            except UnusableImages as other:
                raise UserError(f"{error}; {other}") from error
        raise
    degradation = None if config.degradation.kind == "none" else Degradation(config)
    margin = 0 if config.degradation.kind in ("none", "noise") else config.degradation.margin
    patches = Patches(store, scale, data.hr_patch, data.batch_size, seed, degradation, margin)
    measured = None if validation is None else open_store(validation, data.cache_dir)
    samples = measured or store
    if degradation is None or data.val_lr_dir is not None:
        return TrainingData(patches, measured, samples)
    degraded = DegradedStore(samples, degradation, seed)
    return TrainingData(patches, measured and degraded, degraded)


def _sources(config):
    """The sources of training and validation images; the second may be None."""
    data, scale = config.data, config.generator.scale
    validation = None
    if data.val_hr_dir is not None:
        named = ("data.val_hr_dir", "data.val_lr_dir")
        validation = folder_source(data.val_hr_dir, data.val_lr_dir, scale, named, data.skip_unreadable)
    if data.source == "folder":
        return folder_source(data.hr_dir, data.lr_dir, scale, skip_unreadable=data.skip_unreadable), validation
    if data.source == "div2k":
        train, split_images = (div2k_source(split, data.data_dir, scale) for split in ("train", "validation"))
    else:
        train, split_images = (synthetic_source(split, config.runtime.seed, scale) for split in ("train", "validation"))
    return train, validation or split_images
