"""The choices of a DDPM, a table each: schedules, predictions, variances, objectives, draws of steps.

To add a choice, add a row: the flags of `ddpm.Diffusion` and what they refuse follow from it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax

from experiments.harness import training
from experiments.harness.system import Trainer
from jaxdiff import precond, process, timesteps
from jaxdiff.guidance import clip, on_x0
from jaxdiff.losses import ddpm
from jaxdiff.precond import Preconditioning, denoiser, denoiser_with_variance
from jaxdiff.process import reverse_kernel
from jaxdiff.process.betas import Betas
from jaxdiff.process.reverse_kernel import ReverseKernel
from jaxdiff.train.loss_aware import LossAwareState, loss_aware_step
from jaxdiff.train.state import create
from jaxdiff.train.step import LossFn
from jaxdiff.types import Array, Batch, Denoiser, Key, Params

SCHEDULES: dict[str, Callable[[int], Betas]] = {
    "linear": process.betas.linear,  # Ho et al. 2020
    "cosine": process.betas.cosine,  # Nichol & Dhariwal 2021
}


class PredictionChoice(NamedTuple):
    """parametrisation(betas); clipped(denoise) -> what the reverse step takes for the clean image."""

    parametrisation: Callable[[Betas], Preconditioning]
    clipped: Callable[[Denoiser], Denoiser] = clip


PREDICTIONS = {
    "eps": PredictionChoice(precond.ddpm.eps),
    "x0": PredictionChoice(precond.ddpm.x0),
    "v": PredictionChoice(precond.ddpm.v),
    # The mean of x_{t-1} is the network's output as it is, so that clipping x0 has no place there.
    "mu": PredictionChoice(precond.ddpm.mu, clipped=lambda denoise: denoise),
}


class VarianceChoice(NamedTuple):
    """kernel(floor) -> the reverse step; ask(apply, params, parametrisation, **cond) -> the denoiser that it takes.

    on_x0(transform, asked): the same with its clean image transformed; learned: whether the network returns a second
    number a pixel for it.
    """

    kernel: Callable[[float], ReverseKernel]
    learned: bool = False
    ask: Callable[..., Any] = denoiser
    on_x0: Callable[[Callable[[Denoiser], Denoiser], Any], Any] = lambda transform, asked: transform(asked)


_learned = partial(VarianceChoice, learned=True, ask=denoiser_with_variance, on_x0=on_x0)
VARIANCES = {
    "small": VarianceChoice(partial(reverse_kernel.fixed, reverse_kernel.small)),
    "large": VarianceChoice(partial(reverse_kernel.fixed, reverse_kernel.large)),
    "learned": _learned(lambda floor: reverse_kernel.learned()),
    "learned_range": _learned(reverse_kernel.learned_range),
}

Term = Callable[[Batch], Array]
"""Output of the network -> a number an example."""


class Objective(NamedTuple):
    """loss(f, simple, vlb, channels, num_steps) -> [B], of the output f, L_simple, a term of the bound, and T.

    learned: whether the variance must be learned, None where it may be; teaches: what it teaches, for error messages.
    """

    loss: Callable[[Batch, Term, Term, int, int], Array]
    learned: bool | None
    teaches: str


def hybrid(f: Batch, simple: Term, vlb: Term, channels: int, num_steps: int) -> Array:
    """Return L_simple + lambda L_vlb, whose gradient goes to the variances only: Nichol & Dhariwal 2021, Eq. 16."""
    return ddpm.hybrid_loss(simple(f), vlb(ddpm.stop_mean(f, channels)), num_steps)


OBJECTIVES = {
    "simple": Objective(lambda f, simple, vlb, *_: simple(f), learned=False, teaches="no variance"),
    "hybrid": Objective(hybrid, learned=True, teaches="a learned variance"),
    "vlb": Objective(lambda f, simple, vlb, *_: vlb(f), learned=None, teaches="mean and variance"),
}


def check_objective(objective: str, variance: str) -> None:
    """Raise ValueError unless an objective teaches a variance."""
    learned = VARIANCES[variance].learned
    fitting = [name for name, row in OBJECTIVES.items() if row.learned in (None, learned)]
    if objective not in fitting:
        teaches = OBJECTIVES[objective].teaches
        raise ValueError(
            f"objective {objective} teaches {teaches}, but variance is {variance}: use {' or '.join(fitting)}"
        )


LossAt = Callable[[Params, Sequence[Key], dict[str, Array], Array], Array]
"""(params, keys of the noise and of dropout, batch, t) -> [B]."""
LossOrTrainer = tuple[LossFn | None, Trainer | None]
"""What a System is trained by: its loss, or a trainer of its own."""


def independent(draw: Callable[[Key, int, int], Array], config: Any, init: Any, loss_at: LossAt) -> LossOrTrainer:
    """Return the loss at steps t that are drawn independently of what was learned: draw(key, batch, T) -> t."""

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        key_t, *others = jax.random.split(key, 3)
        return loss_at(params, others, batch, draw(key_t, batch["image"].shape[0], config.chain_length))

    return loss, None


def uniform(key: Key, batch: int, num_steps: int) -> Array:
    """Draw steps one by one."""
    return jax.random.randint(key, (batch,), 0, num_steps)


def antithetic(key: Key, batch: int, num_steps: int) -> Array:
    """Draw pairs t and T - 1 - t."""
    return timesteps.steps.antithetic_steps(jax.random.uniform(key, (-(-batch // 2),)), num_steps, batch)


def loss_aware(config: Any, init: Callable[[Key], Params], loss_at: LossAt) -> LossOrTrainer:
    """Return Adam on losses at steps that are drawn by the losses so far (Nichol & Dhariwal 2021, section 3.3)."""
    adam = training.optimizer(config)
    history = timesteps.steps.empty_history(config.chain_length)
    at_keys = lambda params, key, batch, t: loss_at(params, list(jax.random.split(key)), batch, t)  # noqa: E731
    step = loss_aware_step(at_keys, adam, training.average(config), config.accumulate)
    return None, Trainer(lambda key: LossAwareState(*create(init(key), adam), history), step)


TIMES: dict[str, Callable[[Any, Any, LossAt], LossOrTrainer]] = {
    "uniform": partial(independent, uniform),
    "antithetic": partial(independent, antithetic),
    "loss_aware": loss_aware,
}
