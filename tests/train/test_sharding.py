"""The one rule, what it refuses, and what the compiled program sends between eight simulated devices."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.train import fully_sharded, sharding
from jaxdiff.train.adversarial import Networks
from jaxdiff.train.state import create
from tests.support.commands import python

ONE = jax.sharding.AbstractMesh((1, 4), ("data", "fsdp"))


def axes(tree):
    """Where each leaf is cut."""
    return jax.tree.map(
        lambda s: s.spec.index("fsdp") if "fsdp" in s.spec else None, fully_sharded.state_sharding(ONE, tree)
    )


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_the_longest_axis_is_cut_and_small_arrays_are_not():
    tree = {
        "conv": shape(3, 3, 64, 128),
        "tie": shape(64, 64),
        "bias": shape(128),
        "odd": shape(3, 3, 33, 35),
        "c": shape(),
    }
    assert axes(tree) == {"conv": 3, "tie": 1, "bias": None, "odd": None, "c": None}


def test_a_state_is_cut_alike_in_parameters_moments_and_averages():
    params = Networks({"w": shape(64, 32)}, {"v": shape(32, 64)})
    state = jax.eval_shape(lambda p: create(p, optax.adam(1e-3)), params)
    found = axes(state)
    assert found.step is None
    for part in (found.params, found.ema, found.opt_state[0].mu, found.opt_state[0].nu):
        assert part == Networks({"w": 0}, {"v": 1})


def test_what_does_not_fit_is_refused():
    num = jax.device_count()
    with pytest.raises(ValueError, match=f"fsdp={num + 1} must be at least 1 and divide the {num} devices"):
        sharding.data_mesh(num + 1)
    with pytest.raises(ValueError, match="fsdp=0"):
        sharding.data_mesh(0)
    with pytest.raises(ValueError, match=f"num_devices={num + 1} does not fit the {num} devices"):
        sharding.data_mesh(1, num + 1)
    with pytest.raises(
        ValueError, match="batch_size=12 must be a positive multiple of the 4 devices times accumulate=2"
    ):
        sharding.check_batch(12, ONE, 2)
    with pytest.raises(ValueError, match="accumulate must be at least 1, got 0"):
        sharding.check_batch(12, ONE, 0)
    with pytest.raises(ValueError, match="fsdp=4 shards nothing: of 2 arrays, the longest axis 100"):
        fully_sharded.state_sharding(ONE, {"a": shape(100, 10), "b": shape(3)})


def test_norms_and_parameters_are_plain_without_a_mesh():
    tree = {"a": jnp.arange(4.0), "b": jnp.ones((2, 2))}
    np.testing.assert_array_equal(fully_sharded.global_norm(tree), optax.global_norm(tree))
    assert fully_sharded.all_gather(tree) is tree
    assert sharding.to_host(tree) is tree


PROGRAM = """
import json, jax, jax.numpy as jnp
from benchmarks.scaling import measure
from tests.support import hosts_run
step, create = hosts_run.build()
batch = {"x": jax.ShapeDtypeStruct((hosts_run.BATCH, 4), jnp.float32)}
print(json.dumps([measure(step, create, batch, *way) for way in ((1, 1), (8, 1), (8, 8), (8, 2))]))
"""


@pytest.fixture(scope="module")
def programs():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = python("-c", PROGRAM, **flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.full
def test_gradients_are_reduced_in_one_group(programs):
    """Data parallel: one all-reduce of every gradient and the loss, and nothing else."""
    one, eight, _, _ = programs
    assert one["collectives"] == {}
    assert eight["collectives"] == {"all-reduce": [1, 4 * (eight["parameters"] + 1)]}


@pytest.mark.full
def test_fully_sharded_gradients_are_reduced_in_a_group_a_kind(programs):
    """One for what is cut, one for what is copied, with the norms; parameters are put together once."""
    _, eight, sharded, both = programs
    assert sharded["gradient_groups"] == 2
    assert sharded["collectives"]["all-gather"] == [1, 4 * 64 * 64]
    assert set(sharded["collectives"]) <= {"all-gather", "all-reduce", "reduce-scatter"}
    cut = 4 * 4 * 64 * 64  # parameters, two moments, average
    assert sharded["state_bytes"] == eight["state_bytes"] - cut + cut // 8
    assert both["gradient_groups"] <= 3, "on two axes what is cut is reduced along one after the other"
