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
# # Score SDEs in jaxdiff
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/score_sde.ipynb)
#
# One family of processes, three ways down it, exact likelihoods and controllable generation, after Song et al. 2021
# (arXiv 2011.13456).
#
# - **Time on a CPU:** 5 minutes or more. Training in section 4 took 185 s on a busy machine (2026-11-26, 2 cores, jax
#   0.10.2); the whole has not been timed.
# - **On a TPU or GPU:** choose it first, under *Runtime > Change runtime type*. Nothing needs to change here: 25
#   training steps go into one call there by themselves. What pays on such a device is a larger network,
#   `Config(..., model_channels=128, batch_size=512)`, in a workdir of its own. Not yet run on one.

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
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxdiff import gaussian_mixture, likelihood, probability_flow, process
from jaxdiff.editing import pixels, slerp
from jaxdiff.samplers import adaptive_ode, correction, heun, impute, predictor, predictor_corrector, sample, trajectory
from jaxdiff.samplers.langevin import annealed_step_size
from jaxdiff.samplers.predictors import reverse_diffusion
from jaxdiff.types import expand

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # the tests run this notebook in about a minute
SDES = {"VP": process.sde.vp(), "sub-VP": process.sde.subvp(), "VE": process.sde.ve(0.01, 10.0)}

# %% [markdown]
# ## 1. Three SDEs, one change of variable
# $\mathrm{d}x = f(t)\,x\,\mathrm{d}t + g(t)\,\mathrm{d}w$ gives $x_t \mid x_0 \sim N(a(t)\,x_0, \mathrm{std}(t)^2 I)$.
# In the coordinates of the EDM paper $s(t) = a(t)$ and $\sigma(t) = \mathrm{std}(t)/a(t)$. Below: what is left of the
# data and how much noise there is, and the density of a mixture of two points on the way to noise. Sub-VP reaches VP's
# end with less noise on the way; VE lets the data stand and drowns it.

# %%
t = np.linspace(1e-3, 1, 200)
fig, axes = plt.subplots(1, 5, figsize=(15, 3), layout="constrained")
for name, sde in SDES.items():
    axes[0].plot(t, sde.a(t), label=name)
    axes[1].semilogy(t, sde.std(t) / sde.a(t), label=name)
axes[0].set(title="a(t) = s(t)", xlabel="t")
axes[1].set(title="sigma(t) = std(t) / a(t)", xlabel="t")
axes[0].legend(frameon=False)

line = gaussian_mixture.mixture([[-0.7], [0.7]], [0.3, 0.7], 0.01)
for axis, (name, sde) in zip(axes[2:], SDES.items(), strict=True):
    reach = 2.5 if name != "VE" else 12.0
    x = jnp.linspace(-reach, reach, 300)[:, None]
    columns = [
        gaussian_mixture.log_density(line, x / float(sde.a(s)), float(sde.std(s) / sde.a(s))) - np.log(sde.a(s))
        for s in t[::2]
    ]
    density = np.exp(np.stack(columns, axis=1))
    axis.imshow(
        density / density.max(axis=0), aspect="auto", origin="lower", extent=(0, 1, -reach, reach), cmap="Blues"
    )
    axis.set(title=f"{name}: density of x at t", xlabel="t")
plt.show()

# %% [markdown]
# ## 2. Down the SDE and down its ODE
# The reverse-time SDE and the probability-flow ODE have the same marginals and quite different paths. Both start from
# the same eight points; the denoiser is exact. The lower row shows where 2,000 points end, over the true density.

# %%
cloud = gaussian_mixture.ring(modes=6, radius=1.0, std=0.12)
denoise = partial(gaussian_mixture.denoiser, cloud)


def score(sde, x, t):
    """The exact score in native coordinates."""
    a = expand(sde.a(t), x)
    return gaussian_mixture.score(cloud, x / a, sde.std(t) / sde.a(t)) / a


