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
# # DDPM in jaxdiff
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/ddpm.ipynb)
#
# The forward chain, the bound of a hierarchical VAE, and what a network may predict, after Ho et al. 2020 (2006.11239),
# Nichol & Dhariwal 2021 (2102.09672) and Sohl-Dickstein et al. 2015 (1503.03585).
#
# - **Time on a CPU:** one to two minutes: 83 s of processor time (2026-12-01, 2 cores, jax 0.12.0).
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
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxdiff import gaussian_mixture, precond, predictions, process
from jaxdiff.data import digits
from jaxdiff.losses import ddpm, elbo
from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.losses.gaussian import discretized_gaussian, normal_kl, normal_log_prob
from jaxdiff.nets.embeddings import positional
from jaxdiff.process import respacing, reverse_kernel
from jaxdiff.samplers import ancestral, encode, euler, sample

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # the tests run this notebook in under a minute


def same(name, a, b, rtol=1e-4):
    """Print an identity's largest deviation, and insist on it."""
    a, b = np.asarray(a), np.asarray(b)
    deviation = np.max(np.abs(a - b)) / np.max(np.abs(b))
    print(f"{name:<66}{deviation:9.1e}")
    assert deviation < rtol, name


# %% [markdown]
# ## 1. The forward chain
# $q(x_t \mid x_{t-1}) = N(\sqrt{1 - \beta_t}\, x_{t-1}, \beta_t I)$. A thousand such steps are one:
# $q(x_t \mid x_0) = N(\sqrt{\bar\alpha_t}\, x_0, (1 - \bar\alpha_t) I)$. Linear betas spend the last third of the
# chain on noise; the cosine schedule does not.

# %%
SCHEDULES = {"linear": process.betas.linear(1000), "cosine": process.betas.cosine(1000)}
STEPS = [0, 200, 400, 600, 800, 999]
images = jnp.asarray(digits.load("train").images[:3])
noise = jax.random.normal(jax.random.key(0), images.shape)

fig, axes = plt.subplots(6, len(STEPS), figsize=(6, 7))
for block, (name, betas) in enumerate(SCHEDULES.items()):
    hvae = elbo.ddpm_hvae(betas, reverse_kernel.fixed(), None, None)  # only its forward chain is used here
    for place, t in enumerate(STEPS):
        for row, image in enumerate(elbo.sample_latent(hvae, images, jnp.full(3, t), noise)):
            axis = axes[3 * block + row, place]
            axis.imshow(image[..., 0], cmap="gray", vmin=-1.5, vmax=1.5)
            axis.set(xticks=[], yticks=[])
        axes[3 * block, place].set_title(f"{name}\nt = {t}", fontsize=8)
plt.tight_layout()
plt.show()

# %% [markdown]
# ## 2. From the bound of a VAE to the noise-prediction loss
# A hierarchical VAE has latents $z_0, \dots, z_{L-1}$, an encoder $q$ and a decoder $p$. If the encoder is a fixed
# linear Gaussian chain, then
#
# $$-\log p(x) \le \underbrace{E[-\log p(x \mid z_0)]}_{\text{reconstruction}}
# + \sum_{l \ge 1} \underbrace{E\,KL(q(z_{l-1} \mid z_l, x) \,\|\, p(z_{l-1} \mid z_l))}_{\text{denoising matching}}
# + \underbrace{KL(q(z_{L-1} \mid x) \,\|\, p(z_{L-1}))}_{\text{prior matching}}.$$
#
# `jaxdiff.losses.elbo` is written for any such VAE. First one of two layers whose evidence has a closed form:
# $x \sim N(0, v)$ with the exact decoder, reverse step and prior. There the bound must be $-\log p(x)$ itself.

# %%
v, alpha, noise_variance = 0.7, np.array([0.8, 0.3]), np.array([0.2, 0.9])
marginal = alpha**2 * v + noise_variance  # variances of z_0 and z_1


def exact_step(z, layer):
    """p(x | z_0) at layer 0 and p(z_0 | z_1) at layer 1, by regression in the joint Gaussian."""
    a = alpha[1] / alpha[0]
    gain = jnp.where(layer > 0, a * marginal[0] / marginal[1], alpha[0] * v / marginal[0])
    rest = jnp.where(
        layer > 0, marginal[0] * (1 - a**2 * marginal[0] / marginal[1]), v * (1 - alpha[0] ** 2 * v / marginal[0])
    )
    return gain[:, None] * z, jnp.log(rest)[:, None] + 0 * z


