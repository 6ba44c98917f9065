"""A run that begins at the parameters of another: what fits is taken, what does not is new and named."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from experiments import consistency_digits, convert, ddgan_digits, edm_digits
from experiments.harness import init_from, runs, training
from experiments.systems.digits_unet import DigitsUNet, module
from jaxdiff.interop.exported import files
from tests.parity.test_checkpoints import READS, published
from tests.support import reference
from tests.support.commands import called, refused

SMOKE = ("edm_digits", "--smoke")


def flat(tree):
    return {name: np.asarray(a) for name, a in flatten_dict(jax.device_get(tree), sep=".").items()}


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


def drawn(system, seed=0):
    """Parameters by name that are none of a new run's."""
    like = flatten_dict(jax.eval_shape(system.init, jax.random.key(0)), sep=".")
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=a.shape).astype(np.float32) for name, a in like.items()}


def begun(config, system, arrays, tmp_path):
    """(new state, the state that begins at the arrays, what was said) of a run of a system."""
    path = tmp_path / "arrays.npz"
    files.write(path, arrays, {}, overwrite=True)
    start, how = init_from.start(path, system), training.trainer(config, system)
    state = jax.jit(how.create)(jax.random.key(1))
    return state, init_from.begin(how, state, start), start


def test_other_classes_and_sizes_get_new_parts(tmp_path):
    """Of the experiments' own network, before tiny ones take its place: three classes, colour, twice the side."""

    def shapes(unet):
        side, channels = unet.img_resolution, unet.in_channels
        inputs = jnp.zeros((1, side, side, channels)), jnp.zeros(1)
        return flatten_dict(jax.eval_shape(unet.init, jax.random.key(0), *inputs), sep=".")

    unet = module(DigitsUNet(model_channels=8))
    ten = shapes(unet)
    files.write(tmp_path / "a.npz", {name: np.zeros(a.shape, np.float32) for name, a in ten.items()}, {})

    def new(unet):
        system = edm_digits.system(edm_digits.Config())
        side, channels = unet.img_resolution, unet.in_channels
        init = lambda key: unet.init(key, jnp.zeros((1, side, side, channels)), jnp.zeros(1))  # noqa: E731
        return init_from.start(tmp_path / "a.npz", system._replace(init=init)).new

    assert new(unet) == {}
    assert new(unet.clone(label_dim=3)) == {"params.map.map_label.kernel": "[10, 8] there, [3, 8] here"}
    coloured = new(unet.clone(in_channels=3, out_channels=3))
    assert set(coloured) == {
        "params.enc_8x8_conv.kernel", "params.dec_8x8_aux_conv.kernel", "params.dec_8x8_aux_conv.bias",
    }  # fmt: skip
    larger = new(unet.clone(img_resolution=16, channel_mult=(1, 1, 2)))
    assert larger
    assert all("16x16" in name or "_8x8_" in name or "_4x4_" in name for name in larger)


def test_a_state_begins_at_what_fits_and_the_rest_is_new(tiny_networks, tmp_path):
    config = edm_digits.Config()
    system = edm_digits.system(config)
    arrays = drawn(system)
    cut = "params.Dense_0.kernel"  # of the classes
    other = {**arrays, cut: arrays[cut][:3], "params.other": np.ones(2, np.float32)}
    missing = "params.Dense_2.bias"
    del other[missing]
    fresh, state, start = begun(config, system, other, tmp_path)
    assert start.new == {cut: f"[3, 1] there, {list(arrays[cut].shape)} here", missing: "not there"}
    assert start.unused == 1
    same(flat(state.params), {**arrays, cut: flat(fresh.params)[cut], missing: flat(fresh.params)[missing]})
    same(flat(state.ema), flat(state.params))
    jax.tree.map(np.testing.assert_array_equal, state.opt_state, fresh.opt_state)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.params, state.ema))]
    assert len(set(buffers)) == len(buffers), "each has its own, since all are donated"


def test_a_consistency_model_and_a_gan_begin_so_too(tiny_networks, tmp_path):
    config = consistency_digits.Config(method="ict")
    system = consistency_digits.system(config)
    arrays = drawn(system)
    _, state, _ = begun(config, system, arrays, tmp_path)
    same(flat(state.params.network), arrays)
    same(flat(state.ema.network), arrays)

    config = ddgan_digits.Config(width=8)
    system = ddgan_digits.system(config)
    arrays = drawn(system)
    fresh, state, _ = begun(config, system, arrays, tmp_path)
    same(flat(state.params.generator), arrays)
    same(flat(state.ema), arrays)
    same(flat(state.params.discriminator), flat(fresh.params.discriminator))


