"""What a model returns is what was asked, or the loss says so: what broadcasts would be trained on silently."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, losses, precond, probability_flow, process, samplers
from jaxdiff.losses import consistency, distances, elbo, progressive, score, vdm
from jaxdiff.losses.consistency import scm
from jaxdiff.process import betas, reverse_kernel

X, LEVEL, LOWER = np.ones((4, 2)), np.full(4, 0.7), np.full(4, 0.5)
SDE, CHAIN, L2 = process.sde.vp(), betas.cosine(5), distances.l2
PROCESS = process.ddgan.discretize(CHAIN)
right = lambda x, level: x  # noqa: E731


def of_network(model):
    return lambda params, x, c_noise: model(x, c_noise)


USES = {
    "denoising": lambda model: losses.denoising_loss(model, X, LEVEL, X),
    "edm": lambda model: losses.edm_loss(model, X, LEVEL, X),
    "score": lambda model: score.score_loss(model, SDE, X, LEVEL, X),
    "sliced": lambda model: score.sliced_score_loss(model, X, LEVEL, X),
    "distillation": lambda f: consistency.distillation_loss(f, f, right, X, LEVEL, LOWER, X, distance=L2),
    "its target": lambda f: consistency.distillation_loss(right, f, right, X, LEVEL, LOWER, X, distance=L2),
    "its teacher": lambda f: consistency.distillation_loss(right, right, f, X, LEVEL, LOWER, X, distance=L2),
    "training": lambda f: consistency.training_loss(f, f, X, LEVEL, LOWER, X, distance=L2),
    "improved": lambda f: consistency.improved_training_loss(f, X, LEVEL, LOWER, X),
    "progressive": lambda f: progressive.progressive_loss(f, right, X, (LEVEL, LOWER, LOWER / 2), X, distance=L2),
    "its teacher of two": lambda f: progressive.two_step_target(f, X, LEVEL, LOWER, LOWER / 2),
    "ode_slope": lambda f: consistency.continuous.ode_slope(f, X, LEVEL),
    "tangent": lambda f: consistency.continuous.tangent_loss(f, X, LEVEL, X, distance=L2),
    "stopped tangent": lambda f: consistency.continuous.stopped_tangent_loss(f, X, LEVEL, X),
    "sct": lambda f: scm.sct_loss(f, X, LEVEL, X),
    "scd": lambda f: scm.scd_loss(right, f, X, LEVEL, X),
    "vdm": lambda f: vdm.continuous_loss(f, lambda t: 2 * t, X, LEVEL, X),
    "vdm, discrete": lambda f: vdm.discrete_loss(f, lambda t: 2 * t, X, LEVEL, X, 4),
    "vdm's step": lambda f: process.vdm.reverse_step(f, jnp.asarray(X), 1.0, 0.0, X),
    "vdm's eps": lambda f: process.vdm.as_eps_model(f)(jnp.asarray(X), jnp.asarray(LEVEL)),
    "elbo": lambda f: elbo.hvae_elbo(
        elbo.ddpm_hvae(CHAIN, reverse_kernel.fixed(), f, lambda *_: X), X, key=jax.random.key(0)
    ),
    "learned variance": lambda f: reverse_kernel.learned()(lambda x, s: (f(x, s), x), X, LEVEL, LOWER),
    "learned values": lambda f: reverse_kernel.learned_range()(lambda x, s: (x, f(x, s)), X, LEVEL, LOWER),
    "classifier": lambda f: reverse_kernel.guided(reverse_kernel.fixed(), f)(right, X, LEVEL, LOWER),
    "ddgan": lambda f: process.ddgan.sample_posterior(PROCESS, f(X, LEVEL), X, np.zeros(4, int), X),
    "flow": lambda f: probability_flow.solve(SDE, f, jnp.asarray(X), 1.0, 0.1),
    "a denoiser's score": lambda f: process.reverse_sde.score(SDE, f, X, LEVEL),
    "precond": lambda f: precond.denoiser(of_network(f), None, precond.edm())(X, LEVEL),
    "continuous": lambda f: precond.score_sde.score(of_network(f), None, precond.score_sde.eps(SDE), SDE)(
        jnp.asarray(X), LEVEL
    ),
    "clip": lambda f: guidance.clip(f)(X, LEVEL),
    "trigflow": lambda f: precond.trigflow_network(of_network(f), None)(X, LEVEL),
    "trigflow of edm": lambda f: precond.trigflow_from_edm(of_network(f), None)(X, LEVEL),
    "generator": lambda f: samplers.x0_sampler(lambda p, x, t, z: f(x, t), None, CHAIN)(X, LEVEL[0], X),
    "chain": lambda f: precond.denoiser(of_network(f), None, precond.ddpm.eps(CHAIN))(X, LEVEL),
}
WRONG = {
    "broadcasts": lambda x, level: x[:, :1],
    "one example": lambda x, level: x[:1],
    "integers": lambda x, level: jnp.ones(x.shape, int),
    "a pair": lambda x, level: (x, x),
    "a tuple of one": lambda x, level: (x,),
    "a list": lambda x, level: [x],
    "a dictionary": lambda x, level: {"sample": x},
    "nothing": lambda x, level: None,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_outputs_of_another_shape_or_type_are_refused(use):
    for wrong in WRONG.values():
        with pytest.raises(ValueError, match=r"must return .*floats of the shape of x, \[4, 2\], got \w"):
            jax.eval_shape(partial(use, wrong))
