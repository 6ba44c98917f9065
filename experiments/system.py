"""What every experiment builds: a diffusion system as a few functions."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Denoiser, Float, Key, Params


class Drawable(Protocol):
    """What drawing images needs of a system: its denoiser for some labels, and the shape of its images."""

    @property
    def denoiser(self) -> Callable[[Params, Array | None], Denoiser]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class System(NamedTuple):
    """A diffusion system as four functions and the shape of its data.

    init(key) -> params
    loss(params, key, batch) -> [B], for a batch {"image": [B, H, W, C] in [-1, 1], "label": [B]}
    denoiser(params, labels) -> Denoiser; labels [B] integers or None
    shape: (H, W, C); num_classes: 0 where nothing is conditioned on
    """

    init: Callable[[Key], Params]
    loss: Callable[[Params, Key, dict[str, Array]], Float[Array, " B"]]
    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    shape: tuple[int, ...]
    num_classes: int
