"""Training of two networks against each other: one pure step that moves the discriminator, then the generator.

The state is a `TrainState` whose `params` and `opt_state` hold one tree a network; the average is the generator's.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdiff.losses import adversarial
from jaxdiff.process import ddgan
from jaxdiff.process.ddgan import DiscretizedProcess, Draws
from jaxdiff.train import ema, fully_sharded
from jaxdiff.train.state import TrainState
from jaxdiff.train.step import Step, accumulate, where_finite
from jaxdiff.types import Array, Batch, Key, Params, PyTree

Generate = Callable[[Params, Batch, Array, Array], Batch]
"""generator(params, x, t, latent) -> x0_hat [B, ...], x = x_{t+1} in native coordinates, t [B] = 0 .. T-1."""
Discriminate = Callable[[Params, Batch, Batch, Array], Array]
"""discriminator(params, x_prev, x, t) -> logits [B] that x_prev, with x = x_{t+1}, is a real x_t."""
Transition = Callable[[DiscretizedProcess, Batch, Batch, Array, Batch], Batch]
"""transition(process, output, x, t, noise) -> x_prev, the fake x_t."""


class Networks(NamedTuple):
    """The same of both networks: parameters, optimisers, their states."""

    generator: PyTree
    discriminator: PyTree


def create(params: Networks, optimizers: Networks) -> TrainState:
    """Create the state before the first step; the average starts at the generator's parameters.

    Args:
      params: of both networks.
      optimizers: of optax, of both.
    Example:
      >>> adam = optax.adam(1e-3, b1=0.5, b2=0.9)
      >>> state = create(Networks({"w": jnp.ones(2)}, {"v": jnp.ones(3)}), Networks(adam, adam))
      >>> state.params.discriminator["v"].shape, state.ema["w"].shape
      ((3,), (2,))
    """
    opt_state = Networks(*(optimizer.init(p) for optimizer, p in zip(optimizers, params, strict=True)))
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, jax.tree.map(jnp.copy, params.generator))


def adversarial_step(
    generator: Generate,
    discriminator: Discriminate,
    optimizers: Networks,
    process: DiscretizedProcess,
    draw: Callable[[Key, PyTree], tuple[Batch, Draws, Draws]],
    beta: Callable[[Array], Array],
    gamma: float,
    r1_every: int = 1,
    transition: Transition = ddgan.sample_posterior,
    rounds: int = 1,
) -> Step:
    """Build a step of DDGAN: the discriminator's, then the generator's against the new discriminator, then the average.

    D: mean softplus(-D(x_t, x_{t+1}, t)) + R1 + mean softplus(D(x~_t, x_{t+1}, t));  G: mean softplus(-D(x~_t, ...))
    with x~_t ~ q(x_t | x_{t+1}, G(x_{t+1}, t, latent)), on pairs of their own.

    Args:
      generator, discriminator: pure functions of their parameters; the `apply` of `nets.ddgan`'s networks fit.
      optimizers: of optax.
      process: tables of T steps, from `ddgan.discretize`; T = 1 is a one-shot GAN.
      draw: (key, batch) -> (x0, draws of D's half, of G's half), such as `draw_examples`; its key is
        fold_in(key, state.step).
      beta: the average's decay, from `constant_decay`.
      gamma: of R1. r1_every: it is added at steps that this divides, not rescaled; 1 is always, and the only one that
        shares a forward pass. On CPUs lazy R1 pays from about 10 on; 15 is the released command's for CIFAR-10.
      transition: what makes x~_t of the generator's output; `ddgan.direct` where it is x~_t already.
      rounds: of accumulation, by `accumulate`, in either half of the step; the draws do not depend on it.
    Returns: step(state, key, batch) -> (state, metrics), pure, as `fit` wants it. A step in which a loss, gradient or
      update of either network is not finite changes nothing but the count.
    Raises: ValueError when r1_every is below 1 or gamma negative.
    Reference: Xiao et al. 2022, section 3.2; Karras et al. 2020 (1912.04958) for lazy regularisation.
    Example:
      >>> from jaxdiff.process import betas
      >>> g = lambda params, x, t, latent: params * x
      >>> d = lambda params, x_prev, x, t: params * x_prev[:, 0]
      >>> both, tables, beta = Networks(optax.sgd(0.1), optax.sgd(0.1)), ddgan.discretize(betas.vp(4)), jnp.zeros_like
      >>> step = adversarial_step(g, d, both, tables, draw_examples(4, 0), beta, gamma=0.0)
      >>> state = create(Networks(jnp.array(1.0), jnp.array(0.0)), both)
      >>> state, metrics = jax.eval_shape(step, state, jax.random.key(0), {"image": jnp.ones((8, 1))})
      >>> sorted(metrics)[:4]
      ['discriminator_grad_norm', 'discriminator_loss', 'discriminator_update_norm', 'generator_grad_norm']
    """
    if r1_every < 1:
        raise ValueError(f"r1_every must be at least 1, got {r1_every}")
    if not gamma >= 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")

    def conditioning(draws: Draws, x: Batch) -> Array:
        # In the type of x, since networks embed integers in float32 even where all else is float64.
        return draws.t.astype(x.dtype)

    def fake(params: Params, x: Batch, draws: Draws) -> Batch:
        x0_hat = generator(params, x, conditioning(draws, x), draws.latent)
        return transition(process, x0_hat, x, draws.t, draws.noise_posterior)

    def pair(x0: Batch, draws: Draws) -> tuple[Batch, Batch]:
        return ddgan.pair(process, x0, draws.t, draws.noise_prev, draws.noise)

    def discriminator_loss(d: Params, x_prev: Batch, x_fake: Batch, x: Batch, t: Array) -> Array:
        d = fully_sharded.all_gather(d)
        real, fakes = (discriminator(d, a, x, t) for a in (x_prev, x_fake))
        return jnp.mean(adversarial.real_loss(real)) + jnp.mean(adversarial.fake_loss(fakes))

    def discriminator_loss_with_r1(d: Params, x_prev: Batch, x_fake: Batch, x: Batch, t: Array) -> tuple[Array, Array]:
        d = fully_sharded.all_gather(d)
        losses, r1 = adversarial.real_loss_with_r1(lambda x_prev: discriminator(d, x_prev, x, t), x_prev, gamma)
        loss = jnp.mean(losses) + jnp.mean(adversarial.fake_loss(discriminator(d, x_fake, x, t)))
        return loss + jnp.mean(r1), jnp.mean(r1)

    def r1_penalty(d: Params, x_prev: Batch, x: Batch, t: Array) -> Array:
        d = fully_sharded.all_gather(d)
        return jnp.mean(adversarial.real_loss_with_r1(lambda x_prev: discriminator(d, x_prev, x, t), x_prev, gamma)[1])

    def discriminator_gradient(
        params: Networks, step: Array, examples: tuple[Batch, Draws]
    ) -> tuple[Array, Array, Params]:
        """(loss without R1, R1, gradient of their sum)."""
        x0, draws = examples
        x_prev, x = pair(x0, draws)
        d, t = params.discriminator, conditioning(draws, x)
        x_fake = fake(fully_sharded.all_gather(params.generator), x, draws)
        if r1_every == 1:
            (total, r1), grads = jax.value_and_grad(discriminator_loss_with_r1, has_aux=True)(d, x_prev, x_fake, x, t)
            return total - r1, r1, grads
        loss, grads = jax.value_and_grad(discriminator_loss)(d, x_prev, x_fake, x, t)
        # R1 alone is in the branch, since XLA's CPU backend computes gradients of convolutions slowly inside one.
        without = lambda d, *_: (jnp.zeros_like(loss), jax.tree.map(jnp.zeros_like, d))  # noqa: E731
        r1, more = jax.lax.cond(step % r1_every == 0, jax.value_and_grad(r1_penalty), without, d, x_prev, x, t)
        return loss, r1, jax.tree.map(jnp.add, grads, more)

    def generator_loss(g: Params, d: Params, examples: tuple[Batch, Draws]) -> Array:
        x0, draws = examples
        _, x = pair(x0, draws)
        g, d = fully_sharded.all_gather(g), fully_sharded.all_gather(d)
        return jnp.mean(adversarial.real_loss(discriminator(d, fake(g, x, draws), x, conditioning(draws, x))))

    def step(state: TrainState, key: Key, batch: PyTree) -> tuple[TrainState, dict[str, Array]]:
        x0, draws_d, draws_g = draw(jax.random.fold_in(key, state.step), batch)
        d_of = lambda _, part: discriminator_gradient(state.params, state.step, part)  # noqa: E731
        d_loss, r1, grads = accumulate(d_of, (x0, draws_d), rounds)
        d, d_state, norms = _update(optimizers.discriminator, grads, state, "discriminator")
        metrics = {"discriminator_loss": d_loss, "r1": r1, **norms}
        # The generator meets the old discriminator where the new one is broken, so that the metrics show which it was.
        opponent = where_finite(metrics, d, state.params.discriminator)
        g_of = lambda _, part: jax.value_and_grad(generator_loss)(state.params.generator, opponent, part)  # noqa: E731
        g_loss, grads = accumulate(g_of, (x0, draws_g), rounds)
        g, g_state, norms = _update(optimizers.generator, grads, state, "generator")
        metrics |= {"generator_loss": g_loss, **norms}
        new = (Networks(g, d), Networks(g_state, d_state), ema.update(state.ema, g, beta(state.step)))
        return TrainState(state.step + 1, *where_finite(metrics, new, tuple(state[1:]))), metrics

    return step


def draw_examples(num_steps: int, latent_dim: int) -> Callable[[Key, PyTree], tuple[Batch, Draws, Draws]]:
    """Build the `draw` of `adversarial_step`: the batch's images, and draws of its own for each half of the step.

    Args:
      num_steps: T.
      latent_dim: numbers in the latent, >= 0.
    Returns: (key, batch) -> (x0, draws of the discriminator's half, of the generator's).
    Example:
      >>> x0, for_d, for_g = draw_examples(4, 5)(jax.random.key(0), {"image": jnp.zeros((3, 2))})
      >>> for_d.latent.shape, bool((for_d.latent == for_g.latent).any())
      ((3, 5), False)
    """

    def draw(key: Key, batch: PyTree) -> tuple[Batch, Draws, Draws]:
        key_d, key_g = jax.random.split(key)
        for_d, for_g = (ddgan.draw(k, batch["image"], num_steps, latent_dim) for k in (key_d, key_g))
        return batch["image"], for_d, for_g

    return draw


def _update(
    optimizer: optax.GradientTransformation, grads: Params, state: TrainState, network: str
) -> tuple[Params, PyTree, dict[str, Array]]:
    """One network's new parameters, its optimiser's new state, and their norms by name."""
    params = getattr(state.params, network)
    updates, opt_state = optimizer.update(grads, getattr(state.opt_state, network), params)
    norms = {
        f"{network}_grad_norm": fully_sharded.global_norm(grads),
        f"{network}_update_norm": fully_sharded.global_norm(updates),
    }
    return optax.apply_updates(params, updates), opt_state, norms
