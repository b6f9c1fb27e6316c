"""DIV2K (Agustsson and Timofte, CVPR workshops 2017) through its TensorFlow Datasets builder."""

import contextlib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from esrgan_tf.data.store import Source
from esrgan_tf.errors import UserError

_SCALES = (2, 4, 8)


def div2k_source(split: str, data_dir: str, scale: int) -> Source:
    """The split `train` or `validation` of `div2k/bicubic_x<scale>`, downloaded and prepared if needed.

    Raises:
        UserError: DIV2K does not have this scale, or the data set can be neither found nor downloaded.
    """
    import tensorflow_datasets as tfds  # slow to import, and only this source needs it

    name = f"div2k/bicubic_x{scale}"
    if scale not in _SCALES:
        raise UserError(
            f"DIV2K has no bicubic_x{scale}; set generator.scale to {' or '.join(map(str, _SCALES))}, "
            "or use data.source=folder"
        )
    folder = Path(data_dir).expanduser()
    builder = tfds.builder(name, data_dir=str(folder))
    try:
        if not builder.is_prepared() and not any((folder / "downloads").rglob("*.zip")):
            _check_server(builder.info.homepage)
        builder.download_and_prepare()
    except Exception as error:  # the builder's errors (network, checksum, archive) have no common base class
        raise UserError(
            f"{name} is not in {folder} and cannot be downloaded or unpacked ({_first_line(error)}); put the "
            f"official zip files into {folder / 'downloads' / 'manual'}, or use data.source=folder"
        ) from error

    def decode(numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        wanted = set(numbers)
        # In the order of the prepared files, so that `i` is the same image on every machine.
        examples = builder.as_dataset(split=split, read_config=tfds.ReadConfig(interleave_cycle_length=1))
        for i, example in enumerate(tfds.as_numpy(examples)):
            if i in wanted:
                lr, hr = example["lr"], example["hr"]
                yield i, lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]

    info = builder.info.splits[split]
    facts = {
        "source": "div2k",
        "builder": builder.info.full_name,
        "data_dir": str(folder.resolve()),
        "split": split,
        "examples": info.num_examples,
        "bytes": info.num_bytes,
    }
    numbers = range(info.num_examples)
    return Source(facts, [f"{split}/{i:04d}" for i in numbers], [[facts, i] for i in numbers], decode)


def _first_line(error):
    return f"{(str(error) or type(error).__name__).splitlines()[0]:.160}"


def _check_server(address):
    """Fails at once if the server cannot be reached; the builder would try for minutes."""
    with contextlib.suppress(urllib.error.HTTPError):  # any answer is enough
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=30).close()
