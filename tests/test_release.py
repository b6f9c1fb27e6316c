"""The output of `make release`, opened like a user opens it, and the publishing commands up to their servers."""

import inspect
import json
import shlex
import subprocess

import kagglehub
import numpy as np
import pytest
import skimage.data
import tensorflow as tf
import tensorflow_hub as hub
import yaml
from huggingface_hub import ModelCard
from kagglehub.handle import parse_model_handle

from esrgan_tf import load_model
from esrgan_tf.publish.litert import read_facts, run_litert
from esrgan_tf.publish.onnx import run_onnx
from esrgan_tf.publish.release import build_release
from tests.conftest import run_process
from tests.pages import blocks, commands

PAGE = "docs/releasing.md"
IMAGE = skimage.data.astronaut()[np.newaxis, 30:158, 150:278]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "release"  # the folder name of the page's commands
    build_release(folder, ["faithful"])
    return folder


@pytest.fixture(scope="module")
def expected():
    return 255 * np.asarray(load_model("faithful")(IMAGE.astype(np.float32) / 255))


def test_every_format_computes_the_network(release, expected):
    image = IMAGE.astype(np.float32)
    for run in (run_litert(release / "faithful.tflite"), run_onnx(release / "huggingface/faithful/faithful.onnx")):
        np.testing.assert_allclose(run("serving_default", image), expected, atol=1e-2)
    pixels = run_litert(release / "kaggle/faithful/tfLite/faithful_128.tflite")("uint8", IMAGE)
    assert np.sqrt(np.mean((pixels - np.clip(expected, 0, 255)) ** 2)) < 2  # of 255; the file has 8-bit weights
    np.testing.assert_allclose(hub.load(str(release / "kaggle/faithful/tensorFlow2"))(image), expected, atol=1e-2)
    with tf.device("CPU"):
        again = load_model(release / "faithful.safetensors")(image / 255)
    np.testing.assert_array_equal(255 * np.asarray(again), expected)


def test_the_checksums_are_of_all_files(release):
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=release, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    assert {line.removesuffix(": OK") for line in checked.stdout.splitlines()} == files
    assert len(files) > 12


def test_the_cards_are_in_the_form_of_each_place(release):
    card = ModelCard.load(release / "huggingface" / "faithful" / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.pipeline_tag == "image-to-image"
    assert "super-resolution" in card.data.tags
    assert card.text.lstrip().startswith("# faithful\n\nUpscales RGB images by 4.")
    metadata = json.loads((release / "kaggle" / "faithful" / "model-metadata.json").read_text())
    assert card.text.strip() == metadata["description"].strip()
    assert metadata["slug"] == "esrgan-tf-faithful"
    assert len(metadata["subtitle"]) <= 80
    assert read_facts(release / "faithful_128.tflite")["licence"] == "Apache-2.0"


def test_front_matter_of_ones_own_is_as_huggingface_reads_it():
    (text,) = (text for language, text in blocks(PAGE) if language == "yaml")
    card = ModelCard(f"---\n{text}---\n\n# mine\n")
    assert card.data.to_dict() == yaml.safe_load(text)


def test_the_commands_for_kaggle_are_those_of_its_client(release, monkeypatch):
    uploads, downloads = [], []
    signature = inspect.signature(kagglehub.model_upload)
    monkeypatch.setattr(kagglehub, "login", lambda: None)
    monkeypatch.setattr(kagglehub, "model_upload", lambda *given: uploads.append(signature.bind(*given).arguments))
    monkeypatch.setattr(kagglehub, "model_download", lambda handle: downloads.append(handle) or "there")
    monkeypatch.setattr(hub, "load", lambda path: path)
    for words in map(shlex.split, commands(PAGE)):
        if words[:2] == ["python", "-c"]:
            exec(words[2], {})
    assert (len(uploads), len(downloads)) == (2, 1)
    for upload in uploads:
        assert (release / upload["local_model_dir"].removeprefix("release/")).is_dir()
        assert upload["license_name"] == "Apache 2.0"
    for handle in (*downloads, *(upload["handle"] for upload in uploads)):
        assert parse_model_handle(handle).owner == "OWNER"


def test_the_commands_for_huggingface_go_as_far_as_its_server(release):
    """In offline mode, the client of Hugging Face stops at its first request and not before."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_TOKEN": "none"}
    lines = [line for line in commands(PAGE) if line.startswith(("hf upload", "hf download"))]
    assert len(lines) == 2
    for line in lines[:1]:  # the other command needs no local file
        result = run_process(*shlex.split(line), cwd=release.parent, env=offline)
        said = (result.stdout + result.stderr).lower()
        assert result.returncode != 0
        assert "offline" in said or "cannot find the requested files" in said, said
