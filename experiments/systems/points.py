"""Every system of the library on 25 Gaussians, each with the same small network: one function a system.

Points are given to them 0.4 times as large, so that they lie in [-1, 1] as images do and the systems of images serve.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.harness import devices, experiment, training
from experiments.harness.system import Sampling, System
from experiments.systems import consistency, ddpm, edm, score_sde
from experiments.systems.gaussian_points import dataset, points
from experiments.systems.network import Network
from jaxdiff import grids, precond, process, samplers
from jaxdiff.data import gaussians
from jaxdiff.gaussian_mixture import moments
from jaxdiff.nets.mlp import MLP
from jaxdiff.samplers import langevin, predictor, time_points
from jaxdiff.samplers.langevin import annealed_step_size
from jaxdiff.samplers.predictors import reverse_diffusion
from jaxdiff.types import Array, Params

SCALE = 0.4
SIGMA_DATA = SCALE * float(moments(gaussians.grid())[1][0]) ** 0.5
"""Standard deviation of a coordinate of the scaled points."""


@dataclass(frozen=True)
class Config(training.Training):
    """A system on 25 Gaussians, a 5x5 grid. Defaults were chosen on these data."""

    steps: int = 30_000
    """Training steps."""
    batch_size: int = 512
    """Points a step, over all devices."""
    learning_rate: float = 5e-3
    """Of Adam, after warm-up."""
    cooldown: float = 0.8
    """Share of the steps, at the end, over which the learning rate falls to 0."""
    ema_halflife: int = 500_000
    """Half-life of the parameters' average, in points."""
    steps_per_dispatch: int = 100
    """Steps in one compiled call; loops of dense layers are fast on every device."""
    log_every: int = 500
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: int = 5_000
    """Steps between checkpoints."""
    grid_every: int = 0
    """Steps between scatter plots of samples in WORKDIR/grids; 0 for none."""
    width: int = 128
    """Hidden features of the network, as many as DDGAN's on these data has."""
    depth: int = 4
    """Hidden layers of the network, likewise."""
    embedded: float = 16.0
    """edm, cd, ect, sct: factor on log(sigma) / 4, since the network's embedding is one of step counts."""
    p_mean: float = -2.4
    """edm, ect, sct: mean of log(sigma) in training; a Gaussian is 0.02 wide."""
    p_std: float = 1.6
    """edm, ect, sct: standard deviation of log(sigma) in training."""


def smoke(config: Config) -> Config:
    """Return the config of the same path in seconds."""
    small: dict[str, Any] = {"steps": 200, "batch_size": 64, "checkpoint_every": 100, "log_every": 100, "width": 16}
    return replace(config, **small)


def network(config: Config, scale: float) -> Network:
    """Build the network, given scale * c_noise, on the scale of a step count; classes and dropout do not concern it."""
    mlp = devices.computing(config, MLP(2, config.width, config.depth))

    def apply(params: Params, x: Array, c_noise: Array, **cond: Any) -> Array:
        return jnp.asarray(mlp.apply(params, jnp.broadcast_to(scale * c_noise, x.shape[:1]), x))

    return Network(apply, lambda key: mlp.init(key, jnp.zeros(1), jnp.zeros((1, 2))), (2,), bins=2)


SIGMA_MIN, SIGMA_MAX = 0.004, 20.0
"""A fifth of a Gaussian's width to 35 times all of them. With the exact denoiser 18 Heun steps draw more good points
there than between the paper's 0.002 and 80: see tests/experiments/comparison/test_trilemma.py."""
SECOND = 0.1
"""Level of the second of two steps of a consistency model: below the Gaussians' distance, above their width."""
TUNED: dict[str, dict[str, Any]] = {
    "cd": {"learning_rate": 2e-3},
    "ect": {"p_mean": -1.5, "p_std": 2.0, "learning_rate": 2e-3},
    # At 5e-3 all points fall on one Gaussian. Its loss holds a derivative by time, which a fast embedding makes large.
    "sct": {"p_mean": -2.0, "p_std": 1.8, "learning_rate": 1e-3, "embedded": 4.0},
}
"""What a method asks for besides the defaults."""


