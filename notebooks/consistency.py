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
# # Consistency models in jaxdiff
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/consistency.ipynb)
#
# One network evaluation from noise to image, after Song et al. 2023 (arXiv 2303.01469), their improved training (Song
# & Dhariwal 2024, Geng et al. 2025, Lu & Song 2025), and zero-shot editing.
#
# - **Time on a CPU:** 12 minutes or less. A teacher, 168 s for `python -m experiments.edm_digits` (2026-11-21, 2 cores,
#   jax 0.10.2), is left out where `edm.ipynb` has left its run; distillation took 8.7 minutes on a busy machine
#   (2026-11-25 or 26); the rest 42 s of processor time (2026-12-01, 2 cores, jax 0.12.0).
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
from jaxdiff.editing import degrade, patch_means, pixels, slerp
from jaxdiff.samplers import consistency, heun, sample, time_points, trajectory

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # the tests run this notebook in about a minute

# %% [markdown]
# ## 1. What a consistency function is
# The probability-flow ODE carries noise to data; the consistency function $f(x, \sigma)$ says where the trajectory
# through $x$ ends, $f(x_\sigma, \sigma) = x_{\sigma_{\min}}$, from any point of it. A denoiser is something
# else: the mean of all data that $x$ may come from. For a mixture in one dimension both can be computed without a
# network: the trajectory ends where a fine solution of the ODE does. Left: trajectories; middle: along one of them
# $f$ is constant and the denoiser is not; right: at the highest level $f$ is the map from noise to data, the denoiser
# is nearly the mean.

# %%
line = gaussian_mixture.mixture([[-1.0], [0.5], [1.2]], [0.3, 0.5, 0.2], 0.01)
denoise = partial(gaussian_mixture.denoiser, line)
sigma_min, sigma_max = 0.002, 10.0
levels = np.geomspace(sigma_max, sigma_min, 400)
start = sigma_max * jnp.linspace(-1.6, 1.6, 33)[:, None]
_, path = trajectory(heun(), denoise, start, levels)
path = np.asarray(path)[..., 0]

fig, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
axes[0].semilogx(levels, path / np.sqrt(0.7 + levels**2)[:, None], lw=0.6, color="tab:blue")
axes[0].invert_xaxis()
axes[0].set(title="trajectories, divided by the standard deviation", xlabel="sigma")
one = 20
along = [float(denoise(jnp.full((1, 1), x), s)[0, 0]) for x, s in zip(path[:, one], levels, strict=True)]
axes[1].semilogx(levels, np.full_like(levels, path[-1, one]), label="f: the end")
axes[1].semilogx(levels, along, label="D: the mean of what may be behind it")
axes[1].invert_xaxis()
axes[1].set(title="along one trajectory", xlabel="sigma")
axes[1].legend(frameon=False)
axes[2].plot(start[:, 0] / sigma_max, path[-1], "o-", ms=3, label="f(x, sigma_max)")
axes[2].plot(start[:, 0] / sigma_max, denoise(start, sigma_max)[:, 0], label="D(x, sigma_max)")
axes[2].set(title="from noise in one evaluation", xlabel="noise, in standard deviations")
axes[2].legend(frameon=False)
plt.show()

# %% [markdown]
# ## 2. Digits
# The command `python -m experiments.consistency_digits` does all of this by itself: a teacher, trained first where
# there is none, and a student that is distilled from it. `--method ct`, `ict`, `ect`, `scd` and `sct` are the others.
# It resumes when the folder holds a checkpoint, so that running the cell again costs nothing.

# %%
from experiments import consistency_digits, edm_digits
from experiments.harness import forms, generate, runs
from experiments.harness.image_grid import image_grid
from jaxdiff.data import digits
from jaxdiff.editing import project_x0

home = Path(os.environ.get("JAXDIFF_RUNS", "runs"))
teacher = home / ("edm_notebook_fast" if FAST else "edm_digits")
workdir = home / ("consistency_notebook_fast" if FAST else "consistency_digits")
edm_digits.main(edm_digits.Config(workdir=teacher, smoke=FAST))
consistency_digits.main(consistency_digits.Config(workdir=workdir, teacher=teacher, smoke=FAST))
_, teaching = runs.of_run(teacher)
teacher_params, _ = runs.averaged_params(*runs.of_run(teacher))
config, system = runs.of_run(workdir)
params, step = runs.averaged_params(config, system)


