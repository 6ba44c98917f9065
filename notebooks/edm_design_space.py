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
# # The design space of diffusion samplers
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/edm_design_space.ipynb)
#
# Table 1 of Karras et al. 2022 (arXiv 2206.00364), live: time steps, schedule and scaling, solver and churn are
# separate choices, and any of them goes with any other.
#
# - **Time on a CPU:** 4 to 5 minutes. Training in section 4, 168 s for `python -m experiments.edm_digits` (2026-11-21,
#   2 cores, jax 0.10.2), is left out where `edm.ipynb` has left its run; the rest takes 100 s of processor time
#   (2026-12-01, 2 cores, jax 0.12.0).
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

from jaxdiff import gaussian_mixture, grids
from jaxdiff.process import schedules
from jaxdiff.samplers import churn, euler_step, heun, ode, sample, second_order_step, trajectory

FAST = bool(os.environ.get("JAXDIFF_FAST"))

LOW, HIGH = 0.002, 80.0
mixture = gaussian_mixture.ring(modes=8, std=0.05)
denoise = partial(gaussian_mixture.denoiser, mixture)
x = HIGH * jax.random.normal(jax.random.key(0), (64 if FAST else 512, 2))
exact = sample(heun(), denoise, x, grids.karras(500 if FAST else 2_000, LOW, HIGH))

# %% [markdown]
# ## 1. Truncation error
# The ODE is solved in time $t$ (Alg. 1): $\mathrm{d}x/\mathrm{d}t$ depends on the schedule $\sigma(t)$ and the scale
# $s(t)$, the time steps on the grid. The error is the RMS distance from the end point of an (almost) exact solution.
# Solid: Heun; dashed: Euler. Errors above 10, of Heun's few steps where $\sigma(t) = \sqrt{t}$, are not shown.
# `docs/figures/truncation.md` has the numbers in float64.

# %%
steps = {
    "vp": partial(grids.vp, sigma_min=LOW, sigma_max=HIGH),
    "ve": partial(grids.ve, sigma_min=LOW, sigma_max=HIGH),
    "iddpm": partial(grids.iddpm, sigma_min=LOW, sigma_max=HIGH),
    "edm": partial(grids.karras, sigma_min=LOW, sigma_max=HIGH),
}
vp = schedules.vp(*grids.vp_betas(LOW, HIGH))
processes = {
    "sigma(t) = t": schedules.linear(),
    "sigma(t) = sqrt(t)": schedules.ve(),
    "VP, scaled": schedules.variance_preserving(vp),
}
budgets = np.array([9] if FAST else [9, 15, 23, 35, 49, 79])
solvers = {"euler": (euler_step, 1, "--"), "heun": (second_order_step(), 2, "-")}


def error(process, solver, sigmas):
    end = sample(ode(process, solver), denoise, x * (sigmas[0] / HIGH), sigmas)
    return float(jnp.sqrt(jnp.mean(jnp.sum((end - exact) ** 2, axis=1))))