two_layers = elbo.HVAE(jnp.asarray(alpha), jnp.asarray(noise_variance), exact_step, normal_log_prob, marginal[1])
# Every term is quadratic in the noise, so that three quadrature nodes give its expectation exactly.
nodes, node_weights = np.polynomial.hermite_e.hermegauss(3)
x = jnp.repeat(jnp.linspace(-2, 2, 5), 3)[:, None]
quadrature = jnp.broadcast_to(jnp.tile(jnp.asarray(nodes), 5)[None, :, None], (2, 15, 1))
minus_elbo = elbo.hvae_elbo(two_layers, x, noise=quadrature).total.reshape(5, 3) @ (node_weights / node_weights.sum())
same("two-layer VAE: -ELBO = -log p(x)", minus_elbo, -normal_log_prob(x[::3, 0], 0.0, np.log(v)))

# %% [markdown]
# A diffusion chain is such a VAE whose layers are the steps. Its identities, one by one, on a mixture of Gaussians with
# the exact denoiser $D$:

# %%
mixture = gaussian_mixture.mixture([[-1.0, 0.3], [0.6, -0.5], [0.5, 0.9]], [0.4, 0.3, 0.3], 0.01)
denoise = partial(gaussian_mixture.denoiser, mixture)
betas = process.betas.cosine(1000)
tables, sigmas = process.betas.tables(betas), jnp.asarray(process.betas.sigmas(betas)[::-1], jnp.float32)
x0 = gaussian_mixture.sample(mixture, jax.random.key(1), 4)
eps = jax.random.normal(jax.random.key(2), x0.shape)
t = jnp.array([3, 100, 500, 700])


def column(table):
    """Entries t of a chain's table, [4, 1]."""
    return jnp.asarray(np.asarray(table)[np.asarray(t)], jnp.float32)[:, None]


# The chain's latent is x_t; the library speaks x = x_t / sqrt(alpha_bar) = x0 + sigma eps.
hvae = elbo.ddpm_hvae(betas, reverse_kernel.fixed(), denoise, normal_log_prob)
x_t = elbo.sample_latent(hvae, x0, t, eps)
sigma, sigma_next = sigmas[t + 1], sigmas[t]
same("x_t = sqrt(alpha_bar) (x0 + sigma eps)", x_t, jnp.sqrt(column(tables.alpha_bar)) * (x0 + sigma[:, None] * eps))

mean, log_variance = elbo.latent_posterior(hvae, x0, x_t, t)
by_table = column(tables.posterior_mean_coef1) * x0 + column(tables.posterior_mean_coef2) * x_t
same("q(x_{t-1} | x_t, x0): regression = DDPM's coefficients", mean, by_table)
same("its variance is beta-tilde", jnp.exp(log_variance), column(tables.posterior_variance))

model_mean, model_log_variance = hvae.reverse_kernel(x_t, t)
kl = normal_kl(mean, log_variance, model_mean, model_log_variance).sum(axis=1)
x0_hat = denoise(x0 + sigma[:, None] * eps, sigma)
weight_x0 = 0.5 * (1 / sigma_next**2 - 1 / sigma**2)
same("KL = (1/sigma'^2 - 1/sigma^2)/2 ||x0 - D||^2", kl, weight_x0 * jnp.sum((x0 - x0_hat) ** 2, axis=1), 1e-2)
eps_hat = predictions.from_x0(predictions.eps, x0_hat, x0 + sigma[:, None] * eps, sigma)
same(
    "... = (sigma^2/sigma'^2 - 1)/2 ||eps - eps_hat||^2",
    kl,
    weight_x0 * sigma**2 * jnp.sum((eps - eps_hat) ** 2, axis=1),
    1e-2,
)
simple = ddpm.simple_loss(eps_hat, precond.ddpm.eps(betas), x0, sigma, eps)
same("... = weight * d * L_simple", kl, weight_x0 * sigma**2 * 2 * simple, 1e-2)

# %% [markdown]
# So $L_\text{simple} = \|\epsilon - \hat\epsilon\|^2$ is the bound with its weights left out. The sum over $t$ of the
# weighted terms becomes an integral as $T$ grows, and what the bound gives away falls as $1/T$:

