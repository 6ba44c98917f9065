"""How a training run can be watched: flags, the monitors they name, and grids of samples on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.harness import generate
from experiments.harness.forms import sheet
from experiments.harness.image_grid import save_png
from experiments.harness.system import System
from jaxdiff.train import hosts, sharding
from jaxdiff.train.monitor import MonitorFactory
from jaxdiff.train.tensorboard import tensorboard
from jaxdiff.train.weights_and_biases import weights_and_biases
from jaxdiff.types import Array, Params

ROWS, COLUMNS = 8, 10
"""Of a grid. Ten columns, as samples.png has: of ten classes each has one."""


@dataclass(frozen=True)
class Monitoring:
    """Monitors besides metrics.jsonl. None changes a number, and a run may be resumed with others.

    A grid is drawn from the averaged parameters by the run's own sampler, with the next line of metrics.jsonl.
    A trace begins when everything is compiled.
    """

    tensorboard: bool = False
    """Write the metrics and the grids for TensorBoard too: tensorboard --logdir WORKDIR/tensorboard."""
    wandb: str = ""
    """Project of Weights & Biases that is sent the metrics and the grids; WANDB_MODE=offline only keeps them."""
    grid_every: int = 5_000
    """Steps between grids of samples, seeds 0 to 79, in WORKDIR/grids; 0 for none."""
    profile: int = 0
    """Steps to trace into WORKDIR/profile: run xprof on it, or open its perfetto_trace.json.gz at ui.perfetto.dev."""


def monitors(config: Monitoring, workdir: Path) -> list[MonitorFactory]:
    """Return the monitors that the flags name.

    Raises: MissingExtra where the package of one is not installed.
    """
    named = [tensorboard(workdir / "tensorboard")] if config.tensorboard else []
    return [*named, weights_and_biases(workdir, config.wandb)] if config.wandb else named


def grid(system: System, num_steps: int, folder: Path, fsdp: int) -> Callable[[int, Any], np.ndarray]:
    """Make preview(step, state) for `fit`, which draws the same seeds by one program on all devices of all processes.

    Image i is that of seed i and label i modulo the number of classes, as in samples.png; process 0 writes them all to
    FOLDER/STEP.png.

    Args:
      num_steps: of the system's own sampler; fsdp: of the training.
    Returns: a function that raises FloatingPointError where an image is not finite, OSError where none can be written.
    """
    mesh, num = sharding.data_mesh(fsdp), ROWS * COLUMNS
    replicated, split = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    seeds = np.arange(-(-num // mesh.size) * mesh.size) % num  # filled up, so that the devices share it evenly
    sampling = system.sampling(num_steps)
    request = generate.request(system, sampling, seeds)
    batch = generate.compile_batch(system, request)

    @partial(jax.jit, out_shardings=replicated)
    def drawn(params: Params, seeds: Array, labels: Array | None) -> Array:
        return batch(jax.lax.with_sharding_constraint(params, replicated), seeds, labels)

    def preview(step: int, state: Any) -> np.ndarray:
        given = sharding.shard((seeds.astype(np.uint32), request.labels), split)
        x = np.asarray(sharding.to_host(drawn(state.ema, *given)))[:num]
        if not np.isfinite(x).all():
            raise FloatingPointError("its samples are not finite")
        examples, about = system.form.encode(x), f"Step {step}. {sampling.about}"
        image = sheet(system.form, examples, seeds, request.labels, about, COLUMNS)
        if hosts.is_primary():
            folder.mkdir(exist_ok=True)
            save_png(folder / f"{step:08d}.png", image)
        return image

    return preview