def test_what_cannot_be_a_start_is_said_before_anything_is_written(tiny_networks, tmp_path, monkeypatch, capfd):
    system = edm_digits.system(edm_digits.Config())
    (tmp_path / "empty").mkdir()
    for name in ("text.pkl", "text.npz", "text.txt"):
        (tmp_path / name).write_text("nothing")
    files.write(tmp_path / "other.npz", {n: a[..., :0] for n, a in drawn(system).items()}, {})
    files.write(tmp_path / "biases.npz", {n: a for n, a in drawn(system).items() if n.endswith("bias")}, {})
    said = {
        "empty": "config.json does not exist: is",
        "absent": "absent does not exist",
        "absent.npz": "absent.npz does not exist",
        "text.txt": "text.txt: give the folder of a run, or a file .safetensors, .npz, .pkl, ",
        "text.pkl": "--init-from",
        "text.npz": "text.npz is no .npz file of arrays (File is not a zip file)",
        "other.npz": "none of its kernels fits the network of this run (params.Dense_0",
        "biases.npz": "none of its kernels fits the network of this run (params.Dense_0.kernel is not there)",
    }
    before = sorted(tmp_path.rglob("*"))
    for name, message in said.items():
        flags = ["--smoke", "--workdir", tmp_path / "run", "--init-from", tmp_path / name]
        assert message in refused("edm_digits", flags, monkeypatch, capfd)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_begins_at_another_s_average_and_goes_on_without_it(smoke_run, tmp_path, monkeypatch, capfd):
    """What was taken is kept; the source is not read again, nor need it be named; another is refused."""
    source, run = tmp_path / "source", tmp_path / "run"
    source.symlink_to(smoke_run[0])
    flags = ["--workdir", run, "--init-from", source]
    capfd.readouterr()
    called(*SMOKE, *flags)
    total = len(flat(runs.load(source).params))
    assert f"starting from {source}: {total} of {total} arrays of parameters are taken\n" in "".join(capfd.readouterr())
    found = json.loads((run / "config.json").read_text())
    assert found["init_from"] == str(source)
    assert json.loads((run / init_from.RECORD).read_text()) == {
        "from": str(source), "taken": total, "new": {}, "unused": 0,
    }  # fmt: skip
    source.unlink()
    assert runs.load(run).step == 8
    for again in (flags, flags[:2]):
        called(*SMOKE, *again)  # finished: it shows its report
        assert json.loads((run / "config.json").read_text()) == found
    error = refused("edm_digits", ["--smoke", *flags[:3], tmp_path / "other"], monkeypatch, capfd)
    assert f"holds a run with init_from='{source}', not '{tmp_path / 'other'}': choose another --workdir" in error


@pytest.mark.full
def test_it_begins_there_and_resumes_to_the_bit(smoke_run, tmp_path):
    """At a learning rate of almost 0 the average stays where it began; in two parts a run ends as in one."""
    source = smoke_run[0]
    config = edm_digits.Config(
        init_from=source, batch_size=16, num_samples=8, num_steps=2, checkpoint_every=2, log_every=2, warmup=0
    )
    still = replace(config, workdir=tmp_path / "still", learning_rate=1e-30, steps=2)
    edm_digits.main(still)
    same(flat(runs.load(still.workdir).params), flat(runs.load(source).params))
    edm_digits.main(replace(config, workdir=tmp_path / "one", steps=4))
    for steps in (2, 4):
        edm_digits.main(replace(config, workdir=tmp_path / "two", steps=steps))
    one, two = (runs.load(tmp_path / name) for name in ("one", "two"))
    assert (one.step, two.step) == (4, 4)
    same(flat(one.params), flat(two.params))


def test_a_published_model_is_a_start_from_its_file_and_from_its_conversion(tmp_path):
    path = published(reference.load(reference.files(*READS)[0]), tmp_path / "model.pkl")
    convert.main(convert.Config(path, tmp_path / "converted"))
    first, second = init_from.read(path), init_from.read(tmp_path / "converted")
    assert len(first) > 10
    same(dict(first), dict(second))
