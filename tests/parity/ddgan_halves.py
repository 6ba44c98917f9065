"""Both halves of a recorded iteration of a denoising diffusion GAN: what is computed, and how it is compared."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdiff import process
from jaxdiff.losses import adversarial
from jaxdiff.train.adversarial import adversarial_step
from tests.support.arrays import close, nchw

VALUES, GRADIENTS, CHANGES = 1e-10, 1e-9, 1e-6
STORED = 1e-6  # what float32 keeps


def remember():
    """An optax link that passes gradients on and keeps the last ones."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params=None: (grads, grads)
    )


def step_of(run, optimizers, beta):
    """step(process, state, batch), compiled once for all tables of one size."""

    def step(chain, state, batch):
        return adversarial_step(
            run.generate,
            run.discriminate,
            optimizers,
            chain,
            draw=lambda key, batch: (batch["x0"], batch["d"], batch["g"]),
            beta=beta,
            gamma=run.args["r1_gamma"],
            r1_every=run.args["lazy_reg"] or 1,
        )(state, jax.random.key(0), batch)

    return jax.jit(step)


def half_of(run):
    """half(params, x0, draws) -> (images by their recorded names, logits of the real ones, of the fakes)."""
    chain = run.tables[""]

    def half(params, x0, draws):
        x_prev, x = process.ddgan.pair(chain, x0, draws.t, draws.noise_prev, draws.noise)
        t = draws.t.astype(x.dtype)
        x0_hat = run.generate(params.generator, x, t, draws.latent)
        fake = process.ddgan.sample_posterior(chain, x0_hat, x, draws.t, draws.noise_posterior)
        logits = (run.discriminate(params.discriminator, a, x, t) for a in (x_prev, fake))
        return {"x_t": x_prev, "x_tp1": x, "x_0_predict": x0_hat, "x_pos_sample": fake}, *logits

    return jax.jit(half)


def close_where_recorded(found, expected, rtol, scale=None):
    """Leaf by leaf, relative to the leaf's largest value or to `scale`; every leaf that is recorded counts."""
    compared = 0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        known = np.isfinite(b)
        if known.any():
            allowed = rtol * (np.abs(b[known]).max() if scale is None else scale)
            np.testing.assert_allclose(np.asarray(a)[known], b[known], rtol=0, atol=max(allowed, 1e-17))
            compared += 1
    assert compared


def compare_half(arrays, half, letter, index=...):
    """Losses and, where they are recorded, logits and images of the discriminator's half, "d", or the generator's."""
    images, real, fake = half
    if letter == "d":
        logits = {"D_real": real, "D_fake": fake}
        close(jnp.mean(adversarial.real_loss(real)), arrays["out/errD_real"][index], VALUES)
        close(jnp.mean(adversarial.fake_loss(fake)), arrays["out/errD_fake"][index], VALUES)
    else:
        logits = {"D_fake_in_G_step": fake}
    for name, found in logits.items():
        if f"out/{name}" in arrays:
            close(found, arrays[f"out/{name}"][index], VALUES)
    for name, image in images.items():
        for kind, tolerance in (("out", VALUES), ("mid", STORED)):
            if f"{kind}/{letter}_{name}" in arrays:
                close(nchw(image), arrays[f"{kind}/{letter}_{name}"][index], tolerance)
