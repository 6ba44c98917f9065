"""Pictures drawn by trained networks: each function takes the folder of the runs and returns the picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gallery.strips import strips
from experiments.harness import generate, runs
from jaxdiff import editing, grids, samplers
from jaxdiff.data import digits
from jaxdiff.samplers import Sampler, sample
from jaxdiff.types import Batch, Denoiser

SIGMAS = grids.karras(40)
CLASSES = np.arange(10)


def trained(folder: Path) -> Callable[[np.ndarray], Denoiser]:
    """Read a run; return labels -> its denoiser."""
    run = runs.load(folder)
    return lambda labels: run.system.denoiser(run.params, jnp.asarray(labels))


def noise(seed: int, num: int = 10) -> Batch:
    """Draw standard normal images."""
    return jax.random.normal(jax.random.key(seed), (num, 8, 8, 1))


def one_of_each() -> Batch:
    """Return the first held-out digit of each class, which no network has seen."""
    found = digits.load("heldout")
    return jnp.asarray(found.images[[np.argmax(found.labels == label) for label in CLASSES]])


def edited(runs: Path, measurement: editing.LinearMeasurement, what: str) -> np.ndarray:
    image = one_of_each()
    denoiser = trained(runs / "edm_digits")
    sampler = samplers.impute(samplers.heun(), image, measurement)

    @jax.jit
    def draw(x: Batch, key: Any) -> Batch:
        return sample(sampler, denoiser(CLASSES), x, SIGMAS, key=key)

    drawn = {f"drawn, seed {i}": draw(SIGMAS[0] * noise(i), jax.random.key(i)) for i in range(3)}
    rows = {"held-out digit": image, "observed": editing.degrade(measurement, image), **drawn}
    caption = f"{what} The network is told the class. No two images share their noise."
    return strips(rows, [str(label) for label in CLASSES], caption)


def inpainting(runs: Path) -> np.ndarray:
    """Keep the left half of a digit and draw the right half."""
    mask = np.broadcast_to(np.arange(8)[None, :, None] < 4, (8, 8, 1)).astype(float)
    return edited(runs, editing.pixels(mask), "The left half is given, the right half is drawn.")


def super_resolution(runs: Path) -> np.ndarray:
    """Draw an 8x8 digit from the means of its 2x2 patches."""
    measurement = editing.patch_means((8, 8, 1), 2)
    return edited(runs, measurement, "4x4 pixels are given; what is drawn has exactly their means.")


def interpolation(runs: Path) -> np.ndarray:
    """Walk between two noises: a deterministic sampler makes of nearby noise nearby digits."""
    denoiser = trained(runs / "edm_digits")
    weights = jnp.linspace(0, 1, 10)

    @jax.jit
    def draw(x: Batch, label: Any) -> Batch:
        return sample(samplers.heun(), denoiser(jnp.full(10, label)), SIGMAS[0] * x, SIGMAS)

    rows = {}
    for label in (0, 2, 3, 5, 7, 9):
        start, end = (jnp.repeat(noise(seed, 1), 10, axis=0) for seed in (2 * label, 2 * label + 1))
        rows[f"class {label}"] = draw(editing.slerp(start, end, weights), label)
    caption = (
        "Left and right, two seeds, other ones in each row; between them, points of the great circle through both."
    )
    return strips(rows, [f"{weight:.2f}" for weight in weights.tolist()], caption)


SOLVERS: dict[str, tuple[Sampler, Callable[[int], int]]] = {
    "Euler (DDIM)": (samplers.euler(), lambda nfe: nfe),
    "DPM-Solver-2": (samplers.dpm_2(), lambda nfe: nfe // 2),
    "Heun": (samplers.heun(), lambda nfe: (nfe + 1) // 2),
    "DPM-Solver++(2M)": (samplers.dpmpp_2m(), lambda nfe: nfe),
}
"""name -> (sampler, evaluations -> the most steps that need no more)."""


def beside(images: np.ndarray) -> np.ndarray:
    """Put images [N, H, W, C] beside each other, white between them: [H, N (W + 1), C]."""
    return np.concatenate(list(np.pad(images, ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=1)), axis=1)


def few_evaluations(runs: Path) -> np.ndarray:
    """Sample one network by several solvers with 1 to 35 evaluations, always from the same noise."""
    denoiser = trained(runs / "edm_digits")
    classes, budgets = np.array([2, 3, 5]), (1, 2, 4, 8, 35)
    x = SIGMAS[0] * noise(1, 3)
    rows = {}
    for name, (sampler, steps) in SOLVERS.items():
        draw = jax.jit(lambda sigmas, sampler=sampler: sample(sampler, denoiser(classes), x, sigmas))
        row = []
        for nfe in budgets:
            grid = grids.karras(steps(nfe)) if steps(nfe) else np.zeros(0)
            padded = np.pad(grid, (0, 36 - len(grid)))  # steps from 0 to 0 do nothing: one program serves all
            row.append(beside(draw(padded) if steps(nfe) else np.ones_like(x)))
        rows[name] = np.stack(row)
    caption = "Evaluations of the network, at most. Classes 2, 3 and 5; the same three noises everywhere."
    return strips(rows, [str(nfe) for nfe in budgets], caption, scale=4)


def few_steps(runs: Path) -> np.ndarray:
    """Sample a distilled consistency model by 1, 2 and 4 evaluations, and its teacher by 35, from the same noise."""
    rows = {}
    for steps in (1, 2, 4):
        rows[f"{steps} evaluation{'s' if steps > 1 else ''}"] = drawn(runs / "consistency_digits", steps)
    rows["its teacher, 35"] = drawn(runs / "edm_digits", 18)
    caption = "The same seed in a column, 0 to 9: the student has learned where its teacher's paths end."
    return strips(rows, [str(label) for label in CLASSES], caption)


def drawn(folder: Path, num_steps: int) -> np.ndarray:
    """Draw a digit of each class by the run's own sampler, seeds 0 to 9."""
    run = runs.load(folder)
    request = generate.request(run.system, run.system.sampling(num_steps), CLASSES)
    (x,) = generate.draw_floats(run.system, run.params, request, progress=False)
    return x
