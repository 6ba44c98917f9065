# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Denoising diffusion GANs in jaxdiff
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/ddgan.ipynb)
#
# Why few large steps need more than Gaussians, and how a GAN gives it, after Xiao et al. 2022 (arXiv 2112.07804).
#
# - **Time on a CPU:** one minute: 41 s of processor time (2026-12-01, 2 cores, jax 0.12.0).
# - **On a TPU or GPU:** choose it first, under *Runtime > Change runtime type*. Nothing needs to change here, and
#   networks this small gain little. Not yet run on one.

# %% cellView="form" tags=["hide-input"]
# @title Setup: run this first; it keeps the jax, flax and numpy that are here
# It fetches and installs what is missing, and does nothing in a clone where jaxdiff is installed.
import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

SOURCE = os.environ.get("JAXDIFF_SOURCE", "https://github.com/jaxdiff/jaxdiff")  # or the path of a clone
NEEDED = (
    "jaxdiff", "experiments", "jaxtyping", "PIL", "absl", "array_record", "diffrax", "equinox", "grain", "matplotlib",
    "msgpack", "safetensors", "sklearn", "tensorflow_datasets", "tyro",
)  # fmt: skip
KEPT = "jax", "jaxlib", "flax", "numpy", "optax", "chex", "orbax-checkpoint"


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2_000:]}")


here = Path.cwd()
clone = next((p for p in (here, *here.parents) if (p / "experiments/edm_digits.py").exists()), here / "jaxdiff_source")
sys.path.insert(0, str(clone))
if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
    print("missing here:", *missing)
    if not clone.exists():
        run("git", "clone", "--quiet", "--depth", "1", SOURCE, str(clone))
    pins = []
    for name in KEPT:  # pip then says what conflicts with them, and replaces none
        with suppress(metadata.PackageNotFoundError):
            pins.append(f"{name}=={metadata.version(name)}")
    run(sys.executable, "-m", "pip", "install", "--editable", f"{clone}[experiments]", *pins)
    importlib.invalidate_caches()

import jax
from absl import logging

logging.set_verbosity(logging.ERROR)  # without libraries' remarks on each other's versions
print(f"jax {jax.__version__} on {jax.devices()}")

# %%
from fractions import Fraction
from functools import partial
from itertools import pairwise

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from scipy.stats import wasserstein_distance

from jaxdiff import gaussian_mixture, process
from jaxdiff.nets.mlp import MLP
from jaxdiff.samplers import ddgan, sample, x0_sampler
from jaxdiff.train.adversarial import Networks, adversarial_step, create, draw_examples
from jaxdiff.train.ema import constant_decay

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # the tests run this notebook in under a minute

# %% [markdown]
# ## 1. One step back is a Gaussian only when it is small
# Going forward, every step adds Gaussian noise. Going back, $q(x_{t'} \mid x_t)$ answers "which cleaner point did this
# noisy one come from?", and the answer may be "from here, or from there". For a mixture of Gaussians it is a mixture
# again, in closed form (`gaussian_mixture.denoising`). Below, the same noisy point $x_t$ at a quarter of the
# way to noise, $t = 1/4$, and steps back of growing size, the last one all the way to the data. Dashed: the Gaussian
# with the same mean and variance, the best that DDPM's step could do with a perfect network.

# %%
data = gaussian_mixture.mixture([[-1.3], [0.0], [1.0]], [0.3, 0.3, 0.4], 0.015)
BETA_MIN, BETA_MAX = 0.1, 20.0


def sigma_at(t):
    """Noise level at time t in [0, 1] of the VP SDE, x = x_t * sqrt(1 + sigma^2)."""
    return float(np.sqrt(np.expm1(BETA_MIN * t + (BETA_MAX - BETA_MIN) * t**2 / 2)))


def step_back(x_t, sigma, sigma_next):
    """The true q(x_t' | x_t), a mixture, in the coordinates of x_t' = x / sqrt(1 + sigma_next^2)."""
    q = gaussian_mixture.denoising(data, [x_t * np.sqrt(1 + sigma**2)], sigma, sigma_next)
    return gaussian_mixture.scaled(q, 1 / np.sqrt(1 + sigma_next**2))


def fitted(q):
    """The Gaussian with the mean and the variance of q."""
    mean, variance = gaussian_mixture.moments(q)
    return gaussian_mixture.mixture([mean], variances=variance[0])