fig, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True)
for axis, (title, process) in zip(axes, processes.items(), strict=True):
    for colour, (name, grid) in enumerate(steps.items()):
        for solver, (step, price, style) in solvers.items():
            row = [error(process, step, grid((nfe + price - 1) // price)) for nfe in budgets]
            axis.loglog(budgets, row, style, color=f"C{colour}", marker="o", ms=3, label=f"{name}, {solver}")
    axis.set_title(title)
    axis.set_xlabel("evaluations of the denoiser")
    axis.set_xticks(budgets, budgets)
    axis.minorticks_off()
    axis.set_ylim(top=10)
    axis.grid(alpha=0.3)
axes[0].set_ylabel("RMS error of the end point")
axes[0].legend(fontsize=7)
plt.show()

# %% [markdown]
# ## 2. Curvature
# Where trajectories are straight, a step of any length is exact. In $x$ against $t$ with $\sigma(t) = t$ and no
# scaling they are nearly straight at both ends (Fig. 3 of the paper); other schedules bend them all the way. Below:
# one coordinate of a few trajectories into two modes.

# %%
pair = partial(gaussian_mixture.denoiser, gaussian_mixture.mixture([[-1.0], [1.0]], variances=0.01))
noise = jnp.linspace(-2, 2, 11)[:, None]
levels = grids.karras(100 if FAST else 400, 0.01, 10.0)
_, states = trajectory(heun(), pair, levels[0] * noise, levels)
fig, axes = plt.subplots(1, 3, figsize=(13, 3.6))
for axis, (title, process) in zip(axes, processes.items(), strict=True):
    t = np.asarray(process.sigma_inv(jnp.asarray(levels)))
    scale = np.asarray(process.s(jnp.asarray(t)))
    axis.plot(t, np.asarray(states)[..., 0] * scale[:, None], color="tab:blue", lw=0.8)
    axis.set_title(title)
    axis.set_xlabel("t")
axes[0].set_ylabel("s(t) x")
plt.show()

# %% [markdown]
# ## 3. Churn
# Alg. 2 adds noise and takes it out again, which corrects errors that were made before. Here the denoiser is exact:
# churn has only the error of coarse steps to work on and adds more than it removes; it saturates where gamma reaches
# sqrt(2) - 1, its limit. Its use is with trained denoisers (Sec. 4 of the paper). Measured by how far samples lie from
# the nearest mode, against 0.05 * sqrt(pi / 2) for the mixture itself.

# %%
amounts = [0, 2, 5, 10, 20, 40]
num = 256 if FAST else 4096
start = HIGH * jax.random.normal(jax.random.key(1), (num, 2))
for n in (8,) if FAST else (8, 18, 40):
    spread = []
    for amount in amounts:
        sampler = churn(heun(), amount) if amount else heun()
        end = np.asarray(sample(sampler, denoise, start, grids.karras(n, LOW, HIGH), key=jax.random.key(2)))
        spread.append(np.linalg.norm(end[:, None] - mixture.means[None], axis=2).min(1).mean())
    plt.plot(amounts, spread, "o-", label=f"{n} steps")
plt.axhline(0.05 * np.sqrt(np.pi / 2), color="k", ls=":", label="the mixture itself")
plt.xlabel("S_churn")
plt.ylabel("mean distance from the nearest mode")
plt.legend()
plt.show()

# %% [markdown]
# ## 4. The same on digits
# The network of `python -m experiments.edm_digits`, with the same seeds under different choices of the table. The steps
# and the schedule of VE ask for many more than 18 evaluations: here they leave the noise in.

# %%
from experiments import edm_digits
from experiments.harness import generate, runs
from experiments.harness.image_grid import image_grid

workdir = Path(os.environ.get("JAXDIFF_RUNS", "runs")) / ("edm_notebook_fast" if FAST else "edm_digits")
edm_digits.main(edm_digits.Config(workdir=workdir, smoke=FAST))
config, system = runs.of_run(workdir)
params, step = runs.averaged_params(config, system)

seeds = np.arange(10)
choices = {
    "VP steps, Euler, 18": (ode(schedules.variance_preserving(vp), euler_step), steps["vp"](18)),
    "VE steps, Euler, 18": (ode(schedules.ve(), euler_step), steps["ve"](18)),
    "EDM steps, Euler, 18": (ode(schedules.linear(), euler_step), steps["edm"](18)),
    "EDM steps, Heun, 17": (ode(schedules.linear()), steps["edm"](9)),
}
images = []
for sampler, sigmas in choices.values():
    images += list(generate.draw(system, params, generate.Request(sampler, sigmas, seeds, seeds % 10), progress=False))
plt.figure(figsize=(9, 4))
plt.imshow(image_grid(np.concatenate(images), columns=len(seeds), scale=6))
plt.yticks([27 + 54 * i for i in range(len(choices))], list(choices))
plt.xticks([27 + 54 * i for i in range(len(seeds))], seeds % 10)
plt.xlabel("class; a column has one seed")
plt.title(f"EDM on digits after {step} steps: choice and evaluations")
plt.show()
