"""Consistency distillation and training in discrete time: points, outputs, losses and gradients of both releases."""

import jax
import jax.numpy as jnp
import pytest

from jaxdiff.losses import consistency
from jaxdiff.precond import denoiser
from jaxdiff.timesteps.pairs import adjacent_levels
from jaxdiff.types import expand
from tests.parity.consistency_cases import DISTANCES, cases, read, weights

READS = (
    "consistency/loss_cd*.npz",
    "consistency/loss_ct*.npz",
    "consistency/jcm_loss_consistency*.npz",
)
STEPS = {"heun": consistency.heun_solver, "euler": consistency.euler_solver}


def is_training(config):
    """Consistency training, as against distillation: the option that says so, or else the file."""
    said = config.get("dsm", {"cd": False, "ct": True}.get(config.get("mode")))
    return "training" in config["kind"] if said is None else said


@pytest.mark.parametrize(("path", "name"), cases(*READS, marks=("solver", "loss_norm")))
def test_loss(path, name, x64):
    case = read(path, name)
    config = case.options(
        "rho", "num_scales", "loss_norm", "weight", "solver", "same", "target", "stopgrad", "mode", "dsm"
    )
    x0, noise = case.inputs["x0"], case.inputs["noise"]
    sigma, sigma_next = adjacent_levels(case.inputs["indices"], config["num_scales"], **case.span())
    parametrisation, _ = case.parametrisations()
    same = config.get("same", config.get("target", "target").startswith(("same", "student")))
    weight = weights(config["sigma_data"])[config["weight"]](sigma)
    how = {
        "distance": DISTANCES[config["loss_norm"]],
        "weight": weight,
        "stop": jax.lax.stop_gradient if config.get("stopgrad", True) else lambda y: y,
    }
    training = is_training(config)
    step = STEPS[config.get("solver", "heun").split()[0]]

    def mean(params):
        """(mean loss, (each example's, what both networks were asked and what they said))."""
        seen = []

        def recorded(params):
            f = denoiser(case.apply, params, parametrisation)
            return lambda x, sigma: seen.append((x, f(x, sigma))) or seen[-1][1]

        f, f_target = recorded(params), recorded(params if same else case.params["target"])
        if training:
            loss = consistency.training_loss(f, f_target, x0, sigma, sigma_next, noise, **how)
        else:
            loss = consistency.distillation_loss(
                f, f_target, case.teacher, x0, sigma, sigma_next, noise, solver=step, **how
            )
        return case.mean(loss), (loss, seen)

    (total, (loss, seen)), gradient = jax.jit(jax.value_and_grad(mean, has_aux=True))(case.params["student"])
    (x_next, target), (_, online) = seen
    case.agree(
        gradient, t=sigma, t2=sigma_next, x_t=x0 + expand(sigma, x0) * noise, x_t2=x_next, online=online, target=target,
        loss=total, losses=loss, unweighted=loss / weight, weights=weight * jnp.ones_like(loss),
    )  # fmt: skip
