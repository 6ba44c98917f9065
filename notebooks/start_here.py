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
# # Start here
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/jaxdiff/jaxdiff/blob/main/notebooks/start_here.ipynb)
#
# Train a diffusion model with a network of your own, draw from it with three samplers, and guide it towards a class.
# The data are points in the plane, so that everything can be seen.
#
# - **Time on a CPU:** half a minute: 25 s of processor time (2026-12-01, 2 cores, jax 0.12.0).
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
import tempfile

import flax.linen as nn
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxdiff as jd
from jaxdiff.data import pipeline

FAST = bool(os.environ.get("JAXDIFF_FAST"))  # set by the tests, which do not wait for a trained network

# %% [markdown]
# ## 1. Data: three classes
# A pinwheel with three arms. Arrays of equal length, here points and labels, become endless shuffled batches.

# %%
ARMS = 3
rng = np.random.default_rng(0)
labels = rng.integers(ARMS, size=20_000)
radius = rng.uniform(size=20_000) ** 0.75
angle = 2 * np.pi * labels / ARMS + 2.2 * radius + 0.12 * rng.normal(size=20_000)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)

batches = pipeline.batches(pipeline.ArraySource(point=points, label=labels), batch_size=256, seed=0)


def show(axis, points, labels, title):
    """Points in the colour of their class."""
    axis.scatter(*np.asarray(points).T, c=[f"C{label}" for label in labels], s=2)
    axis.set(title=title, xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), xticks=[], yticks=[], aspect="equal")


fig, axis = plt.subplots(figsize=(3, 3))
show(axis, points[:1500], labels[:1500], "data")
plt.show()

# %% [markdown]
# ## 2. A network of your own
# Any function of parameters, noisy points, the noise level and a condition will do. This one is a few dense layers in
# Flax. It has one class more than the data: the last stands for "no class", which guidance needs in section 5.

# %%
NO_CLASS = ARMS


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, level, label):
        level = jnp.broadcast_to(level, label.shape)[:, None]  # samplers give one level for all points
        h = nn.Dense(128)(x) + nn.Dense(128)(level) + nn.Embed(ARMS + 1, 128)(label)
        for _ in range(3):
            h = h + nn.Dense(128)(nn.silu(h))
        return nn.Dense(2)(nn.silu(h))


net = Net()
params = net.init(jax.random.key(0), points[:1], jnp.zeros(1), labels[:1])

# %% [markdown]
# ## 3. Train
# Everything in jaxdiff speaks the **denoiser** $D(x, \sigma)$: given $x = x_0 + \sigma n$, data with noise of standard
# deviation $\sigma$, it returns the best guess of $x_0$. `jd.denoiser` makes one of a network. Training draws a level
# and noise, and compares the guess with the truth. Of every five examples one has its class hidden.


# %%
def denoiser(params, label):
    return jd.denoiser(net.apply, params, jd.precond.edm(sigma_data=0.5), label=label)


def loss(params, key, batch):
    key_label, key_sigma, key_noise = jax.random.split(key, 3)
    x0, label = batch["point"], batch["label"]
    label = jnp.where(jax.random.bernoulli(key_label, 0.2, label.shape), NO_CLASS, label)
    sigma = jd.timesteps.lognormal_sigma(jax.random.normal(key_sigma, label.shape))
    noise = jax.random.normal(key_noise, x0.shape)
    return jd.edm_loss(denoiser(params, label), x0, sigma, noise)  # one number for each example


num_steps = 100 if FAST else 2_000
optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, num_steps))
state = jd.train.fit(
    jd.train.train_step(loss, optimizer, jd.train.ema.constant_decay(0.99)),
    jd.train.create(params, optimizer),
    batches,
    jax.random.key(1),
    jd.train.TrainSchedule(num_steps, log_every=50, checkpoint_every=num_steps),
    Path(tempfile.mkdtemp()),  # in a folder that you keep, training goes on where it stopped
)

# %% [markdown]
# `fit` is a loop with checkpoints around one pure function, `train_step`; use that alone in a loop of your own. The
# loss does not fall to zero: under noise a point may come from many places, and the best guess is their mean.
#
# ## 4. Three samplers
# A sampler carries noise down a grid of levels, asking the denoiser at each. All are called alike, so that one is
# exchanged for another in one word. What costs time is the number of evaluations of the network:
# - `heun`, a second-order solver of the probability-flow ODE (Karras et al. 2022), two evaluations a step;
# - `dpmpp_2m`, DPM-Solver++(2M) (Lu et al. 2022), which gets its second order from the step before;
# - `ancestral`, DDPM's own (Ho et al. 2020), which adds fresh noise at each step and needs more of them.
#
# All start from the same noise, and every point is asked for the class of its colour.

# %%
num = 1_500
wanted = jnp.arange(num) % ARMS
noise = jax.random.normal(jax.random.key(2), (num, 2))


def draw(sampler, denoise, num_steps):
    sigmas = jd.grids.karras(num_steps, sigma_min=0.002, sigma_max=20.0)
    run = jax.jit(lambda x: jd.sample(sampler, denoise, x, sigmas, key=jax.random.key(3)))
    return run(sigmas[0] * noise)


samplers = {
    "heun": (jd.samplers.heun(), lambda evaluations: (evaluations + 1) // 2),
    "dpmpp_2m": (jd.samplers.dpmpp_2m(), lambda evaluations: evaluations),
    "ancestral": (jd.samplers.ancestral(), lambda evaluations: evaluations),
}
denoise = denoiser(state.ema, wanted)  # ema: the moving average of the parameters
fig, axes = plt.subplots(3, 3, figsize=(8, 8.4), layout="constrained")
for row, (name, (sampler, steps)) in zip(axes, samplers.items(), strict=True):
    for axis, evaluations in zip(row, (7, 15, 63), strict=True):
        show(axis, draw(sampler, denoise, steps(evaluations)), wanted, f"{name}, {evaluations} evaluations")
plt.show()

# %% [markdown]
# With 7 evaluations Heun's four long steps miss, DPM-Solver++(2M) has the arms already, and the ancestral sampler draws
# them too tight. With 63 all three agree with the data.
#
# ## 5. Guidance
# `jd.guide` makes a denoiser of two: $D = D_\text{without} + w\,(D_\text{with} - D_\text{without})$, with and without
# the class. At $w = 0$ the class is ignored and every colour lies on every arm; $w = 1$ is the class as it was learned;
# beyond, points are pushed away from where other classes might be. They become more typical and less varied.

# %%
without = denoiser(state.ema, jnp.full(num, NO_CLASS))
fig, axes = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
for axis, w in zip(axes, (0.0, 1.0, 2.0, 4.0), strict=True):
    show(axis, draw(jd.samplers.heun(), jd.guide(denoise, without, w), 18), wanted, f"w = {w:g}")
plt.show()

# %% [markdown]
# ## Where to go next
# - **Images:** `python -m experiments.edm_digits` trains on handwritten digits in minutes on a CPU; `edm.ipynb` shows
#   its parts.
# - **Other families**, a notebook each: `ddpm`, `score_sde` (likelihoods, inpainting), `consistency` (one step),
#   `ddgan` (four steps), and `edm_design_space` (grids, schedules and solvers compared).
# - **Your own images, loop or network:** the pages under *Do* in the documentation.
# - **Change something here:** the data, the network, `heun` for `jd.samplers.churn(jd.samplers.heun(), 10)`, `w`.