# %%
line = gaussian_mixture.mixture([[-1.0], [0.8]], [0.4, 0.6], 0.05)
points = gaussian_mixture.sample(line, jax.random.key(3), 200 if FAST else 2_000)
gaps, counts = [], [25, 50, 100, 200] if FAST else [25, 50, 100, 200, 400, 800]
for count in counts:
    grid = np.append(np.geomspace(20, 0.005, count), 0)
    steps = process.betas.from_sigmas(grid)
    p = reverse_kernel.fixed(floor=0.05 * 0.005**2 / (0.05 + 0.005**2))
    vae = elbo.ddpm_hvae(steps, p, partial(gaussian_mixture.denoiser, line), normal_log_prob)
    total = jax.jit(lambda points, vae=vae: elbo.hvae_elbo(vae, points, key=jax.random.key(4)).total)(points)
    gaps.append(float(jnp.mean(total + gaussian_mixture.log_density(line, points))))
plt.figure(figsize=(5, 3.5))
plt.loglog(counts, gaps, "o-", label="-ELBO + log p(x), nats")
plt.loglog(counts, gaps[0] * counts[0] / np.array(counts), "k:", label="1/T")
plt.xticks(counts, counts)
plt.minorticks_off()
plt.xlabel("T")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# ## 3. Four predictions of one posterior mean
# A network may return the noise, the clean image, the velocity $v = \alpha\epsilon - \sqrt{1 - \alpha^2}\,x_0$ or the
# mean of $x_{t-1}$. Each is a parametrisation, $D = c_\text{skip}\, x + c_\text{out} F$, so that sampler and loss do
# not change. The same small network, batches and steps.
#
# Noise and velocity come out alike. A clean image asks for the most at low noise, where the loss hardly looks, and
# comes out too tight. The mean of $x_{t-1}$ is nearly $x_t$ itself, so that a small error in it is a large one in $D$:
# Ho et al. 2020 (Table 2) find it worse, too.


# %%
class Mlp(nn.Module):
    """Three layers that are conditioned on the step."""

    @nn.compact
    def __call__(self, x, time):
        time = jnp.broadcast_to(time, x.shape[:1])
        h = jnp.concatenate([x, positional(time, 32)], axis=1)
        for _ in range(3):
            h = nn.silu(nn.Dense(128)(h))
        return nn.Dense(2)(h)


def train(parametrisation, steps):
    """Parameters after Adam on L_simple of the parametrisation's target, and the loss in units of D, step by step."""
    net, optimizer = Mlp(), optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    params = net.init(jax.random.key(0), jnp.zeros((1, 2)), jnp.zeros(1))

    def loss(params, key):
        key_data, key_t, key_noise = jax.random.split(key, 3)
        x0 = gaussian_mixture.sample(mixture, key_data, 512)
        sigma = sigmas[jax.random.randint(key_t, (512,), 0, 1000) + 1]
        noise = jax.random.normal(key_noise, x0.shape)
        x_t = parametrisation.c_in(sigma)[:, None] * (x0 + sigma[:, None] * noise)
        f = net.apply(params, x_t, parametrisation.c_noise(sigma))
        losses = ddpm.simple_loss(f, parametrisation, x0, sigma, noise)
        return losses.mean(), jnp.mean(parametrisation.c_out(sigma) ** 2 / (1 + sigma**2) * losses)

    def step(state, key):
        params, opt_state = state
        (_, error), gradient = jax.value_and_grad(loss, has_aux=True)(params, key)
        updates, opt_state = optimizer.update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), error

    keys = jax.random.split(jax.random.key(5), steps)
    (params, _), errors = jax.jit(lambda state: jax.lax.scan(step, state, keys))((params, optimizer.init(params)))
    return precond.denoiser(net.apply, params, parametrisation), errors


parametrisations = {name: getattr(precond.ddpm, name)(betas) for name in ("eps", "x0", "v", "mu")}
trained = {name: train(one, 200 if FAST else 4_000) for name, one in parametrisations.items()}
grid = process.betas.sigmas(respacing.respace(betas, respacing.space(1000, "ddim50")))
start = grid[0] * jax.random.normal(jax.random.key(6), (1_000 if FAST else 4_000, 2))
real = gaussian_mixture.sample(mixture, jax.random.key(7), len(start))

fig, axes = plt.subplots(1, 5, figsize=(16, 3.4), layout="constrained")
for name, (_, errors) in trained.items():
    smooth = np.convolve(errors, np.ones(50) / 50, mode="valid")
    axes[0].semilogy(smooth, label=name)