steps = 100 if FAST else 400
side = np.linspace(-1.7, 1.7, 80)
plane = jnp.asarray(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2))
height = np.exp(np.asarray(gaussian_mixture.log_density(cloud, plane))).reshape(80, 80)
fig, axes = plt.subplots(2, 3, figsize=(11, 7), layout="constrained")
for column, (name, sde) in enumerate(SDES.items()):
    grid = process.sde.grid(sde, steps)
    start = grid[0] * jax.random.normal(jax.random.key(0), (2_000, 2))
    backward = predictor(sde, reverse_diffusion)
    _, noisy = trajectory(backward, denoise, start[:8], grid, key=jax.random.key(1))
    _, smooth = trajectory(heun(), denoise, start[:8], grid)
    times = np.append(np.asarray(sde.time(jnp.asarray(grid[:-1]))), 1e-3)
    for paths, color in ((noisy, "tab:orange"), (smooth, "tab:blue")):
        axes[0, column].plot(times, np.asarray(paths)[..., 0] * sde.a(times)[:, None], color=color, lw=0.8)
    axes[0, column].set(title=f"{name}: SDE (orange), ODE (blue)", xlabel="t", ylabel="first coordinate of x_t")
    axes[0, column].invert_xaxis()
    corrected = predictor_corrector(correction(sde, snr=0.05, step_size=annealed_step_size), backward)
    points = jax.jit(lambda x, s=corrected, g=grid: sample(s, denoise, x, g, key=jax.random.key(2)))(start)
    axes[1, column].plot(*np.asarray(points).T, ".", ms=1.5, color="tab:orange")
    axes[1, column].contour(side, side, height, levels=5, colors="k", linewidths=0.6)
    axes[1, column].set(title=f"{name}: {steps} predictor-corrector steps", xlim=(-1.7, 1.7), ylim=(-1.7, 1.7))
plt.show()

# %% [markdown]
# ## 3. Likelihoods along the flow
# $\log p_0(x(0)) = \log p_1(x(1)) + \int_0^1 \nabla\!\cdot v\,\mathrm{d}t$ with the drift $v$ of the ODE. diffrax
# solves it with steps of every example's own. With the exact divergence it is the mixture's density (apart from the
# density at $t=1$, which is the Gaussian prior only nearly); Hutchinson's estimate scatters around it and is unbiased.

# %%
points = gaussian_mixture.sample(cloud, jax.random.key(3), 200)
true = np.asarray(gaussian_mixture.log_density(cloud, points))
for name, sde in SDES.items():
    run = jax.jit(lambda x, sde=sde: likelihood.log_likelihood(sde, partial(score, sde), x, likelihood.exact))
    found = run(points)
    probes = jax.random.rademacher(jax.random.key(4), (200, 1, 2), jnp.float32)
    guess = likelihood.log_likelihood(sde, partial(score, sde), points, likelihood.hutchinson(probes))
    error, noise = np.asarray(found.log_prob) - true, np.asarray(guess.log_prob - found.log_prob)
    print(
        f"{name:<7} exact - true: {error.mean():+.4f} nats;  Hutchinson - exact: {noise.mean():+.3f} +- "
        f"{noise.std() / 200**0.5:.3f};  {np.mean(found.num_evaluations):.0f} evaluations"
    )

# %% [markdown]
# ## 4. Digits
# The command `python -m experiments.score_sde_digits` does all of this by itself; here are its parts. It resumes when
# the folder holds a checkpoint, so that running the cell again costs nothing.

# %%
from experiments import score_sde_digits
from experiments.harness import forms, generate, runs
from experiments.harness.image_grid import image_grid
from jaxdiff.data import digits

workdir = Path(os.environ.get("JAXDIFF_RUNS", "runs")) / ("score_sde_notebook_fast" if FAST else "score_sde_digits")
score_sde_digits.main(score_sde_digits.Config(workdir=workdir, smoke=FAST))
config, system = runs.of_run(workdir)
params, step = runs.averaged_params(config, system)
sde, epsilon = system.sde_model.sde, system.sde_model.epsilon


def show(rows, columns, images, title):
    """Images with names of their rows and, below, of their columns."""
    plt.figure(figsize=(9, 0.9 * len(rows) + 0.6))
    plt.imshow(image_grid(forms.to_uint8(np.asarray(images)), columns=len(columns), scale=6), cmap="gray")
    plt.yticks([27 + 54 * i for i in range(len(rows))], rows)
    plt.xticks([27 + 54 * i for i in range(len(columns))], columns)
    plt.title(title)
    plt.show()


# %% [markdown]
# **The same seeds, down the SDE and down the ODE.** They start from the same noise; only the ODE is a map of it.

