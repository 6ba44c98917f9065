"""LPIPS's weights: small files of the published layout, files that do not fit, and downloads that are checked."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import interop
from jaxdiff.interop.fetch import fetch
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.metrics.lpips import lpips
from jaxdiff.nets.features.vgg import VGG16
from tests.support import forge
from tests.support.hostile import HOSTILE

NET = VGG16(widths=(2, 3, 4, 5, 6))
# torchvision's numbers of the convolutions, by resolution.
CONVOLUTIONS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def published(widths=NET.widths, seed=0):
    """(VGG-16's state dict, LPIPS's) in the published layouts."""
    random = np.random.default_rng(seed)
    vgg, channels = {}, 3
    for width, numbers in zip(widths, CONVOLUTIONS, strict=True):
        for number in numbers:
            vgg[f"features.{number}.weight"] = random.normal(size=(width, channels, 3, 3)).astype(np.float32)
            vgg[f"features.{number}.bias"] = random.normal(size=width).astype(np.float32)
            channels = width
    for number, (out, fan_in) in {0: (7, 49 * widths[-1]), 3: (7, 7), 6: (10, 7)}.items():
        vgg[f"classifier.{number}.weight"] = np.zeros((out, fan_in), np.float32)
        vgg[f"classifier.{number}.bias"] = np.zeros(out, np.float32)
    linear = {
        f"lin{index}.model.1.weight": random.uniform(size=(1, width, 1, 1)).astype(np.float32)
        for index, width in enumerate(widths)
    }
    return vgg, linear


def written(tmp_path, vgg, linear, layout=forge.zipped):
    paths = tmp_path / "vgg16.pth", tmp_path / "lpips.pth"
    for path, state_dict in zip(paths, (vgg, linear), strict=True):
        path.write_bytes(layout(state_dict))
    return paths


@pytest.mark.parametrize("layout", [forge.zipped, forge.legacy])
def test_files_become_weights(layout, tmp_path):
    vgg, linear = published()
    params = interop.lpips.load_lpips(*written(tmp_path, vgg, linear, layout), NET)
    for numbers in CONVOLUTIONS:
        for number in numbers:
            layer = params["vgg"]["params"][f"features_{number}"]
            np.testing.assert_array_equal(layer["kernel"], vgg[f"features.{number}.weight"].transpose(2, 3, 1, 0))
            np.testing.assert_array_equal(layer["bias"], vgg[f"features.{number}.bias"])
    assert len(params["vgg"]["params"]) == 13
    for index, weights in enumerate(params["linear"]):
        np.testing.assert_array_equal(weights, linear[f"lin{index}.model.1.weight"][0, :, 0, 0])
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    x = jnp.zeros((2, 16, 16, 3))
    assert jax.eval_shape(lambda x: lpips(params, x, x, NET), x).shape == (2,)


def test_the_published_shapes():
    """Table 1, column D, of Simonyan & Zisserman: 14.7 million parameters before the classifier."""
    shapes = jax.eval_shape(VGG16().init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 14_714_688


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda vgg, _: vgg.pop("features.28.bias"), "VGG-16: the state dict lacks features.28.bias"),
        (lambda vgg, _: vgg.update({"features.30.bias": np.zeros(1, np.float32)}), "has no features.30.bias"),
        (lambda vgg, _: vgg.update({"features.2.bias": np.zeros(5, np.float32)}), r"features.2.bias has shape \[5\]"),
        (lambda vgg, _: vgg["features.7.bias"].fill(np.nan), "features.7.bias holds float32 numbers that are not"),
        (lambda vgg, _: vgg.update({"features.7.bias": np.zeros(3, np.int64)}), "features.7.bias holds int64"),
        (lambda _, lin: lin.pop("lin4.model.1.weight"), "linear layers lack lin4.model.1.weight"),
        (lambda _, lin: lin.update({"lin5.model.1.weight": np.ones(1, np.float32)}), "have the unknown lin5"),
        (
            lambda _, lin: lin.update({"lin1.model.1.weight": np.ones((1, 2, 1, 1), np.float32)}),
            r"lin1.model.1.weight has shape \[1, 2, 1, 1\] in the file, \[1, 3, 1, 1\] by VGG-16",
        ),
        (lambda _, lin: np.negative(lin["lin2.model.1.weight"], lin["lin2.model.1.weight"]), "lin2.* negative weight"),
        (lambda _, lin: lin["lin3.model.1.weight"].fill(np.inf), "lin3.model.1.weight holds float32 numbers"),
    ],
)
def test_what_does_not_fit_is_named(change, says, tmp_path):
    vgg, linear = published()
    change(vgg, linear)
    with pytest.raises(CheckpointFormatError, match=says):
        interop.lpips.load_lpips(*written(tmp_path, vgg, linear), NET)


def test_the_two_files_exchanged(tmp_path):
    vgg, linear = written(tmp_path, *published())
    with pytest.raises(CheckpointFormatError, match="VGG-16: the state dict lacks features"):
        interop.lpips.load_lpips(linear, vgg, NET)


@pytest.mark.parametrize("given", [(None, None), ("vgg16.pth", None), (None, "lpips.pth")])
def test_without_weights(given):
    with pytest.raises(ValueError, match=r"LPIPS needs two files: vgg, such as vgg16-397923af\.pth"):
        interop.lpips.load_lpips(*given)


@pytest.mark.parametrize("case", ["os.system", "builtins.exec"])
@pytest.mark.parametrize("place", [0, 1])
def test_hostile_files_are_refused(case, place, tmp_path, monkeypatch):
    paths = written(tmp_path, *published())
    paths[place].write_bytes(HOSTILE[case][0])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointFormatError):
        interop.lpips.load_lpips(*paths, NET)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("value", [[1], {"a": 1}, {3: np.zeros(2, np.float32)}])
def test_no_state_dict(value, tmp_path):
    paths = written(tmp_path, *published())
    paths[1].write_bytes(forge.zipped(value))
    with pytest.raises(CheckpointFormatError, match=r"lpips\.pth holds no state dict"):
        interop.lpips.load_lpips(*paths, NET)


def source(path):
    return interop.lpips.Published(path.as_uri(), hashlib.sha256(path.read_bytes()).hexdigest())


def test_downloads_happen_once_and_are_checked_always(tmp_path):
    (tmp_path / "there").mkdir()
    sources = [source(path) for path in written(tmp_path / "there", *published())]
    params = interop.lpips.fetch_lpips(tmp_path / "here", *sources, NET)
    for path in (tmp_path / "there").iterdir():
        path.unlink()
    again = interop.lpips.fetch_lpips(tmp_path / "here", *sources, NET)
    chex.assert_trees_all_equal(params, again)
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["lpips_vgg.pth", "vgg16.pth"]
    (tmp_path / "here" / "vgg16.pth").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"vgg16\.pth has SHA-256 .* move it away"):
        interop.lpips.fetch_lpips(tmp_path / "here", *sources, NET)


def test_a_wrong_download_leaves_nothing(tmp_path):
    (tmp_path / "there").write_bytes(b"not what was meant")
    with pytest.raises(ValueError, match=r"gave file\.pth with SHA-256 .*: refused"):
        fetch((tmp_path / "there").as_uri(), "0" * 64, tmp_path / "here" / "file.pth")
    assert not list((tmp_path / "here").iterdir())


def test_a_failed_download_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="absent"):
        fetch((tmp_path / "absent").as_uri(), "0" * 64, tmp_path / "here" / "file.pth")
    assert not list((tmp_path / "here").iterdir())


class HalfAReply(BaseHTTPRequestHandler):
    """Promises twice what it sends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"x" * 50)

    def log_message(self, *_):
        pass


def test_a_broken_off_download_leaves_nothing(tmp_path, monkeypatch):
    """Some versions of Python report it, others take what came, which has another digest."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), HalfAReply) as server:
        server.timeout = 20
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        digest = hashlib.sha256(b"x" * 100).hexdigest()
        with pytest.raises((OSError, ValueError), match=r"cannot be read|refused"):
            fetch(f"http://127.0.0.1:{server.server_port}/vgg16.pth", digest, tmp_path / "here" / "file.pth")
        thread.join()
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("sha256", ["", "397923af", "x" * 64, "0" * 63 + "\n"])
def test_no_file_is_used_unchecked(sha256, tmp_path):
    (tmp_path / "there").write_bytes(b"")
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits"):
        fetch((tmp_path / "there").as_uri(), sha256, tmp_path / "here")


def test_the_published_name_carries_its_digest():
    assert interop.lpips.VGG.url.endswith(f"-{interop.lpips.VGG.sha256[:8]}.pth")
    assert all(len(found.sha256) == 64 for found in (interop.lpips.VGG, interop.lpips.LINEAR))