def density(q, grid):
    """On a grid of points, in double precision on the host."""
    means, weights, variances = q
    return np.exp(-((grid[:, None] - means[:, 0]) ** 2) / (2 * variances)) / np.sqrt(2 * np.pi * variances) @ weights


def divergence(q):
    """KL(q || its Gaussian) in nats, by a fine sum."""
    grid = np.linspace(-6, 6, 60_001)
    p, g = density(q, grid), density(fitted(q), grid)
    inside = (p > 1e-300) & (g > 1e-300)
    return float(np.sum(p[inside] * np.log(p[inside] / g[inside])) * (grid[1] - grid[0]))


x_t, t = 0.15, 1 / 4
grid = np.linspace(-2.6, 2.6, 800)
fig, axes = plt.subplots(1, 5, figsize=(15, 3.2), layout="constrained")
for axis, size in zip(axes, ("1/64", "1/16", "1/8", "3/16", "1/4"), strict=True):
    t_next = t - float(Fraction(size))
    q = step_back(x_t, sigma_at(t), sigma_at(t_next))
    axis.fill_between(grid, density(q, grid), color="tab:blue", alpha=0.35, lw=0, label="true")
    axis.plot(grid, density(fitted(q), grid), "k--", lw=1, label="Gaussian")
    axis.axvline(x_t, color="tab:red", lw=1, label="$x_t$")
    axis.set(title=f"step of {size}: KL {divergence(q):.1g}", yticks=[], xlabel=f"$x$ at $t$ = {t_next:.3g}")
axes[0].legend(frameon=False, loc="upper left")
fig.suptitle("where $x_t$ may have come from, by the size of the step back")
plt.show()

# %% [markdown]
# At 1/64 of the way nobody can tell the two apart: that is why DDPM works, and why it needs so many steps. At 1/4, one
# of four steps, the true law has three modes that no Gaussian has; the fit puts mass where there is none.
#
# ## 2. A generator instead of the Gaussian
# Denoising diffusion GANs take $T = 4$ steps. A generator $G(x_t, t, z)$ with a random latent $z$ draws an $x_0$, and
# $x_{t-1}$ follows from $q(x_{t-1} \mid x_t, x_0)$, which is a Gaussian exactly. A discriminator sees pairs
# $(x_{t-1}, x_t)$ and separates real from generated ones. With another $z$, the same $x_t$ may lead elsewhere: that is
# how a step gets several modes. Here both are small dense networks; the step is the library's `adversarial_step`.

# %%
T, LATENT, BATCH = 4, 2, 512
STEPS = 300 if FAST else 8_000
betas = process.betas.vp(T, BETA_MIN, BETA_MAX)
chain = process.ddgan.discretize(betas)
generator_net, discriminator_net = MLP(1, 64), MLP(1, 64)


def generator(params, x, t, latent):
    return generator_net.apply(params, t, x, latent)


def discriminator(params, x_prev, x, t):
    return discriminator_net.apply(params, t, x_prev, x)[:, 0]


def adam(rate):
    return optax.adam(optax.cosine_decay_schedule(rate, STEPS, alpha=0.05), b1=0.5, b2=0.9)


optimizers = Networks(adam(1e-3), adam(1e-3))
train = adversarial_step(
    generator, discriminator, optimizers, chain, draw_examples(T, LATENT), constant_decay(0.999), gamma=0.05
)
key_g, key_d, key_train = jax.random.split(jax.random.key(0), 3)
point, time, latent = jnp.zeros((1, 1)), jnp.zeros(1), jnp.zeros((1, LATENT))
state = create(
    Networks(
        generator_net.init(key_g, time, point, latent),
        discriminator_net.init(key_d, time, point, point),
    ),
    optimizers,
)


@partial(jax.jit, donate_argnums=0)
def many(state):
    """A hundred steps in one program."""

    def one(state, _):
        x0 = gaussian_mixture.sample(data, jax.random.fold_in(key_train, -1 - state.step), BATCH)
        return train(state, key_train, {"image": x0})

    return jax.lax.scan(one, state, length=100)


