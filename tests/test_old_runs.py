"""Run folders of earlier versions resume."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from esrgan_tf.weights.loading import load_network

DATA = Path(__file__).with_name("data")


@pytest.mark.parametrize("version", ["0.1.0"])
def test_a_run_resumes_like_its_version(version, photos, tmp_path, run_main, eagerly):
    """Phase `gan` of a small compact network, stopped at step 2; that version resumed it up to step 4.

    That version recorded the keys of all networks, whatever network the run had.
    """
    with tarfile.open(DATA / f"run_of_{version}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    for path in (tmp_path / "run").rglob("*.yaml"):
        text = path.read_text().replace("PHOTOS", str(photos)).replace("PLACE", str(tmp_path))
        path.write_text(text)
    assert "growth: 32" in (tmp_path / "run" / "config.yaml").read_text()
    status, out, err = run_main("train", "--phase", "gan", "--run_dir", tmp_path / "run", "--set", "gan.steps=4")
    assert status == 0, err
    assert "resuming phase gan at step 2" in out
    with np.load(tmp_path / "expected.npz") as expected:
        for name in ("generator", "discriminator"):
            network = load_network(tmp_path / "run" / "gan" / f"{name}.keras")
            # That version's discriminators counted the images of a step twice in their averaged batch statistics.
            numbered = [(i, variable) for i, variable in enumerate(network.weights) if variable.trainable]
            found = np.concatenate([np.asarray(variable).ravel() for _, variable in numbered])
            wanted = np.concatenate([expected[f"{name}_{i}"].ravel() for i, _ in numbered])
            # On the machine of that run, the bits are equal. Elsewhere Adam amplifies the rounding of small gradients.
            assert np.isclose(found, wanted, rtol=0, atol=1e-6).mean() > 0.99
            np.testing.assert_allclose(found, wanted, rtol=0, atol=4e-4)
