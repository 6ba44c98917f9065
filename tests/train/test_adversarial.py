"""The step of two networks: what it computes, when R1 is on, what it does with values that are not finite, resuming."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.adversarial import parts
from experiments import ddgan_cifar
from experiments.systems import ddgan
from jaxdiff import process
from jaxdiff.data import pipeline
from jaxdiff.nets.ddgan.discriminator import Discriminator
from jaxdiff.nets.ddgan.generator import Generator
from jaxdiff.train import loop
from jaxdiff.train.adversarial import Networks, adversarial_step, create, draw_examples
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.ema import constant_decay
from jaxdiff.train.learning_rates import cosine_by_epoch
from tests.support.tiers import full

KEY, LATENT, DIM = jax.random.key(0), 3, 2
RNG = np.random.default_rng(0)
BATCH = {"image": jnp.asarray(RNG.normal(size=(8, DIM)), jnp.float32)}


def generator(params, x, t, latent):
    return jnp.tanh(jnp.concatenate([x, latent, t[:, None] / 4], axis=1) @ params["w"])


def discriminator(params, x_prev, x, t):
    h = jnp.tanh(jnp.concatenate([x_prev, x, t[:, None] / 4], axis=1) @ params["a"])
    return h @ params["b"]


def make(num_steps=4, latent_dim=LATENT, **kwargs):
    rng = np.random.default_rng(1)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    params = Networks({"w": normal(DIM + latent_dim + 1, DIM)}, {"a": normal(2 * DIM + 1, 5), "b": normal(5)})
    optimizers = Networks(optax.adam(1e-2, b1=0.5, b2=0.9), optax.adam(2e-2, b1=0.5, b2=0.9))
    chain = process.ddgan.discretize(process.betas.vp(num_steps))
    arguments = {"draw": draw_examples(num_steps, latent_dim), "beta": constant_decay(0.9), "gamma": 0.5} | kwargs
    networks = (arguments.pop("generator", generator), arguments.pop("discriminator", discriminator))
    return adversarial_step(*networks, optimizers, chain, **arguments), create(params, optimizers), optimizers


def by_hand(state, optimizers, gamma, num_steps=4, latent_dim=LATENT, transition=process.ddgan.sample_posterior):
    """The state after one step, written out."""
    chain = process.ddgan.discretize(process.betas.vp(num_steps))
    x0, for_d, for_g = draw_examples(num_steps, latent_dim)(jax.random.fold_in(KEY, state.step), BATCH)
    softplus = lambda a: jnp.log(1 + jnp.exp(a))  # noqa: E731
    g, d = state.params

    def fake(g, x, draws):
        return transition(chain, generator(g, x, draws.t, draws.latent), x, draws.t, draws.noise_posterior)

    def d_loss(d):
        x_prev, x = process.ddgan.pair(chain, x0, for_d.t, for_d.noise_prev, for_d.noise)
        one = lambda x_prev, t, x: discriminator(d, x_prev[None], x[None], t[None])[0]  # noqa: E731
        slope = jax.vmap(jax.grad(one))(x_prev, for_d.t, x)
        loss = softplus(-discriminator(d, x_prev, x, for_d.t)) + softplus(
            discriminator(d, fake(g, x, for_d), x, for_d.t)
        )
        return jnp.mean(loss + gamma / 2 * jnp.sum(slope**2, axis=1))

    updates, d_state = optimizers.discriminator.update(jax.grad(d_loss)(d), state.opt_state.discriminator, d)
    moved = optax.apply_updates(d, updates)

    def g_loss(g):
        _, x = process.ddgan.pair(chain, x0, for_g.t, for_g.noise_prev, for_g.noise)
        return jnp.mean(softplus(-discriminator(moved, fake(g, x, for_g), x, for_g.t)))

    updates, g_state = optimizers.generator.update(jax.grad(g_loss)(g), state.opt_state.generator, g)
    return Networks(optax.apply_updates(g, updates), moved), Networks(g_state, d_state)


def assert_close(found, expected, rtol=1e-4):
    chex.assert_trees_all_close(found, expected, rtol=rtol, atol=1e-6)


ablations = pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id=""),
        pytest.param({"num_steps": 1}, id="one-shot", marks=pytest.mark.full),
        pytest.param({"latent_dim": 0}, id="no-latent", marks=pytest.mark.full),
        pytest.param({"transition": process.ddgan.direct}, id="direct"),
    ],
)


@ablations
def test_steps_are_those_written_out(changed):
    step, state, optimizers = make(**changed)
    step = jax.jit(step)
    written_out = jax.jit(lambda state: by_hand(state, optimizers, gamma=0.5, **changed))
    for _ in range(3):
        expected = written_out(state)
        state, metrics = step(state, KEY, BATCH)
        assert_close((state.params, state.opt_state), expected)
        assert np.all(np.isfinite(list(metrics.values())))
    assert int(state.step) == 3


def test_r1_is_lazy():
    """Every third step is one with R1, the others are without it; it is not rescaled."""
    step, state, optimizers = make(r1_every=3)
    step = jax.jit(step)
    written_out = jax.jit(lambda state, gamma: by_hand(state, optimizers, gamma))
    for index in range(7):
        active = index % 3 == 0
        expected = written_out(state, 0.5 if active else 0.0)
        state, metrics = step(state, KEY, BATCH)
        assert (float(metrics["r1"]) > 0) == active
        assert_close((state.params, state.opt_state), expected)
    assert step._cache_size() == 1, "one program, with R1 and without"


def test_lazy_at_every_step_is_not_lazy():
    (always, state, _), (lazy, _, _) = make(), make(r1_every=1_000)
    assert_close(jax.jit(always)(state, KEY, BATCH), jax.jit(lazy)(state, KEY, BATCH))


@pytest.mark.parametrize("r1_every", [*full(1), 3])
def test_accumulation_is_the_whole_batch_to_rounding(r1_every):
    """The draws are made for the whole batch, so that nothing but the order of sums depends on it."""
    (whole, state, _), (parts, _, _) = make(r1_every=r1_every), make(r1_every=r1_every, rounds=4)
    (moved, metrics), (again, accumulated) = (jax.jit(step)(state, KEY, BATCH) for step in (whole, parts))
    assert_close(again, moved)
    assert_close(accumulated, metrics)


def test_the_average_starts_as_a_copy_of_the_first_update():
    step, state, _ = make()
    run = jax.jit(step)
    first, _ = run(state, KEY, BATCH)
    second, _ = run(first, KEY, BATCH)
    chex.assert_trees_all_equal(first.ema, first.params.generator)
    assert_close(second.ema["w"], 0.9 * first.ema["w"] + 0.1 * second.params.generator["w"])


def test_the_discriminator_alone_is_named_where_it_is_not_finite():
    """Its new parameters are broken; the generator met the old ones."""
    step, state, _ = make(gamma=float("inf"))
    moved, metrics = jax.jit(step)(state, KEY, BATCH)
    assert not np.isfinite(metrics["discriminator_grad_norm"])
    assert np.isfinite(metrics["generator_loss"])
    assert np.isfinite(metrics["generator_grad_norm"])
    chex.assert_trees_all_equal(moved[1:], state[1:])
    assert int(moved.step) == 1


def test_a_broken_generator_moves_the_discriminator_neither():
    step, state, _ = make(generator=lambda params, x, t, latent: generator(params, x, t, latent) + jnp.nan)
    moved, metrics = jax.jit(step)(state, KEY, BATCH)
    assert np.isnan(metrics["generator_loss"])
    chex.assert_trees_all_equal(moved[1:], state[1:])


class Poisoned:
    """Good batches, then one with a NaN."""

    def __init__(self):
        self.count = 0

    def __next__(self):
        self.count += 1
        return {"image": np.full((8, DIM), np.nan if self.count == 6 else 1.0, np.float32)}

    def get_state(self):
        return self.count

    def set_state(self, state):
        self.count = state


def test_training_stops_and_names_the_network(tmp_path):
    step, state, _ = make()
    schedule = loop.TrainSchedule(20, log_every=2, checkpoint_every=2)
    match = r"discriminator_loss=nan.* at step 5; the last good checkpoint is step 4"
    with pytest.raises(loop.TrainingDiverged, match=match):
        loop.fit(step, state, Poisoned(), KEY, schedule, tmp_path, report=lambda line: None)
    restored = Checkpoints(tmp_path).restore(make()[1])
    assert restored.step == 4
    assert jax.tree.all(jax.tree.map(lambda a: bool(jnp.all(jnp.isfinite(a))), restored.state))


@pytest.mark.parametrize(
    ("broken", "named", "other"),
    [
        ({"discriminator": lambda *inputs: discriminator(*inputs) / 0.0}, "discriminator_loss=nan", None),
        ({"gamma": float("inf")}, "discriminator_loss=", "generator"),
        ({"transition": lambda chain, *inputs: inputs[0] * jnp.inf}, "generator_loss=", None),
    ],
    ids=["logits", "R1", "fakes"],
)
def test_what_is_not_finite_is_named_and_nothing_else(broken, named, other, tmp_path):
    """The discriminator alone where only it is broken; both where one's values reach the other."""
    step, state, _ = make(**broken)
    source = pipeline.batches(pipeline.ArraySource(image=np.ones((8, DIM), np.float32)), 8, 0)
    with pytest.raises(loop.TrainingDiverged, match=rf"{named}.* at step 0; the last good checkpoint is none") as said:
        loop.fit(step, state, source, KEY, loop.TrainSchedule(4, log_every=1), tmp_path, report=lambda line: None)
    assert other is None or other not in str(said.value)


