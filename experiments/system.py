"""What every experiment builds: a diffusion system as a few functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from jaxdiff.betas import Betas
from jaxdiff.grids import Grid
from jaxdiff.precond import Preconditioning
from jaxdiff.reverse import Reverse
from jaxdiff.samplers import Sampler
from jaxdiff.types import Array, Denoiser, Float, Key, Params


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


class System(NamedTuple):
    """A diffusion system as a few functions and the shape of its data.

    init(key) -> params
    loss(params, key, batch) -> [B], for a batch {"image": [B, H, W, C] in [-1, 1], "label": [B]}
    denoiser(params, labels) -> Denoiser; labels [B] integers or None
    sampling(num_steps) -> the sampler that its paper uses
    shape: (H, W, C); num_classes: 0 where nothing is conditioned on
    chain: None where there is no chain of steps
    """

    init: Callable[[Key], Params]
    loss: Callable[[Params, Key, dict[str, Array]], Float[Array, " B"]]
    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    sampling: Callable[[int], Sampling]
    shape: tuple[int, ...]
    num_classes: int
    chain: Chain | None = None
