"""jaxdiff: diffusion systems in JAX and Flax, as pure functions on one core.

Everything speaks the denoiser D(x, sigma) = E[x0 | x0 + sigma * n = x].

    import jaxdiff as jd
    sigmas = jd.grids.karras(num_steps=18)
    images = jd.sample(jd.samplers.heun(), denoise, sigmas[0] * noise, sigmas)

A name is imported when it is first asked for, so `import jaxdiff` costs nothing and no extra. To add a room, name it in
`__all__` and in the imports for type checkers; to add a verb, in `VERBS` too.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy

if TYPE_CHECKING:
    from jaxdiff import (
        atomic,
        augment,
        data,
        editing,
        gaussian_mixture,
        grids,
        guidance,
        interop,
        keys,
        likelihood,
        losses,
        metrics,
        nets,
        precond,
        predictions,
        probability_flow,
        process,
        samplers,
        timesteps,
        train,
        types,
    )
    from jaxdiff.guidance import clip, guide
    from jaxdiff.losses import denoising_loss, edm_loss
    from jaxdiff.precond import Preconditioning, denoiser
    from jaxdiff.samplers import Sampler, encode, sample, trajectory
    from jaxdiff.types import Denoiser, expand

__version__ = "0.1.0"

__all__ = [
    "Denoiser",
    "Preconditioning",
    "Sampler",
    "atomic",
    "augment",
    "clip",
    "data",
    "denoiser",
    "denoising_loss",
    "editing",
    "edm_loss",
    "encode",
    "expand",
    "gaussian_mixture",
    "grids",
    "guidance",
    "guide",
    "interop",
    "keys",
    "likelihood",
    "losses",
    "metrics",
    "nets",
    "precond",
    "predictions",
    "probability_flow",
    "process",
    "sample",
    "samplers",
    "timesteps",
    "train",
    "trajectory",
    "types",
]

VERBS = {
    "Denoiser": "types",
    "Preconditioning": "precond",
    "Sampler": "samplers",
    "clip": "guidance",
    "denoiser": "precond",
    "denoising_loss": "losses",
    "edm_loss": "losses",
    "encode": "samplers",
    "expand": "types",
    "guide": "guidance",
    "sample": "samplers",
    "trajectory": "samplers",
}
"""What the first ten lines of a program call or annotate, by the room that has it."""

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, modules=set(__all__) - set(VERBS), names=VERBS)
