from pathlib import Path

from setuptools import find_packages, setup

DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1,<2"]

setup(
    name="esrgan-tf",
    version="0.1.0",
    description="ESRGAN super-resolution for TensorFlow 2 and Keras 3: train, export a SavedModel, enlarge images",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["esrgan_tf", "esrgan_tf.*"]),
    package_data={"esrgan_tf.weights": ["*.json", "packaged/*"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "tensorflow>=2.19,<3",
        "keras>=3.10,<4",
        "tensorflow-hub>=0.16.1,<1",
        "setuptools<82",  # tensorflow-hub 0.16.1 imports pkg_resources, which left setuptools with version 82
        "tensorflow-datasets>=4.9.9,<5",
        "importlib_resources>=6",  # tensorflow-datasets imports it without asking for it
        "numpy>=1.26,<3",
        "absl-py>=2,<3",
        "pillow>=10.1,<14",
        "pyyaml>=6,<7",
        "safetensors>=0.4.3,<1",
        "ml-dtypes>=0.4,<1",  # bfloat16 for NumPy
        "pyvips>=3,<4",  # image files of any kind and size; Pillow knows no 16-bit colour
        "pyvips-binary>=8.16,<9",
        "tabulate>=0.9,<1",
        "matplotlib>=3.8,<4",  # the curves of `status`
        "tqdm>=4.66,<5",
        "pooch>=1.8,<2",  # published models: download, check, put in place
        "requests>=2.31,<3",  # by which pooch downloads; its errors are told in our words
        "platformdirs>=4,<5",  # where a system keeps what can be downloaded again
        "tensorboard>=2.19,<3",  # tf.summary needs it, and TensorFlow no longer brings it
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.19,<3"],
        "torch": [
            "torch>=2.6,<3"
        ],  # .pth, .pt, .ckpt; before 2.6 its weights-only mode could be tricked (CVE-2025-32434)
        "heif": ["pillow-heif>=1,<2"],  # HEIC; libvips as it comes from PyPI has no decoder for it
        "demo": ["scikit-image>=0.25,<1"],  # free photos
        "docs": DOCS,
        "dev": [
            *DOCS,  # a test builds the pages
            "scikit-image>=0.25,<1",  # free photos, and a second opinion on metrics
            "torch>=2.6,<3",
            "pillow-heif>=1,<2",
            "einops>=0.8,<1",  # spandrel imports it; spandrel itself is installed by the Makefile
            "hypothesis>=6,<7",
            "scipy>=1.13,<2",
            "pytest>=8,<10",
            "pytest-xdist>=3.7,<4",
            "nbclient>=0.10,<1",
            "ipykernel>=6,<8",
            "nbformat>=5,<6",
            "ruff==0.17.5",  # its formatting changes between versions
        ],
    },
    entry_points={"console_scripts": ["esrgan-tf = esrgan_tf.cli.main:entry_point"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