history = []
for _ in range(STEPS // 100):
    state, metrics = many(state)
    history.append((float(metrics["discriminator_loss"].mean()), float(metrics["generator_loss"].mean())))

plt.figure(figsize=(6, 2.8), layout="constrained")
plt.plot(100 * np.arange(1, len(history) + 1), history, label=["discriminator", "generator"])
plt.axhline(2 * np.log(2), color="k", lw=0.8, ls=":")
plt.axhline(np.log(2), color="k", lw=0.8, ls=":")
plt.xlabel("steps")
plt.ylabel("loss")
plt.legend(frameon=False)
plt.title("dotted: where a discriminator ends that cannot tell")
plt.show()

# %% [markdown]
# ## 3. What it draws, step by step
# For each of the four steps one noisy point $x_t$, and 20,000 draws of $x_{t-1}$ from it, with the truth in closed
# form and the Gaussian of the same mean and variance. The first steps, from almost pure noise, need no more than a
# Gaussian; the last one, that of the figure above, does. This small generator finds the modes and not yet their widths.


# %%
@jax.jit
def draws(t, x_t, key):
    """[20000] draws of x_{t-1} from one x_t; networks count steps t = 0 .. T-1, so that 0 is the one into the data."""
    key_latent, key_noise = jax.random.split(key)
    x = jnp.full((20_000, 1), x_t)
    t = jnp.full(20_000, t)
    x0 = generator(state.ema, x, t.astype(x.dtype), jax.random.normal(key_latent, (20_000, LATENT)))
    return process.ddgan.sample_posterior(chain, x0, x, t, jax.random.normal(key_noise, x.shape))[:, 0]


sigmas = process.betas.sigmas(betas)  # from high to low, and 0 at the end
fig, axes = plt.subplots(1, T, figsize=(14, 3.2), layout="constrained")
for step, (axis, x_t) in enumerate(zip(axes, (0.3, 0.3, 0.15, 0.15), strict=True)):
    q = step_back(x_t, sigmas[step], sigmas[step + 1])
    drawn_points = draws(T - 1 - step, x_t, jax.random.key(step))
    axis.fill_between(grid, density(q, grid), color="tab:blue", alpha=0.35, lw=0, label="true")
    axis.plot(grid, density(fitted(q), grid), "k--", lw=1, label="Gaussian")
    axis.hist(drawn_points, grid[::8], density=True, histtype="step", color="tab:orange", lw=1.5, label="generator")
    axis.axvline(x_t, color="tab:red", lw=1, label="$x_t$")
    axis.set(title=f"from $x_{T - step}$ to $x_{T - step - 1}$", yticks=[], xlim=(-2.6, 2.6))
axes[0].legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ## 4. Four steps from noise to data
# The same noise through four steps of the generator, and through four steps of the best Gaussians, whose means and
# variances are exact at every point. One step blurred is a chain blurred. The distance is Wasserstein's, in the units
# of $x$: how far mass has to be carried to become the data's; between two draws of the data it is the first number.

# %%
num = 2_000 if FAST else 10_000
rng = np.random.default_rng(0)
noise = rng.normal(size=(num, 1))
start = jnp.asarray(noise * sigmas[0], jnp.float32)
by_gan = np.asarray(
    sample(ddgan(LATENT), x0_sampler(generator, state.ema, betas), start, sigmas, key=jax.random.key(1))
)[:, 0]

x = noise[:, 0] * sigmas[0] / np.sqrt(1 + sigmas[0] ** 2)
for sigma, sigma_next in pairwise(sigmas):
    mean, variance = np.array([gaussian_mixture.moments(step_back(x_t, sigma, sigma_next)) for x_t in x])[..., 0].T
    x = mean + np.sqrt(variance) * rng.normal(size=num)

true = np.asarray(gaussian_mixture.sample(data, jax.random.key(2), num))[:, 0]
again = np.asarray(gaussian_mixture.sample(data, jax.random.key(3), num))[:, 0]
fig, axes = plt.subplots(1, 3, figsize=(13, 3.2), sharex=True, sharey=True, layout="constrained")
for axis, title, points in (
    (axes[0], "the data, drawn again", again),
    (axes[1], "four steps of the generator", by_gan),
    (axes[2], "four steps of the best Gaussians", x),
):
    axis.fill_between(grid, density(data, grid), color="tab:blue", alpha=0.35, lw=0)
    axis.hist(points, grid[::8], density=True, histtype="step", color="tab:orange", lw=1.5)
    axis.set(title=f"{title}: {wasserstein_distance(points, true):.3f}", yticks=[])
plt.show()

# %% [markdown]
# On images the same holds, with networks to match: `python -m experiments.ddgan_digits`, and `ddgan_25gaussians`, where
# `--num-steps 1` is the one-shot GAN that loses modes.