def test_a_resumed_pair_of_networks_is_the_unbroken_one(tmp_path):
    """Both networks, both optimisers and the average, bit for bit, through R1 that is on at every third step."""
    source = pipeline.ArraySource(image=RNG.normal(size=(40, DIM)).astype(np.float32))

    def train(folder, num_steps):
        step, state, _ = make(r1_every=3)
        schedule = loop.TrainSchedule(num_steps, log_every=2, checkpoint_every=4)
        lines = []
        return loop.fit(step, state, pipeline.batches(source, 8, 0), KEY, schedule, folder, report=lines.append), lines

    unbroken, _ = train(tmp_path / "unbroken", 10)
    train(tmp_path / "broken", 5)
    resumed, lines = train(tmp_path / "broken", 10)
    chex.assert_trees_all_equal(resumed, unbroken)
    assert lines[0] == "resuming from step 5"
    assert any("discriminator_loss 1." in line and "generator_loss" in line for line in lines)
    last = json.loads((tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"discriminator_loss", "generator_loss", "r1"} <= set(last)


def test_bad_input():
    with pytest.raises(ValueError, match="r1_every must be at least 1, got 0"):
        make(r1_every=0)
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1"):
        make(gamma=-1)
    with pytest.raises(ValueError, match=r"decay must be in \[0, 1\], got 1.5"):
        constant_decay(1.5)
    with pytest.raises(ValueError, match="steps_per_epoch must be at least 1, got 0"):
        cosine_by_epoch(1e-4, 0, 10)
    step, state, _ = make(discriminator=lambda *inputs: discriminator(*inputs)[:, None])
    with pytest.raises(ValueError, match=r"logits must be \[B\]"):
        jax.eval_shape(step, state, KEY, BATCH)


def networks(config, width, shape):
    """The digits' kinds of network, with one block at each of fewer resolutions."""
    generator = Generator(
        8, 1, 1, model_channels=width, channel_mult=(1,), num_blocks=1, attn_resolutions=(),
        latent_dim=config.latent_dim, map_features=width, map_layers=1,
    )  # fmt: skip
    return generator, Discriminator(1, width, emb_channels=width, channel_mult=(1, 2), same=1)


@pytest.mark.full
def test_the_step_has_the_flops_of_its_passes(monkeypatch):
    """One program that does what its passes do, and no more, R1's gradient of a gradient among them: counted by the
    compiler, within 10 %, since a time is never asserted."""
    monkeypatch.setattr(ddgan, "digit_networks", networks)
    config = ddgan_cifar.resolve(ddgan_cifar.Config(batch_size=8, model_channels=8))
    step, *passes = (part.flops for part in parts(config).values())
    assert step == pytest.approx(sum(passes), rel=0.1)
    assert min(passes) > 0
