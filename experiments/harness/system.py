"""What every experiment builds: a diffusion system as a few functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness.captions import counted
from experiments.harness.forms import IMAGES, Form
from jaxdiff.data.pipeline import Source, batches
from jaxdiff.grids import Grid
from jaxdiff.interop.exported import Description
from jaxdiff.precond import Preconditioning
from jaxdiff.process.betas import Betas
from jaxdiff.process.reverse_kernel import ReverseKernel
from jaxdiff.process.sde import SDE
from jaxdiff.samplers import Sampler
from jaxdiff.train.loop import Batches
from jaxdiff.train.step import LossFn, Step
from jaxdiff.types import Array, Denoiser, Key, Params, Score


class Sampling(NamedTuple):
    """How a system is sampled: what the sampler is called, the sampler, its levels, its evaluations of the network."""

    name: str
    sampler: Sampler
    sigmas: Grid
    nfe: int

    @property
    def about(self) -> str:
        """Its name, steps and evaluations, as a caption has them."""
        steps = f"{self.name}, {counted(len(self.sigmas) - 1, 'step')}"
        return f"{steps}, {counted(self.nfe, 'evaluation')}" if self.nfe else steps


class DiscreteProcess(NamedTuple):
    """What a system trained on a chain of steps adds to its denoiser: its reverse chain, and so its ELBO.

    betas: of the chain; reverse_kernel: p(x' | x); model(params, labels): the denoiser that it takes, which returns the
    variance's values too where they are learned; bins: grey values of the data.
    """

    betas: Betas
    reverse_kernel: ReverseKernel
    model: Callable[[Params, Array | None], Any]
    learned: bool
    bins: int


class SDEModel(NamedTuple):
    """What a system trained on an SDE adds to its denoiser: the SDE and its score, and so an exact likelihood.

    score(params, labels) -> (x, t) -> grad_x log p_t(x) in native coordinates; bins: grey values of the data;
    epsilon: the last time above 0 in sampling.
    """

    sde: SDE
    score: Callable[[Params, Array | None], Score]
    bins: int
    epsilon: float


class Exportable(NamedTuple):
    """What `experiments.export` writes beside the parameters: the network, and what makes a denoiser of it."""

    module: Any
    description: Description


class Trainer(NamedTuple):
    """How a system is trained where one loss and one optimizer do not say it.

    create(key) -> state, a NamedTuple with `step` and `ema`, the averaged parameters that are drawn from; step(state,
    key, batch) -> (state, metrics), pure. begin(state) -> state puts into a new state what is read from elsewhere, such
    as a teacher. averaged(state.ema), trained(state.params) -> the network's parameters alone, as `System.init` makes
    them. adopt(state, params) -> a new state whose network and averages start at such parameters.
    """

    create: Callable[[Key], Any]
    step: Step
    begin: Callable[[Any], Any] = lambda state: state
    averaged: Callable[[Any], Params] = lambda ema: ema
    trained: Callable[[Any], Params] = lambda params: params
    adopt: Callable[[Any, Params], Any] = lambda state, params: state._replace(params=params, ema=copied(params))


def copied(tree: Params) -> Params:
    """Copy arrays into buffers of their own, since a state's are donated."""
    return jax.tree.map(jnp.copy, tree)


class DatasetInfo(NamedTuple):
    """(H, W, C) of a data set's images, and how many classes they have, 0 for none."""

    shape: tuple[int, ...]
    num_classes: int


class Dataset(NamedTuple):
    """A data set: what systems train on, and what their samples are compared with.

    info() -> what it is, read from files where it lies in files
    training(wanted, held_out) -> examples {"image": bytes or floats in [-1, 1], "label"}; ValueError where they are not
    what a system wants, or no such share can be held out
    heldout(held_out) -> examples that training leaves out; None where there are none
    evaluate(samples, labels) -> metrics, those of held-out examples as heldout_...; None takes those of pixels
    form: images, or points; grey_values: how many a pixel has
    small: whether recipes for 32x32 images are shrunk for it; mirrored: whether a mirrored image is one of the data
    batches(source, batch_size, seed) -> an endless, resumable iterator
    """

    info: Callable[[], DatasetInfo]
    training: Callable[[DatasetInfo, float], Source]
    heldout: Callable[[float], Source | None] = lambda held_out: None
    evaluate: Callable[[np.ndarray, np.ndarray | None], dict[str, float]] | None = None
    form: Form = IMAGES
    grey_values: int = 256
    small: bool = False
    mirrored: bool = True
    batches: Callable[[Source, int, int], Batches] = batches


class System(NamedTuple):
    """A diffusion system as a few functions and the shape of its data.

    init(key) -> params
    loss(params, key, batch) -> [B], for a batch {"image": [B, H, W, C] in [-1, 1], "label": [B]}; None where `trainer`
    says how to train, and for published models, which are not trained here
    denoiser(params, labels) -> Denoiser; labels [B] integers or None
    sampling(num_steps) -> the sampler that its paper uses
    shape: (H, W, C), of points (2,); num_classes: 0 where nothing is conditioned on
    discrete_process: None where there is no chain of steps; sde_model: None where there is no SDE
    trainer: None where minimising `loss` is all there is; data: None where --data names it
    unconditional: whether classes were hidden in training too, so that the denoiser without labels means something
    latent_dim: numbers in the latent of a network that draws x0 from (x, sigma, latent), so that only its own sampler
    fits; None of a denoiser
    exportable: None where a description cannot say what makes its denoiser
    """

    init: Callable[[Key], Params]
    loss: LossFn | None
    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    sampling: Callable[[int], Sampling]
    shape: tuple[int, ...]
    num_classes: int
    discrete_process: DiscreteProcess | None = None
    sde_model: SDEModel | None = None
    trainer: Trainer | None = None
    data: Dataset | None = None
    unconditional: bool = False
    latent_dim: int | None = None
    exportable: Exportable | None = None

    @property
    def form(self) -> Form:
        """What its examples are."""
        return IMAGES if self.data is None else self.data.form


class Pretrained(NamedTuple):
    """What samples are drawn from: a system, what reads its parameters, and its usual number of sampling steps."""

    system: System
    params: Callable[[], Params]
    num_steps: int


def flipped(system: System) -> System:
    """Return the system trained on images that are mirrored left to right, each with probability 1/2."""
    if system.trainer is not None:
        trainer = system.trainer

        def step(state: Any, key: Key, batch: dict[str, Array]) -> Any:
            key_flip, key_step = jax.random.split(key)
            return trainer.step(state, key_step, mirrored(jax.random.fold_in(key_flip, state.step), batch))

        return system._replace(trainer=trainer._replace(step=step))
    assert system.loss is not None
    of_image = system.loss

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_flip, key_loss = jax.random.split(key)
        return of_image(params, key_loss, mirrored(key_flip, batch))

    return system._replace(loss=loss)


def mirrored(key: Key, batch: dict[str, Array]) -> dict[str, Array]:
    """Mirror each image of a batch left to right with probability 1/2."""
    image = batch["image"]
    flip = jax.random.bernoulli(key, 0.5, (image.shape[0], 1, 1, 1))
    return {**batch, "image": jnp.where(flip, image[:, :, ::-1], image)}
