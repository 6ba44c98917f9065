"""Checkpoints beside a reader, a donated state, another state, a disk that is full."""

import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.train.checkpoint import CheckpointError, Checkpoints


def state(scale=1.0, n=3):
    return {"params": {"w": scale * jnp.arange(float(n)), "b": jnp.ones((2, 2))}, "step": jnp.array(7, jnp.int32)}


@pytest.fixture
def said():
    return []


def saved(folder, steps, report=print, make=state):
    checkpoints = Checkpoints(folder, report=report)
    for step in steps:
        checkpoints.save(step, make(step), {"at": step})
    checkpoints.close()


def spoil(folder, step):
    """Files that can be read, but are those of another step: only the checksums tell."""
    source = folder / "checkpoints" / str(step) / "state"
    other = folder / "other"
    if not other.exists():
        saved(other, [5])
    shutil.rmtree(source)
    shutil.copytree(other / "checkpoints" / "5" / "state", source)


def test_what_is_saved_comes_back_with_what_lay_beside(tmp_path):
    saved(tmp_path, [1, 2])
    restored = Checkpoints(tmp_path).restore(state())
    assert (restored.step, restored.extra) == (2, {"at": 2})
    jax.tree.map(np.testing.assert_array_equal, restored.state, state(2))


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path).restore(state()) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (state(n=4), r"params/w is float32\[3\] in the checkpoint and float32\[4\] here"),
        ({"step": jnp.array(0, jnp.int32)}, "params/b is float32.* in the checkpoint and absent here"),
        ({**state(), "ema": jnp.ones(1)}, r"ema is absent in the checkpoint and float32\[1\] here"),
        ({**state(), "step": jnp.array(0, jnp.uint32)}, r"step is int32\[\] in the checkpoint and uint32\[\] here"),
    ],
)
def test_another_state_is_an_error_and_no_damage(tmp_path, said, other, message):
    saved(tmp_path, [1, 2])
    with pytest.raises(CheckpointError, match=f"checkpoint 2 .* holds another state: {message}"):
        Checkpoints(tmp_path, report=said.append).restore(other)
    assert said == []
    assert Checkpoints(tmp_path).restore(state()).step == 2


def test_reading_moves_nothing_and_the_next_save_sets_damage_aside(tmp_path, said):
    saved(tmp_path, [1, 2])
    spoil(tmp_path, 2)
    for _ in range(2):
        checkpoints = Checkpoints(tmp_path, report=said.append)
        assert checkpoints.restore(state()).step == 1
        assert checkpoints.steps() == [1]
        assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]
    assert len(said) == 2, "one line each"
    assert all("checkpoint 2 is damaged (its arrays are not those that were saved)" in line for line in said)
    checkpoints.save(2, state(2), {"at": "again"})
    checkpoints.close()
    assert Checkpoints(tmp_path).restore(state()).extra == {"at": "again"}
    assert (tmp_path / "damaged" / "2").is_dir()


def test_nothing_readable_stays_an_error(tmp_path, said):
    saved(tmp_path, [1, 2])
    spoil(tmp_path, 1)
    spoil(tmp_path, 2)
    for _ in range(2):  # not a fresh start the second time either
        with pytest.raises(CheckpointError, match=r"none of the checkpoints \[1, 2\]"):
            Checkpoints(tmp_path, report=said.append).restore(state())
    assert len(said) == 4


def test_a_reader_leaves_a_save_in_progress_alone(tmp_path, said):
    half_written = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    saved(tmp_path, [1])
    half_written.mkdir()  # by a writer at work, as far as a reader can know
    assert Checkpoints(tmp_path).restore(state()).step == 1
    assert half_written.exists()
    saved(tmp_path, [2])  # the only writer: what lies there was left by a killed process
    assert not half_written.exists()


def test_a_donated_state_is_saved_as_it_was(tmp_path):
    """The devices overwrite the buffers while the save is being written."""
    advance = jax.jit(lambda tree: jax.tree.map(lambda a: a + 1, tree), donate_argnums=0)
    large = {"w": jnp.arange(2.0**20)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, large, {})
    for _ in range(3):
        large = advance(large)
    checkpoints.close()
    restored = Checkpoints(tmp_path).restore(large)
    np.testing.assert_array_equal(restored.state["w"], np.arange(2.0**20, dtype=np.float32))


def noise(step, n=2**19):
    return {"w": jax.random.normal(jax.random.key(step), (n,))}  # does not compress


def test_a_full_disk_costs_one_checkpoint_and_not_the_run(tmp_path, said):
    """A limit on the size of files stands for the disk."""
    checkpoints = Checkpoints(tmp_path, report=said.append)
    checkpoints.save(1, noise(1), {})
    checkpoints.wait()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        checkpoints.save(2, noise(2), {})
        with pytest.raises(OSError, match="could not be written"):
            checkpoints.wait()
        checkpoints.save(3, noise(3), {})
        assert checkpoints.steps() == [1], "what failed is not listed, what was good is not lost"
        assert len(said) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    checkpoints.save(4, noise(4), {})
    assert checkpoints.steps() == [1, 4]
    checkpoints.close()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1", "4"], "nothing half-written stays"
    assert Checkpoints(tmp_path).restore(noise(0)).step == 4


def test_a_vanished_directory_is_made_again(tmp_path, said):
    checkpoints = Checkpoints(tmp_path, report=said.append)
    checkpoints.save(1, state(1), {})
    checkpoints.wait()
    shutil.rmtree(tmp_path / "checkpoints")
    for step in (2, 3, 4):
        try:
            checkpoints.save(step, state(step), {})
        except OSError as error:
            said.append(str(error))
    checkpoints.close()
    restored = Checkpoints(tmp_path).restore(state())
    assert restored.step == 4
    np.testing.assert_array_equal(restored.state["params"]["w"], state(4)["params"]["w"])


def test_restores_to_the_sharding_that_is_asked_for(tmp_path):
    saved(tmp_path, [1])
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), state())
    restored = Checkpoints(tmp_path).restore(like)
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(restored.state))
