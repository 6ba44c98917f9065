"""Flags of devices: what they refuse, and that a run may go on on other devices."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from experiments import ddgan_25gaussians, ddgan_cifar, edm_digits
from experiments.harness import claim, devices, runs, training
from experiments.systems import digits_unet

CONFIG = edm_digits.Config(model_channels=8)


def test_names_of_processes_without_distributed_are_refused():
    with pytest.raises(ValueError, match="coordinator_address, process_id given without distributed"):
        devices.join(replace(CONFIG, coordinator_address="host:1", process_id=0))
    devices.join(CONFIG)
    devices.join(object())


def test_processes_that_cannot_be_met_are_an_error_that_names_what_was_given():
    jax.devices()  # after which JAX refuses at once, whatever its version
    with pytest.raises(ValueError, match="process_id=5: outside TPU pods, SLURM and Open MPI give all three"):
        devices.join(
            replace(CONFIG, distributed=True, coordinator_address="localhost:1", num_processes=2, process_id=5)
        )


def test_what_does_not_fit_is_refused_before_anything_is_written():
    num = jax.device_count()
    with pytest.raises(ValueError, match=f"fsdp={num + 1} must be at least 1 and divide the {num} devices"):
        training.check(replace(CONFIG, fsdp=num + 1))
    with pytest.raises(ValueError, match=r"batch_size=128 must be a positive multiple .* times accumulate=3"):
        training.check(replace(CONFIG, accumulate=3))
    with pytest.raises(ValueError, match="divisible by 4, the minibatch deviation's group times accumulate=32, got 64"):
        ddgan_cifar.system(ddgan_cifar.resolve(ddgan_cifar.Config(accumulate=32)))
    with pytest.raises(ValueError, match="remat recomputes residual blocks, and DenseGenerator has none"):
        ddgan_25gaussians.system(ddgan_25gaussians.Config(remat=True))


def test_a_smoke_run_on_cpus_is_compiled_quickly(monkeypatch):
    flag = "jax_disable_most_optimizations"
    before = jax.config.read(flag)
    try:
        jax.config.update(flag, False)
        devices.compile_quickly(edm_digits.Config(smoke=True))
        assert not jax.config.read(flag)  # the variable of the suite decides
        monkeypatch.delenv(flag.upper(), raising=False)
        devices.compile_quickly(edm_digits.Config())
        assert not jax.config.read(flag)
        devices.compile_quickly(edm_digits.Config(smoke=True))
        assert jax.config.read(flag)
    finally:
        jax.config.update(flag, before)


def test_a_network_computes_as_the_flags_say():
    unet = digits_unet.module(CONFIG)
    assert digits_unet.network(CONFIG, unet).apply.__self__.dtype is None
    net = digits_unet.network(replace(CONFIG, dtype="bfloat16", remat=True), unet).apply.__self__
    assert (net.dtype, net.remat) == (jnp.dtype("bfloat16"), True)


def test_a_run_goes_on_on_other_devices(tmp_path):
    """Where it runs is not part of what it is; a config from before these fields is read by their defaults."""
    folder = tmp_path / "run"
    for changed in (CONFIG, replace(CONFIG, fsdp=4, distributed=True, num_processes=2)):
        with claim.claimed(folder, claim.Owner("edm_digits", changed)):
            assert not claim.check(folder, claim.Owner("edm_digits", CONFIG))
    with pytest.raises(ValueError, match="accumulate=1, not 2"):
        claim.check(folder, claim.Owner("edm_digits", replace(CONFIG, accumulate=2)))
    written = json.loads((folder / "config.json").read_text())
    new = set(devices.Devices.__dataclass_fields__) | {"keep_every"}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in written.items() if k not in new}))
    assert not claim.check(folder, claim.Owner("edm_digits", CONFIG))
    config, _ = runs.of_run(folder)
    assert config == replace(CONFIG, workdir=folder)
