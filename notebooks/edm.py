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
# # EDM in jaxdiff
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/edm.ipynb)
#
# Denoisers, samplers and a trained network, after Karras et al. 2022 (arXiv 2206.00364).
#
# - **Time on a CPU:** 3 to 4 minutes. Training in section 3 takes most of it, 168 s for
#   `python -m experiments.edm_digits` (2026-11-21, 2 cores, jax 0.10.2), and the rest 32 s of processor time
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
from jaxdiff.samplers import churn, dpmpp_2m, euler, heun, sample, trajectory

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # the tests run this notebook in under a minute

# %% [markdown]
# ## 1. A denoiser in closed form
# For a mixture of Gaussians the posterior mean $D(x, \sigma) = E[x_0 \mid x_0 + \sigma n = x]$ has a closed form. The
# probability-flow ODE $\mathrm{d}x/\mathrm{d}\sigma = (x - D(x, \sigma)) / \sigma$ (Eq. 1 and 3 of the paper) carries
# noise to data; churn (Alg. 2) adds noise on the way and takes it out again.

# %%
mixture = gaussian_mixture.ring(modes=8, radius=1.0, std=0.08)
denoise = partial(gaussian_mixture.denoiser, mixture)
sigmas = grids.karras(64, sigma_max=10.0)
x = sigmas[0] * jax.random.normal(jax.random.key(0), (30, 2))

fig, axes = plt.subplots(1, 2, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
for axis, title, sampler in (
    (axes[0], "ODE: heun()", heun()),
    (axes[1], "with churn: churn(heun(), 5)", churn(heun(), 5)),
):
    end, states = trajectory(sampler, denoise, x, sigmas, key=jax.random.key(1))
    # Divided by the standard deviation at each level, so that start and end fit one picture.
    scaled = np.asarray(states) / np.sqrt(0.5 + sigmas**2)[:, None, None]
    axis.plot(scaled[..., 0], scaled[..., 1], lw=0.5, color="tab:blue", alpha=0.5)
    axis.plot(*scaled[-1].T, "k.", ms=4)
    axis.set_title(title)
    axis.set_aspect("equal")
fig.suptitle("From noise to a ring of Gaussians, in units of the standard deviation at each level")
plt.show()

# %% [markdown]
# ## 2. Accuracy against cost
# Against a solution with 2,000 steps: Euler's error falls with the number of evaluations, that of Heun and
# DPM-Solver++(2M) with its square. The grid ends at $\sigma = 0.05$ here, where the ODE is smooth.

# %%
smooth = partial(gaussian_mixture.denoiser, gaussian_mixture.ring(modes=8, std=0.3))
start = 10.0 * jax.random.normal(jax.random.key(0), (256, 2))
levels = lambda n: np.geomspace(10.0, 0.05, n + 1)  # noqa: E731
exact = sample(heun(), smooth, start, levels(2_000))

for name, make, evaluations in (
    ("euler()", euler, 1),
    ("heun()", heun, 2),
    ("dpmpp_2m()", dpmpp_2m, 1),
):
    counts = np.array([8, 16, 32, 64, 128])
    error = [float(jnp.sqrt(jnp.mean((sample(make(), smooth, start, levels(n)) - exact) ** 2))) for n in counts]
    plt.loglog(counts * evaluations, error, "o-", label=name)
plt.xlabel("evaluations of the denoiser")
plt.ylabel("RMS error of the end point")
plt.legend()
plt.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## 3. Digits
# The command `python -m experiments.edm_digits` does all of this by itself; here are its parts. It resumes when the
# folder holds a checkpoint, so that running the cell again costs nothing.

# %%
from experiments import edm_digits
from experiments.harness import generate, runs
from experiments.harness.image_grid import image_grid

workdir = Path(os.environ.get("JAXDIFF_RUNS", "runs")) / ("edm_notebook_fast" if FAST else "edm_digits")
edm_digits.main(edm_digits.Config(workdir=workdir, smoke=FAST))
config, system = runs.of_run(workdir)
params, step = runs.averaged_params(config, system)

# %% [markdown]
# ## 4. The same seeds, four samplers
# Image i is a function of seed i only. Rows: samplers; columns: seeds, with class = seed mod 10.

# %%
seeds = np.arange(10)
num_steps = 4 if FAST else 18
rows = {
    f"euler, {num_steps} evaluations": (euler(), num_steps),
    f"dpmpp_2m, {num_steps} evaluations": (dpmpp_2m(), num_steps),
    f"heun, {2 * num_steps - 1} evaluations": (heun(), num_steps),
    f"heun with churn, {2 * num_steps - 1} evaluations": (churn(heun(), num_steps / 2), num_steps),
}
images = []
for sampler, n in rows.values():
    request = generate.Request(sampler, grids.karras(n), seeds, seeds % 10)
    images += list(generate.draw(system, params, request, progress=False))
plt.figure(figsize=(9, 4))
plt.imshow(image_grid(np.concatenate(images), columns=len(seeds), scale=6))
plt.yticks([27 + 54 * i for i in range(len(rows))], list(rows))
plt.xticks([27 + 54 * i for i in range(len(seeds))], seeds % 10)
plt.xlabel("class; a column has one seed")
plt.title(f"EDM on digits after {step} steps")
plt.show()
