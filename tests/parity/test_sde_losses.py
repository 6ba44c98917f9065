"""Losses of score matching, and steps of training by them, against recorded ones."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxdiff import losses, process, timesteps
from jaxdiff.train import ema, learning_rates
from jaxdiff.types import expand
from tests.parity.score_sde import denoiser_of, float64, sde_of, tiny, tiny_params, tiny_score
from tests.parity.score_sde_cases import cases
from tests.support.arrays import close

READS = ("score_sde/loss_*.npz", "score_sde/train_steps*.npz")
RTOL = 1e-8  # the recorded 1 - exp(...) loses digits near t = 0
MARKS = ("sde", "reduce_mean")
KINDS = ("loss_continuous", "loss_smld", "loss_ddpm")
loss_cases = [case for kind in KINDS for case in cases(*READS, kind=kind, marks=MARKS)]


def drawn(config, sde, inputs):
    """(SDE with the marginals to perturb by, t [B], labels of a chain [B] or None)."""
    if "in/labels" not in inputs:
        uniform = inputs["in/u"] if "in/u" in inputs else inputs["in/uniform"]
        return sde, timesteps.times.uniform_times(float64(uniform), config["eps"]), None
    labels = inputs["in/labels"]
    # SMLD's labels index the descending table.
    index = config["N"] - 1 - labels if config["sde"] == "ve" else labels
    return process.sde.chain_marginals(sde, config["N"]), float64(index / (config["N"] - 1)), float64(labels)


def affine_score(gain_and_shift, config, sde, labels, inputs):
    """The score of a network that says gain * exact output + shift * x, in the units of its own output."""
    gain, shift = gain_and_shift
    exact, units = denoiser_of(inputs), units_of(config, sde)
    return lambda x, t: gain * process.reverse_sde.score(sde, exact, x, t) + shift * x / expand(units(t), x)


def network_score(params, config, sde, labels, inputs):
    """That of the tiny network. Of a chain, DDPM's says the noise and SMLD's the score."""
    if labels is None:
        return tiny_score(params, config, sde)
    return lambda x, t: tiny(params, x, labels) / expand(units_of(config, sde)(t), x)


def units_of(config, sde):
    """What the output of the recorded network is in units of: of the score for VE, else of -std score."""
    return (lambda t: jnp.ones_like(t)) if config["sde"] == "ve" else (lambda t: -sde.std(t))


def loss(score, config, sde, x0, t, z):
    """[B]: the recorded losses take the mean over pixels, or half their sum."""
    weight = (lambda t: sde.g(t) ** 2) if config.get("likelihood_weighting") else None
    factor = 1.0 if config["reduce_mean"] else x0[0].size / 2
    return factor * losses.score.score_loss(score, sde, x0, t, z, weight)


@pytest.mark.parametrize("case", loss_cases)
def test_losses(case, x64):
    config = case.options("likelihood_weighting", "reduce_mean", "eps", "gain", "shift", "params")
    assert config.get("params", f"{config['sde']}/param") == f"{config['sde']}/param"
    inputs = case.inputs
    first = "gain" in config
    x0, z = (float64(inputs[f"in/{name}"]) for name in (("x", "z") if first else ("batch", "noise")))
    sde, t, labels = drawn(config, sde_of(config), inputs)
    params = (config["gain"], config["shift"]) if first else tiny_params(inputs)
    model = partial(affine_score if first else network_score, config=config, sde=sde, labels=labels, inputs=inputs)
    per_sample = jax.jit(lambda params: loss(model(params), config, sde, x0, t, z))
    losses = per_sample(params)
    gradients = jax.jit(jax.grad(lambda params: per_sample(params).mean()))(params)
    x_t = expand(sde.a(t), x0) * x0 + expand(sde.std(t), x0) * z
    score = model(params)(x_t, t)
    output = score * expand(units_of(config, sde)(t), x_t)
    found = {
        "t": t, "std": sde.std(t), "sigmas": sde.std(t), "sqrt_alphas_cumprod": sde.a(t),
        "sqrt_1m_alphas_cumprod": sde.std(t), "perturbed": x_t, "perturbed_data": x_t,
        "score": score if labels is None else output,
        "model_output": output, "loss_per_sample": losses, "losses": losses,
        "loss": losses.mean(), "target": -z / expand(sde.std(t), z),
    }  # fmt: skip
    found |= {"grad_gain": gradients[0], "grad_shift": gradients[1]} if first else {
        f"grad/{name}": gradient for name, gradient in gradients.items()
    }  # fmt: skip
    for name, recorded in case.recorded.items():
        close(found[name], recorded, RTOL)


@pytest.mark.parametrize("case", cases(*READS, kind="train", marks=()))
def test_training(case, x64):
    """The authors' steps: warm-up, clipping, weight decay as part of the gradient, Adam, and their moving average."""
    config = case.options(
        "steps", "ema_decay", "optim", "reduce_mean", "likelihood_weighting", "continuous", "eps"
    )  # fmt: skip
    config, optim, inputs = {"eps": 1e-5, **config}, config["optim"], case.inputs
    assert set(optim) == {"beta1", "beta2", "eps", "lr", "warmup", "grad_clip", "weight_decay"}
    images, noise = (float64(inputs[f"in/{name}"]) for name in ("images", "noise"))
    draws = next(name for name in ("in/labels", "in/uniform") if name in inputs)
    assert (draws == "in/labels") is not config["continuous"]
    rate = learning_rates.warmup(optim["lr"], 1, optim["warmup"]) if optim["warmup"] else optim["lr"]
    optimizer = optax.chain(
        clipped(optim["grad_clip"]),
        optax.add_decayed_weights(optim["weight_decay"]),
        optax.adam(rate, optim["beta1"], optim["beta2"], optim["eps"]),
    )

    def batch_loss(params, x0, z, drawn_here):
        sde, t, labels = drawn(config, sde_of(config), {draws: drawn_here})
        return loss(network_score(params, config, sde, labels, None), config, sde, x0, t, z).mean()

    params = tiny_params(inputs)
    state, average, losses = optimizer.init(params), params, []
    of_batch, step = value_and_grad(batch_loss), jax.jit(optimizer.update)
    for index in range(config["steps"]):
        value, gradients = of_batch(params, images[index], noise[index], inputs[draws][index])
        updates, state = step(gradients, state, params)
        params = optax.apply_updates(params, updates)
        seen = index + 1
        average = ema.update(average, params, jnp.asarray(min(config["ema_decay"], (1 + seen) / (10 + seen))))
        losses.append(value)
    last, _ = of_batch(average, images[-1], noise[-1], inputs[draws][-1])
    found = {"loss": losses, "eval_loss_with_ema_last_batch": last}
    found |= {f"final/{name}": a for name, a in params.items()} | {f"final_ema/{n}": a for n, a in average.items()}
    for name, recorded in case.recorded.items():
        close(found[name], recorded, RTOL)


def clipped(limit):
    """By the norm of all gradients, as PyTorch does; a negative limit is none."""

    def update(gradients, state, params=None):
        factor = jnp.minimum(1.0, limit / (optax.global_norm(gradients) + 1e-6))
        return jax.tree.map(lambda g: factor * g, gradients), state

    return optax.GradientTransformation(lambda params: (), update) if limit >= 0 else optax.identity()


def value_and_grad(of):
    """Compiled over all arguments but the draws, which choose entries of tables on the host."""
    return lambda params, x0, z, draws: jax.jit(jax.value_and_grad(lambda p: of(p, x0, z, draws)))(params)