def show(rows, columns, images, title):
    """Images with names of their rows and, below, of their columns."""
    plt.figure(figsize=(9, 0.9 * len(rows) + 0.6))
    plt.imshow(image_grid(forms.to_uint8(np.asarray(images)), columns=len(columns), scale=6), cmap="gray")
    plt.yticks([27 + 54 * i for i in range(len(rows))], rows)
    plt.xticks([27 + 54 * i for i in range(len(columns))], columns)
    plt.title(title)
    plt.show()


# %% [markdown]
# **The same noise, one, two and four evaluations, and the teacher's 35.** One evaluation follows the teacher's map
# from noise to image; each further one puts noise back and so draws anew.

# %%
seeds = np.arange(10)
rows = {f"student, {n}": (system, params, system.sampling(n)) for n in (1, 2, 4)}
rows["teacher, 35"] = (teaching, teacher_params, teaching.sampling(18))
drawn = [
    batch
    for model, p, s in rows.values()
    for batch in generate.draw(model, p, generate.Request(s.sampler, s.sigmas, seeds, seeds % 10), progress=False)
]
show(
    list(rows), seeds % 10, np.concatenate(drawn) / 127.5 - 1, f"consistency distillation after {step} steps, by class"
)

# %% [markdown]
# **Self-consistency.** The student's output at points of the teacher's trajectories, from $\sigma = 80$ down, one
# trajectory a column: it should not change. The curve is its distance to where the trajectories end.

# %%
labels = jnp.arange(10)
f = jax.jit(system.denoiser(params, labels))
noise = jax.random.normal(jax.random.key(1), (10, 8, 8, 1))
grid = grids.karras(18)
_, states = jax.jit(lambda x: trajectory(heun(), teaching.denoiser(teacher_params, labels), x, grid))(grid[0] * noise)
at = [0, 4, 8, 11, 14, 17]
outputs = [f(states[i], jnp.asarray(grid[i], jnp.float32)) for i in at]
show(
    [f"f at sigma = {grid[i]:.2g}" for i in at], seeds % 10, np.concatenate(outputs), "along the teacher's trajectories"
)
apart = [
    float(jnp.sqrt(jnp.mean((f(states[i], jnp.asarray(grid[i], jnp.float32)) - states[-1]) ** 2))) for i in range(18)
]
plt.figure(figsize=(5, 3))
plt.semilogx(grid[:-1], apart, "o-")
plt.xlabel("sigma")
plt.ylabel("RMS distance to its end")
plt.show()

# %% [markdown]
# ## 3. Editing without training
# Algorithm 4: between evaluations the observed part of an image replaces the same part of $f$'s output. The upper half
# of held-out digits (inpainting), and the means of their 2x2 patches (super-resolution from 4x4). Last, interpolation
# between latents, one evaluation each.

# %%
half = digits.load("heldout")
data, labels = jnp.asarray(half.images[:10]), jnp.asarray(half.labels[:10])
f = system.denoiser(params, labels)
mask = np.zeros((8, 8, 1))
mask[:4] = 1
sigmas = time_points([10.0, 4.0, 2.0, 0.8, 0.3])
rows, pictures = [], []
for name, measurement in (("upper half", pixels(mask)), ("4x4", patch_means((8, 8, 1), 2))):
    reference = degrade(measurement, data)
    x = reference + sigmas[0] * jax.random.normal(jax.random.key(2), data.shape)
    run = jax.jit(
        lambda x, f=project_x0(f, measurement, data): sample(consistency(), f, x, sigmas, key=jax.random.key(3))
    )
    rows += [f"observed: {name}", "edited"]
    pictures += [reference, run(x)]
show([*rows, "held-out digit"], np.asarray(labels), np.concatenate([*pictures, data]), f"{len(sigmas) - 1} evaluations")

# %%
z = jax.random.normal(jax.random.key(5), (2, 8, 8, 1))
weights = jnp.linspace(0.0, 1.0, 10)
path = 80.0 * slerp(jnp.broadcast_to(z[:1], (10, 8, 8, 1)), jnp.broadcast_to(z[1:], (10, 8, 8, 1)), weights)
between = [system.denoiser(params, jnp.full(10, digit))(path, jnp.asarray(80.0)) for digit in (2, 5)]
show(
    ["between two 2s", "between two 5s"],
    [f"{w:.2g}" for w in weights],
    np.concatenate(between),
    "spherical interpolation of latents",
)