def edm_system(config: Config) -> System:
    """Build EDM (Karras et al. 2022), between levels that suit the points."""
    parametrisation = precond.edm(SIGMA_DATA)._replace(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)
    objective = edm.lognormal(config.p_mean, config.p_std, SIGMA_DATA)
    return edm.assemble(network(config, config.embedded), parametrisation, objective)


def ddpm_system(config: Config) -> System:
    """Build DDPM (Ho et al. 2020): a chain of 1,000 steps, fixed variances."""
    values = {"variance": "small", "objective": "simple", "schedule": "cosine"}
    return ddpm.assemble(like(config, ddpm.Diffusion, **values), network(config, 1.0))


def score_sde_system(config: Config) -> System:
    """Build the VP SDE in continuous time (Song et al. 2021).

    Times are drawn for likelihood, since few of uniform ones fall where Gaussians are resolved. The corrector's steps
    are those of annealed Langevin dynamics, as two dimensions ask for: see `samplers.per_example_step_size`.
    """
    system = score_sde.assemble(like(config, score_sde.ScoreSDE, weighting="importance"), network(config, 1.0))
    assert system.sde_model is not None
    sde, epsilon = system.sde_model.sde, system.sde_model.epsilon
    sampler = langevin(predictor(sde, reverse_diffusion), sde, step_size=annealed_step_size)

    def sampling(num_steps: int) -> Sampling:
        return Sampling("predictor_corrector", sampler, process.sde.grid(sde, num_steps, epsilon), nfe=2 * num_steps)

    return system._replace(sampling=sampling)


def consistency_system(method: str, config: Config, teacher: Callable[[], Params]) -> System:
    """Build a consistency model, sampled from as high a level as EDM; teacher reads the parameters of `edm_system`."""
    chosen = {"method": method, "sigma_data": SIGMA_DATA, "weighting": "karras", "p_mean": config.p_mean}
    student = like(config, consistency.Consistency, **chosen, p_std=config.p_std)
    system = consistency.assemble(student, network(config, config.embedded), teacher)
    ends = system.sampling(1).sigmas[-1]

    def sampling(num_steps: int) -> Sampling:
        between = grids.karras(num_steps, SECOND, SIGMA_MAX)[1:-1].tolist()
        return Sampling("consistency", samplers.consistency(ends), time_points(between, ends, SIGMA_MAX), nfe=num_steps)

    return system._replace(sampling=sampling)


def like(config: Config, kind: type, **values: Any) -> Any:
    """Return a config of another system with the same training."""
    shared = {f.name: getattr(config, f.name) for f in fields(training.Training) if f.name != "num_steps"}
    return kind(**{**shared, **values})


class Stream:
    """Endless batches of new points: batch k is a function of the seed and k, faster than Grain reads so small rows."""

    def __init__(self, batch_size: int, seed: int):
        self.batch_size, self.seed, self.count = batch_size, seed, 0

    def __next__(self) -> dict[str, np.ndarray]:
        drawn, labels = gaussians.load(self.batch_size, (self.seed << 32) + self.count)
        self.count += 1
        return {"image": (SCALE * drawn).astype(np.float32), "label": labels.astype(np.int32)}

    def get_state(self) -> dict[str, int]:
        return {"count": self.count}

    def set_state(self, state: dict[str, int]) -> None:
        self.count = state["count"]


DATA = dataset(
    load=partial(points, 1, 0),  # for its shape: training has new points in every batch
    scale=SCALE,
    batches=lambda source, batch_size, seed: Stream(batch_size, seed),
)


def experiment_of(name: str, build: Callable[[Config], System]) -> experiment.Experiment:
    """Return the experiment of a system on these data."""
    return experiment.Experiment(name, Config, lambda config: build(config)._replace(data=DATA), smoke)