axes[0].set(title="error of D, in units of x_t", xlabel="step")
axes[0].legend(frameon=False)
for axis, (name, (learned, _)) in zip(axes[1:], trained.items(), strict=True):
    # The mean of x_{t-1} is tied to its chain, so that all are drawn with every step of it.
    points = jax.jit(
        lambda x, d=learned: sample(ancestral(), d, x, process.betas.sigmas(betas), key=jax.random.key(8))
    )(start)
    axis.plot(*real.T, ".", ms=1, color="0.7")
    axis.plot(*np.clip(np.asarray(points).T, -3, 3), ".", ms=1)
    axis.set(title=f"{name}, 1,000 steps", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
plt.show()

# %% [markdown]
# ## 4. Ancestral sampling against DDIM
# From the exact denoiser, so that only the sampler errs. Distance is the sliced Wasserstein distance to fresh data; the
# dotted line is that between two sets of data. With few steps the noise that the ancestral sampler adds is not yet
# removed; DDIM adds none, and its map from noise to data can be run backwards.


# %%
def sliced_wasserstein(a, b):
    """Mean distance of sorted projections onto 32 directions."""
    angles = np.linspace(0, np.pi, 32, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return float(np.mean(np.abs(np.sort(np.asarray(a) @ directions, 0) - np.sort(np.asarray(b) @ directions, 0))))


fewer = [5, 10, 20, 50, 100, 250]
curves = {
    "DDIM (eta = 0)": euler(),
    "ancestral, small": ancestral(),
    "ancestral, large": ancestral(reverse_kernel.fixed(reverse_kernel.large)),
}
plt.figure(figsize=(5, 3.5))
for name, sampler in curves.items():
    distances = []
    for count in fewer:
        levels = process.betas.sigmas(respacing.respace(betas, respacing.space(1000, str(count))))
        run = jax.jit(lambda x, levels=levels, s=sampler: sample(s, denoise, x, levels, key=jax.random.key(9)))
        distances.append(sliced_wasserstein(run(start / start.std() * levels[0]), real))
    plt.loglog(fewer, distances, "o-", label=name)
plt.axhline(
    sliced_wasserstein(gaussian_mixture.sample(mixture, jax.random.key(10), len(real)), real), color="k", ls=":", lw=1
)
plt.xlabel("steps")
plt.ylabel("sliced Wasserstein distance")
plt.legend(frameon=False)
plt.show()

levels = np.geomspace(20, 0.01, 400)
again = sample(euler(), denoise, encode(denoise, real[:64], levels), levels)
print(f"DDIM inversion, 400 steps: round trip error {float(jnp.sqrt(jnp.mean((again - real[:64]) ** 2))):.4f}")

# %% [markdown]
# ## 5. What every step costs in bits
# The terms of the bound for digits in 17 grey values, under the best Gaussian with the digits' mean and covariance: a
# denoiser in closed form, no network. It needs more than the log2(17) = 4.09 bits of the uniform distribution, so far
# from Gaussian are digits; a trained network (`python -m experiments.evaluate --workdir runs/ddpm_digits --elbo`) needs
# 2.91. Most bits are spent at the lowest noise.

# %%
data = digits.load("train").images.reshape(-1, 64)
center, covariance = data.mean(axis=0), np.cov(data.T)
spectrum, basis = np.linalg.eigh(covariance)
spectrum, basis, center = jnp.asarray(np.maximum(spectrum, 1e-6)), jnp.asarray(basis), jnp.asarray(center)


def gaussian_denoiser(x, sigma):
    """E[x0 | x] for x0 ~ N(center, covariance), in the basis of the covariance."""
    sigma = jnp.broadcast_to(sigma, x.shape[:1])[:, None]
    return center[None] + ((x - center[None]) @ basis * (spectrum[None] / (spectrum[None] + sigma**2))) @ basis.T


def decode(x0, mean, log_variance):
    """log p(x0 | x_1) of 17 grey values."""
    return discretized_gaussian(x0, mean, log_variance / 2, bins=17)


fig, axis = plt.subplots(figsize=(6, 3.5))
heldout = jnp.asarray(digits.load("heldout").images[: 16 if FAST else 128].reshape(-1, 64))
for name, steps in SCHEDULES.items():
    p = reverse_kernel.fixed(floor=process.betas.tables(steps).decoder_variance)
    vae = elbo.ddpm_hvae(steps, p, gaussian_denoiser, decode)
    found = jax.jit(lambda x, vae=vae: elbo.hvae_elbo(vae, x, key=jax.random.key(11)))(heldout)
    per_step = np.asarray(bits_per_dim(found.layers, 64)).mean(axis=1)
    total = float(bits_per_dim(found.total, 64).mean())
    axis.loglog(np.arange(1, 1000), np.maximum(per_step[1:], 1e-7), label=f"{name}: {total:.2f} bits/dim in all")
axis.set(xlabel="step t", ylabel="bits/dim")
axis.legend(frameon=False)
plt.show()
