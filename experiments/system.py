"""What every experiment builds: a diffusion system as a few functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.betas import Betas
from jaxdiff.data.pipeline import Source
from jaxdiff.flow import Score
from jaxdiff.grids import Grid
from jaxdiff.precond import Preconditioning
from jaxdiff.reverse import Reverse
from jaxdiff.samplers import Sampler
from jaxdiff.sde import SDE
from jaxdiff.train.step import LossFn, Step
from jaxdiff.types import Array, Denoiser, Key, Params


class Drawable(Protocol):
    """What drawing images needs of a system: its denoiser for some labels, and the shape of its images."""

    @property
    def denoiser(self) -> Callable[[Params, Array | None], Denoiser]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class Sampling(NamedTuple):
    """How a system is sampled: what the sampler is called, the sampler, its levels, its evaluations of the network."""

    name: str
    sampler: Sampler
    sigmas: Grid
    nfe: int


class Chain(NamedTuple):
    """What a system trained on a chain of steps has beside its denoiser: its reverse chain, and so its ELBO.

    betas: of the chain; reverse: p(x' | x); model(params, labels): what reverse asks, with values where the variance is
    learned; bins: grey levels of the data.
    """

    betas: Betas
    reverse: Reverse
    model: Callable[[Params, Array | None], Any]
    learned: bool
    bins: int


class Continuous(NamedTuple):
    """What a system trained on an SDE has beside its denoiser: the SDE and its score, and so an exact likelihood.

    score(params, labels) -> (x, t) -> grad_x log p_t(x) in native coordinates; bins: grey levels of the data;
    epsilon: the last time above 0 in sampling.
    """

    sde: SDE
    score: Callable[[Params, Array | None], Score]
    bins: int
    epsilon: float


class Learning(NamedTuple):
    """How a system is trained where one loss and one optimizer do not say it.

    create(key) -> state, a NamedTuple with `step` and `ema`, the averaged parameters that are drawn from; step(state,
    key, batch) -> (state, metrics), pure. begin(state) -> state puts into a new state what is read from elsewhere, such
    as a teacher.
    """

    create: Callable[[Key], Any]
    step: Step
    begin: Callable[[Any], Any] = lambda state: state


class Data(NamedTuple):
    """Data of an experiment of its own: neither digits nor CIFAR-10, which `stages` knows.

    source() -> training examples {"image": [H, W, C] in [-1, 1], ...}; evaluate(images uint8 [N, H, W, C], labels or
    None) -> metrics, those of real held-out images as heldout_...
    """

    source: Callable[[], Source]
    evaluate: Callable[[np.ndarray, np.ndarray | None], dict[str, float]]


class System(NamedTuple):
    """A diffusion system as a few functions and the shape of its data.

    init(key) -> params
    loss(params, key, batch) -> [B], for a batch {"image": [B, H, W, C] in [-1, 1], "label": [B]}; None where `learning`
    says how to train
    denoiser(params, labels) -> Denoiser; labels [B] integers or None
    sampling(num_steps) -> the sampler that its paper uses
    shape: (H, W, C); num_classes: 0 where nothing is conditioned on
    chain: None where there is no chain of steps; continuous: None where there is no SDE
    learning: None where minimising `loss` is all there is; data: None where --data names digits or CIFAR-10
    """

    init: Callable[[Key], Params]
    loss: LossFn | None
    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    sampling: Callable[[int], Sampling]
    shape: tuple[int, ...]
    num_classes: int
    chain: Chain | None = None
    continuous: Continuous | None = None
    learning: Learning | None = None
    data: Data | None = None


def flipped(system: System) -> System:
    """The system trained on images that are mirrored left to right, each with probability 1/2."""
    if system.learning is not None:
        how = system.learning

        def step(state: Any, key: Key, batch: dict[str, Array]) -> Any:
            key_flip, key_step = jax.random.split(key)
            return how.step(state, key_step, mirrored(jax.random.fold_in(key_flip, state.step), batch))

        return system._replace(learning=how._replace(step=step))
    assert system.loss is not None
    of_image = system.loss

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_flip, key_loss = jax.random.split(key)
        return of_image(params, key_loss, mirrored(key_flip, batch))

    return system._replace(loss=loss)


def mirrored(key: Key, batch: dict[str, Array]) -> dict[str, Array]:
    """A batch, of whose images each is mirrored left to right with probability 1/2."""
    image = batch["image"]
    flip = jax.random.bernoulli(key, 0.5, (image.shape[0], 1, 1, 1))
    return {**batch, "image": jnp.where(flip, image[:, :, ::-1], image)}
