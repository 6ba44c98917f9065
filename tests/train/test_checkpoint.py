"""Checkpoints with a reader, a donated state, another state, a disk that is full."""

import os
import resource
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.train import paths
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


def test_what_is_saved_comes_back_with_what_lay_next_to_it(tmp_path):
    saved(tmp_path, [1, 2])
    restored = Checkpoints(tmp_path).restore(state())
    assert (restored.step, restored.extra) == (2, {"at": 2})
    chex.assert_trees_all_equal(restored.state, state(2))


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


UNREADABLE = ["x[1]", "back\\slash", "seed*", "what?", "x[1]/run"]


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_path_that_orbax_cannot_read_back_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"workdir .* has '.*' in its path, under which .* cannot be read back"):
        Checkpoints(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x]", "a b", "c:d", "é", "{a}", "~x", "$HOME", "50%41#"])
def test_other_odd_paths_work(tmp_path, name):
    saved(tmp_path / name, [3])
    assert Checkpoints(tmp_path / name).restore(state()).step == 3


def test_a_save_that_cannot_be_read_back_does_not_count(tmp_path, said, monkeypatch):
    """Nor does it displace one that could, or fill the disk."""
    folder = tmp_path / "x[1]"
    saved(tmp_path / "well", [1])
    (tmp_path / "well").rename(folder)
    moved = Checkpoints(folder)
    assert moved.restore(state()).step == 1, "what was written elsewhere can be read there"
    with pytest.raises(ValueError, match="cannot be read back"):
        moved.save(2, state(2), {})
    assert os.listdir(folder / "checkpoints") == ["1"]
    monkeypatch.setattr(paths, "check_readable", lambda path: None)
    checkpoints = Checkpoints(folder, keep_last=1, report=said.append)
    for step in (2, 3):
        checkpoints.save(step, state(step), {})
        assert checkpoints.steps() == [1]
        assert f"checkpoint {step} was written to" in said[-1]
        assert "cannot be read back, so it does not count" in said[-1]
    assert len(said) == 2
    assert sorted(os.listdir(folder / "checkpoints")) == ["1", "3"]
    checkpoints.close()


def test_a_run_that_is_stopped_after_every_save_does_not_fill_the_disk(tmp_path):
    """One more than asked for is kept until a save was read back, and no more than one."""
    for step in (1, 2, 3, 4):
        checkpoints = Checkpoints(tmp_path, keep_last=2)
        checkpoints.save(step, state(step), {})
        checkpoints.close()
    assert Checkpoints(tmp_path).steps() == [2, 3, 4]
    saved(tmp_path, [5, 6])
    assert Checkpoints(tmp_path).steps() == [4, 5, 6]


def test_arrays_of_every_type_are_proven(tmp_path, said):
    tree = {
        "bool": jnp.array([True, False]),
        "bf16": jnp.arange(5, dtype=jnp.bfloat16),
        "i8": jnp.array(-3, jnp.int8),
        "scalar": jnp.array(7, jnp.int32),
        "two": jnp.arange(6, dtype=jnp.uint32).reshape(2, 3),
    }
    checkpoints = Checkpoints(tmp_path, report=said.append)
    checkpoints.save(1, tree, {})
    checkpoints.close()
    assert said == []


def test_a_part_of_a_state_is_read_alone(tmp_path, said):
    """With shapes, or without knowing any; what is damaged is passed over, and another shape named."""
    saved(tmp_path, [1, 2])
    part = {"params": state()["params"]}
    restored = Checkpoints(tmp_path).restore(part, partial=True)
    assert (restored.step, restored.extra) == (2, {"at": 2})
    chex.assert_trees_all_equal(restored.state, {"params": state(2)["params"]})
    read = Checkpoints(tmp_path).read("params")
    chex.assert_trees_all_equal(read.state, jax.device_get(state(2)["params"]))
    assert isinstance(read.state["w"], np.ndarray)
    with pytest.raises(CheckpointError, match=r"params/w is float32\[3\] in the checkpoint and float32\[4\] here"):
        Checkpoints(tmp_path).restore({"params": state(n=4)["params"]}, partial=True)
    with pytest.raises(CheckpointError, match="ema is absent in the checkpoint"):
        Checkpoints(tmp_path).restore({"ema": jnp.ones(1)}, partial=True)
    with pytest.raises(CheckpointError, match="it holds no ema, only params, step"):
        Checkpoints(tmp_path).read("ema")
    with pytest.raises(CheckpointError, match=r"holds another state: params/b is float32.* and absent here"):
        Checkpoints(tmp_path).restore({"step": state()["step"]})
    spoil(tmp_path, 2)
    assert Checkpoints(tmp_path, report=said.append).read("params").step == 1
    assert "checkpoint 2 is damaged (its arrays are not those that were saved)" in said[0]
    assert Checkpoints(tmp_path / "none").read("params") is None
