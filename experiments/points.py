"""Every system of the library on 25 Gaussians, each with the same small network: one function a system.

Points are given to them 0.4 times as large, so that they lie in [-1, 1] as images do and the systems of images serve.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import claim, cli, consistency, ddpm, draw, score_sde, sources, stages, watching, workdir
from experiments.system import Sampling, System
from jaxdiff import grids, keys, precond, samplers
from jaxdiff import sde as sdes
from jaxdiff.data import gaussians
from jaxdiff.losses import edm_loss, lognormal_sigma
from jaxdiff.nets.mlp import MLP
from jaxdiff.samplers import langevin, predictor, time_points
from jaxdiff.samplers.langevin import annealed
from jaxdiff.samplers.predictors import reverse_diffusion
from jaxdiff.toy import moments
from jaxdiff.train.loop import Budget, fit
from jaxdiff.types import Array, Denoiser, Key, Params

SCALE = 0.4
SIGMA_DATA = SCALE * float(moments(gaussians.grid())[1][0]) ** 0.5
"""Standard deviation of a coordinate of the scaled points."""


@dataclass(frozen=True)
class Config(stages.Training):
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
    """0: points make no grids."""
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
    """The same path in seconds."""
    small: dict[str, Any] = {"steps": 200, "batch_size": 64, "checkpoint_every": 100, "log_every": 100, "width": 16}
    return replace(config, **small)


class Net(NamedTuple):
    """A network as the systems of images call it."""

    apply: Callable[..., Array]
    init: Callable[[Key], Params]


def network(config: Config, scale: float) -> Net:
    """The network, told scale * c_noise, on the scale of a step count; labels and dropout do not concern it."""
    mlp = MLP(2, config.width, config.depth)

    def apply(params: Params, x: Array, c_noise: Array, **cond: Any) -> Array:
        return jnp.asarray(mlp.apply(params, jnp.broadcast_to(scale * c_noise, x.shape[:1]), x))

    return Net(apply, lambda key: mlp.init(key, jnp.zeros(1), jnp.zeros((1, 2))))


SIGMA_MIN, SIGMA_MAX = 0.004, 20.0
"""A fifth of a Gaussian's width to 35 times all of them. With the exact denoiser 18 Heun steps draw more good points
there than between the paper's 0.002 and 80: see tests/experiments/test_trilemma.py."""
SECOND = 0.1
"""Level of the second of two steps of a consistency model: below the Gaussians' distance, above their width."""
TUNED: dict[str, dict[str, float]] = {
    "cd": {"learning_rate": 2e-3},
    "ect": {"p_mean": -1.5, "p_std": 2.0, "learning_rate": 2e-3},
    # At 5e-3 all points fall on one Gaussian. Its loss holds a derivative by time, which a fast embedding makes large.
    "sct": {"p_mean": -2.0, "p_std": 1.8, "learning_rate": 1e-3, "embedded": 4.0},
}
"""What a method asks for beside the defaults."""


def edm(config: Config) -> System:
    """EDM (Karras et al. 2022)."""
    net = network(config, config.embedded)
    row = precond.edm(SIGMA_DATA)._replace(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)

    def denoiser(params: Params, labels: Array | None) -> Denoiser:
        return precond.denoiser(net.apply, params, row)

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_sigma, key_noise = jax.random.split(key)
        x0 = batch["image"]
        sigma = lognormal_sigma(jax.random.normal(key_sigma, x0.shape[:1]), config.p_mean, config.p_std)
        noise = jax.random.normal(key_noise, x0.shape)
        return edm_loss(denoiser(params, None), x0, sigma, noise, sigma_data=SIGMA_DATA)

    return System(net.init, loss, denoiser, row, lambda n: draw.edm_sampling(row, n), (2,), num_classes=0)


def ddpm_chain(config: Config) -> System:
    """DDPM (Ho et al. 2020): a chain of 1,000 steps, fixed variances."""
    values = {"variance": "small", "objective": "simple", "schedule": "cosine"}
    told = like(config, ddpm.Diffusion, **values)
    net = network(config, 1.0)
    return ddpm.assemble(told, net, net.init, (2,), classes=0, bins=2)


def score_vp(config: Config) -> System:
    """The VP SDE in continuous time (Song et al. 2021).

    Times are drawn for likelihood, since few of uniform ones fall where Gaussians are told apart. The corrector's steps
    are those of annealed Langevin dynamics, as two dimensions ask for: see `langevin.per_example`.
    """
    net = network(config, 1.0)
    system = score_sde.assemble(
        like(config, score_sde.ScoreSDE, weighting="importance"), net, net.init, (2,), classes=0, bins=2
    )
    assert system.continuous is not None
    sde, epsilon = system.continuous.sde, system.continuous.epsilon
    sampler = langevin(predictor(sde, reverse_diffusion), sde, step_size=annealed)

    def sampling(num_steps: int) -> Sampling:
        return Sampling("predictor_corrector", sampler, sdes.grid(sde, num_steps, epsilon), nfe=2 * num_steps)

    return system._replace(sampling=sampling)


def consistency_of(config: Config, method: str, teacher: Callable[[], Params]) -> System:
    """A consistency model by any method, from as high a level as EDM's; teacher reads the parameters of `edm`."""
    chosen = {"method": method, "sigma_data": SIGMA_DATA, "weighting": "karras", "p_mean": config.p_mean}
    told = like(config, consistency.Consistency, **chosen, p_std=config.p_std)
    net = network(config, config.embedded)
    system = consistency.assemble(told, net, net.init, (2,), 0, teacher)
    ends = system.sampling(1).sigmas[-1]

    def sampling(num_steps: int) -> Sampling:
        between = grids.karras(num_steps, SECOND)[1:-1].tolist()
        return Sampling("consistency", samplers.consistency(ends), time_points(between, ends, SIGMA_MAX), nfe=num_steps)

    return system._replace(sampling=sampling)


def like(config: Config, kind: type, **values: Any) -> Any:
    """A config of another system with the same training."""
    training = {f.name: getattr(config, f.name) for f in fields(stages.Training) if f.name != "num_steps"}
    return kind(**{**training, **values})


class Stream:
    """Endless batches of new points: batch k is a function of the seed and k, faster than Grain reads so small rows."""

    def __init__(self, batch_size: int, seed: int):
        self.batch_size, self.seed, self.count = batch_size, seed, 0

    def __next__(self) -> dict[str, np.ndarray]:
        points, labels = gaussians.load(self.batch_size, (self.seed << 32) + self.count)
        self.count += 1
        return {"image": (SCALE * points).astype(np.float32), "label": labels.astype(np.int32)}

    def get_state(self) -> dict[str, int]:
        return {"count": self.count}

    def set_state(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def train(name: str, config: Config, system: System) -> Any:
    """The state at the last step, or where a signal stopped it, from wherever the run's folder stands."""
    with contextlib.ExitStack() as held:
        with cli.bad_input():
            budget = stages.check(config)
            watching.no_grid(config)
            sources.check_share("25gaussians", config.held_out)
            held.enter_context(claim.claimed(config.workdir, name, config))
        return trained(config, system, budget)


def trained(config: Config, system: System, budget: Budget) -> Any:
    """The same in a folder that is this run's."""
    how = stages.learning(config, system)
    key_init, key_train = jax.random.split(keys.of_seed(config.seed))
    state = how.begin(jax.jit(how.create)(key_init))
    batches = Stream(config.batch_size, config.seed)
    monitors = watching.monitors(config, config.workdir)
    of_config = workdir.to_json(config)
    return fit(how.step, state, batches, key_train, budget, config.workdir, of_config, monitors=monitors)
