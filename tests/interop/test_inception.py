"""The weights of FID's network: a file of the published layout, files that do not fit, digests that do not."""

import hashlib
import shutil
from collections import OrderedDict

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import inception
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.nets.features.inception import InceptionV3
from tests.support import forge
from tests.support.hostile import HOSTILE
from tests.support.inception_file import published, shapes


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(state dict, file, digest)."""
    state, path = published(), tmp_path_factory.mktemp("weights") / "inception.pth"
    path.write_bytes(forge.legacy(state))
    return state, path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_becomes_weights(written):
    state, path, digest = written
    params = inception.load_inception(path, digest)["params"]
    for name in shapes():
        module = params
        for part in name.split("."):
            module = module[part]
        np.testing.assert_array_equal(module["conv"]["kernel"], state[f"{name}.conv.weight"].transpose(2, 3, 1, 0))
        for ours, theirs in (("scale", "weight"), ("bias", "bias"), ("mean", "running_mean"), ("var", "running_var")):
            np.testing.assert_array_equal(module["bn"][ours], state[f"{name}.bn.{theirs}"])
    np.testing.assert_array_equal(params["fc"]["kernel"], state["fc.weight"].T)
    np.testing.assert_array_equal(params["fc"]["bias"], state["fc.bias"])
    assert len(shapes()) == 94
    assert len(jax.tree.leaves(params)) == 94 * 5 + 2
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_both_layouts_of_torch_and_no_counters(written):
    """Files before PyTorch 0.4.1 have no counters of batches."""
    state = OrderedDict((name, a) for name, a in written[0].items() if not name.endswith("num_batches_tracked"))
    path = written[1].with_name("zip.pth")
    path.write_bytes(forge.zipped(state))
    params = inception.load_inception(path, hashlib.sha256(path.read_bytes()).hexdigest())
    chex.assert_trees_all_equal(params, inception.inception_params(written[0]))


def test_another_file_is_refused_unless_its_digest_is_given(written):
    _, path, digest = written
    with pytest.raises(
        ValueError, match=rf"inception\.pth has SHA-256 {digest}, not {inception.WEIGHTS.sha256}: move it"
    ):
        inception.load_inception(path)
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits, got '6726825d'"):
        inception.load_inception(path, "6726825d")
    inception.load_inception(path, digest.upper())


@pytest.mark.parametrize("path", [None, "absent.pth", "."])
def test_without_weights(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"needs its weights, pt_inception-2015-12-05-6726825d\.pth, got .* no file"):
        inception.load_inception(path)


def test_downloads_happen_once_and_are_checked_always(written, tmp_path):
    _, path, digest = written
    there = shutil.copy(path, tmp_path / "there.pth")
    weights = inception.Published(there.as_uri(), digest)
    params = inception.fetch_inception(tmp_path / "here" / "inception.pth", weights)
    there.unlink()
    again = inception.fetch_inception(tmp_path / "here" / "inception.pth", weights)
    chex.assert_trees_all_equal(params, again)
    (tmp_path / "here" / "inception.pth").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"inception\.pth has SHA-256 .* move it away"):
        inception.fetch_inception(tmp_path / "here" / "inception.pth", weights)


def test_a_wrong_download_leaves_nothing(tmp_path):
    (tmp_path / "there").write_bytes(b"not what was meant")
    wrong = inception.Published((tmp_path / "there").as_uri(), inception.WEIGHTS.sha256)
    with pytest.raises(ValueError, match=r"gave inception\.pth with SHA-256 .*: refused"):
        inception.fetch_inception(tmp_path / "here" / "inception.pth", wrong)
    assert not list((tmp_path / "here").iterdir())


def test_the_published_name_carries_its_digest():
    assert inception.WEIGHTS.url.endswith(f"-{inception.WEIGHTS.sha256[:8]}.pth")
    assert len(inception.WEIGHTS.sha256) == 64


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("fc.bias", None, "InceptionV3: the state dict lacks fc.bias"),
        ("AuxLogits.fc.weight", np.zeros((1000, 768), np.float32), "the network has no AuxLogits.fc.weight"),
        ("fc.weight", np.zeros((1000, 2048), np.float32), r"fc.weight has shape \[2048, 1000\] in the checkpoint"),
        ("Mixed_5b.branch1x1.bn.bias", np.full(64, np.nan, np.float32), "bn.bias holds float32 numbers that are not"),
        ("Mixed_7c.branch1x1.bn.running_mean", np.zeros(320, np.int64), "running_mean holds int64 numbers"),
        ("Mixed_6a.branch3x3.bn.running_var", np.full(384, -1, np.float32), "running_var has the negative variance"),
    ],
)
def test_what_does_not_fit_is_named(name, value, says, written):
    state = {**written[0], name: value}
    if value is None:
        del state[name]
    with pytest.raises(CheckpointFormatError, match=says):
        inception.inception_params(state)


@pytest.mark.parametrize("case", ["os.system", "builtins.exec"])
def test_hostile_files_are_refused(case, tmp_path):
    path = tmp_path / "inception.pth"
    path.write_bytes(HOSTILE[case][0])
    with pytest.raises(CheckpointFormatError):
        inception.load_inception(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(list(tmp_path.iterdir())) == 1


def test_params_are_the_network_s(written):
    like = jax.eval_shape(InceptionV3().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.uint8))
    params = inception.inception_params(written[0])
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, like)