# %%
seeds = np.arange(10)
num_steps = 24 if FAST else 500
pc = system.sampling(num_steps)
requests = {
    f"predictor-corrector, {pc.nfe} evaluations": generate.Request(pc.sampler, pc.sigmas, seeds, seeds % 10),
    "ODE, adaptive": generate.Request(adaptive_ode.adaptive(sde), process.sde.grid(sde, 2, epsilon), seeds, seeds % 10),
}
images = [batch for request in requests.values() for batch in generate.draw(system, params, request, progress=False)]
show(
    list(requests), seeds % 10, np.concatenate(images) / 127.5 - 1, f"score SDE on digits after {step} steps, by class"
)

# %% [markdown]
# **Inpainting.** The upper half of held-out digits is observed, and put back after every step; four draws of the rest.
# The last row is the digit itself.

# %%
half = digits.load("heldout")
columns = 10
observed, labels = jnp.asarray(half.images[:columns]), jnp.asarray(half.labels[:columns])
mask = np.zeros((8, 8, 1))
mask[:4] = 1
upper = pixels(mask)
grid = process.sde.grid(sde, num_steps, epsilon)
sampler = predictor_corrector(
    impute(correction(sde, config.snr), observed, upper), impute(predictor(sde, reverse_diffusion), observed, upper)
)
fill = jax.jit(lambda x, key: sample(sampler, system.denoiser(params, labels), x, grid, key=key))
rows = [np.where(mask, observed, -1.0)]
for seed in range(1 if FAST else 4):
    start = grid[0] * jax.random.normal(jax.random.key(seed), observed.shape)
    rows.append(fill(start, jax.random.key(100 + seed)))
names = ["observed", *[f"draw {i + 1}" for i in range(len(rows) - 1)], "held-out digit"]
show(names, np.asarray(labels), np.concatenate([*rows, observed]), "upper half observed, by class")

# %% [markdown]
# **Latents.** The ODE encodes images into noise and back. Between two encodings, along the sphere, lie digits.

# %%
ends = [int(np.flatnonzero(half.labels == 3)[i]) for i in (0, 1)]
pair = jnp.asarray(half.images[ends])
of_class = lambda num: system.sde_model.score(params, jnp.full(num, 3))  # noqa: E731
z = probability_flow.solve(sde, of_class(2), pair, epsilon, 1.0)
weights = jnp.linspace(0.0, 1.0, 9)
path = slerp(jnp.broadcast_to(z.x[:1], (9, 8, 8, 1)), jnp.broadcast_to(z.x[1:], (9, 8, 8, 1)), weights)
decoded = probability_flow.solve(sde, of_class(9), path, 1.0, epsilon)
print(f"round trip: {float(jnp.max(jnp.abs(decoded.x[jnp.array([0, 8])] - pair))):.1e}")
show(["two 3s, and between"], [f"{w:.3g}" for w in weights], decoded.x, "spherical interpolation of encodings")

# %% [markdown]
# **How likely is a digit?** Nats of held-out digits under the model, against the same digits upside down and against
# noise: the model gives most to what it was trained on. For bits/dim of the grey values, train with `--dequantize
# --weighting importance` and run `python -m experiments.evaluate --likelihood`.

# %%
num = 16 if FAST else 64
sets = {
    "held-out digits": half.images[:num],
    "upside down": half.images[:num, ::-1],
    "pixels shuffled": np.random.default_rng(0)
    .permuted(half.images[:num].reshape(num, -1), axis=1)
    .reshape(-1, 8, 8, 1),
}
probes = jax.random.rademacher(jax.random.key(5), (num, 1, 8, 8, 1), jnp.float32)
labels = jnp.asarray(half.labels[:num])
run = jax.jit(
    lambda x: likelihood.log_likelihood(
        sde,
        system.sde_model.score(params, labels),
        x,
        likelihood.hutchinson(probes),
        epsilon,
        probability_flow.Tolerance(1e-3, 1e-3),
    )
)
for name, images in sets.items():
    nats = np.asarray(run(jnp.asarray(images)).log_prob)
    plt.hist(np.clip(nats, -200, 300), bins=30, alpha=0.6, label=f"{name}: mean {nats.mean():.0f} nats")
plt.xlabel("log p(x) in nats, clipped to -200 .. 300")
plt.legend(frameon=False)
plt.show()
