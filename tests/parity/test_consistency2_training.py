"""Recorded steps of consistency training: adaptive schedules, the optimizer, the target and the parameters' average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.losses import consistency, distances
from jaxdiff.precond import denoiser
from jaxdiff.timesteps.curricula import progressive_scales, target_decay
from jaxdiff.timesteps.pairs import adjacent_levels
from jaxdiff.train.consistency import ConsistencyState, consistency_step
from jaxdiff.train.state import create
from tests.parity.consistency_cases import cases, read
from tests.support import reference
from tests.support.arrays import close

READS = ("consistency/jcm_train*.npz",)
LOSS = "consistency training, Euler, l2, uniform, stop-gradient, target network"


def optimizer(config):
    """The release's: weight decay added to the gradient, gradients clipped, a rate that rises and then falls."""
    config = reference.only(
        config, "lr", "beta1", "beta2", "eps", "weight_decay", "warmup", "grad_clip", "linear_decay_steps",
        optimizer=("radam", "Adam"),
    )  # fmt: skip
    scale = {"radam": optax.scale_by_radam, "Adam": optax.scale_by_adam}[config["optimizer"]]
    rate = config["lr"]
    if "linear_decay_steps" in config:
        falling = optax.linear_schedule(rate, 0.0, config["linear_decay_steps"])
        rising = optax.linear_schedule(0.0, rate, config["warmup"])
        rate = optax.join_schedules([rising, falling], [config["warmup"]])
    return optax.chain(
        optax.clip_by_global_norm(config.get("grad_clip", np.inf)),
        scale(config["beta1"], config.get("beta2", 0.999), config["eps"]),
        optax.add_decayed_weights(config["weight_decay"]),
        optax.scale_by_learning_rate(rate),
    )


@pytest.mark.parametrize(("path", "name"), cases(*READS, marks=()))
def test_training(path, name, x64):
    case = read(path, name)
    config = case.options(
        "rho", "steps", "ema_rate", "optim", "start_ema", "start_scales", "end_scales", "n_iters", loss=(LOSS,)
    )  # fmt: skip
    scales = progressive_scales(config["n_iters"], config["start_scales"], config["end_scales"])
    parametrisation, _ = case.parametrisations()

    def mu(step):
        return target_decay(scales(step), config["start_ema"], config["start_scales"])

    def loss(params, target, teacher, step, key, batch):
        levels = adjacent_levels(batch["indices"], scales(step), **case.span())
        f, f_target = (denoiser(case.apply, p, parametrisation) for p in (params, target))
        return consistency.training_loss(f, f_target, batch["x0"], *levels, batch["noise"], distance=distances.l2)

    adam, params = optimizer(config["optim"]), case.params["init"]
    step = jax.jit(consistency_step(loss, adam, lambda step: jnp.asarray(config["ema_rate"]), mu))
    state = ConsistencyState(*create(params, adam), target=params, teacher=())
    losses = []
    for k in range(config["steps"]):
        state, metrics = step(state, jax.random.key(0), {name: a[k] for name, a in case.inputs.items()})
        losses.append(metrics["loss"])
    steps = np.arange(config["steps"])
    # optax computes a rate that changes in float32 (the recording's README).
    rtol = 1e-6 if "linear_decay_steps" in config["optim"] else 1e-9
    found = {"loss": losses, "losses": losses, "mu": mu(steps), "num_scales": scales(steps)}
    for prefix, tree in (("final", state.params), ("final_target", state.target), ("final_ema", state.ema)):
        found |= {f"{prefix}/{name}": value for name, value in tree.items()}
    assert set(case.recorded) <= set(found)
    for name, expected in case.recorded.items():
        close(found[name], expected, rtol)
