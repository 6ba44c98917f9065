"""The loss-aware choice of steps, and whole training loops, against recorded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff import timesteps
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from tests.parity.ddpm_losses import training_loss
from tests.parity.ddpm_process import PROCESS, from_x, precond_of, process_of
from tests.parity.openai_networks import PACKAGES
from tests.support import reference
from tests.support.arrays import close, nhwc

READS = ("ddpm/resampler.npz", "ddpm/train_*.npz")
update = jax.jit(timesteps.steps.update_history)


def resampler_cases():
    for path in reference.files("ddpm/resampler.npz"):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=case) for case in reference.cases(arrays))


def arrivals(inputs):
    """(steps, losses) of every batch: stacked, or in order of arrival with the ends of batches."""
    if "batch_ends" not in inputs:
        return list(zip(inputs["t"], inputs["losses"], strict=True))
    ends = inputs["batch_ends"][1:-1]
    return list(zip(*(np.split(inputs[name], ends) for name in ("timesteps", "losses")), strict=True))


def check_draws(probabilities, steps, expected):
    """A uniform number in the middle of a step's share of [0, 1) draws that step, with its importance weight."""
    middle = (np.cumsum(probabilities) - probabilities / 2)[steps]
    drawn, weight = timesteps.steps.importance_steps(jnp.asarray(middle), probabilities)
    assert drawn.tolist() == steps.tolist()
    close(weight, expected)


def empty(*shape):
    """A history in float64."""
    return jax.tree.map(lambda a: a.astype(jnp.float64) if a.ndim == 2 else a, timesteps.steps.empty_history(*shape))


@pytest.mark.parametrize(("arrays", "case"), list(resampler_cases()))
def test_loss_aware_steps(arrays, case, x64):
    config, inputs = reference.config(arrays, case), reference.subset(arrays, f"{case}/in")
    reference.only(config, "num_timesteps", "history_per_term", "uniform_prob", kind=("resampler", "UniformSampler"))
    recorded = reference.subset(arrays, f"{case}/out")
    if config.get("kind") == "UniformSampler":
        close(np.full(config["num_timesteps"], 1.0), recorded["weights"])
        return
    history, length = empty(config["num_timesteps"], config["history_per_term"]), config["history_per_term"]
    weights = jax.jit(lambda history: timesteps.steps.importance_probabilities(history, config["uniform_prob"]))
    for index, (t, losses) in enumerate(arrivals(inputs)):
        probabilities = weights(history)
        close(probabilities / probabilities.sum(), recorded["weights"][index] / recorded["weights"][index].sum())
        if "sampled_t" in inputs:
            check_draws(probabilities, inputs["sampled_t"][index], recorded["importance_weights"][index])
        history = update(history, jnp.asarray(t), jnp.asarray(losses.astype(np.float64)))
        assert bool(jnp.all(history.counts == length)) == recorded["warmed_up"][index + 1]
        if "counts" in recorded:
            assert history.counts.tolist() == recorded["counts"][index + 1].tolist()
    if "probabilities" in recorded:
        close(weights(history), recorded["probabilities"])
        check_draws(weights(history), inputs["sampled_indices"], recorded["importance_weights"])
    close(history.losses, recorded["history" if "history" in recorded else "loss_history"])
    if "loss_counts" in recorded:
        assert history.counts.tolist() == recorded["loss_counts"].tolist()


def rate_of(config):
    """Linear decay to 0, constant for 0 steps; guided diffusion sets it after the step, so that it lags by one."""
    if not config["lr_anneal_steps"]:
        return lambda count: jnp.full(jnp.shape(count), config["lr"])
    lag = 0 if config["package"] == "improved_diffusion" else 1
    return lambda count: (
        config["lr"] * (1 - jnp.maximum(jnp.asarray(count, float) - lag, 0) / config["lr_anneal_steps"])
    )


def config_of(arrays):
    return reference.only(
        reference.config(arrays), *PROCESS, "model_mean_type", "model_var_type", "loss_type", "lr", "weight_decay",
        "lr_anneal_steps", "ema_rate", "batch_size", "microbatch", "microbatch_sizes", "history_per_term",
        "num_classes", "adam_betas", "adam_eps", kind=("training loop",), package=PACKAGES,
        schedule_sampler=("uniform", "second-moment", "loss-second-moment"),
    )  # fmt: skip


def weigh(history, config, t, losses, recorded):
    """(importance weights of a step's examples, the history after it): drawn and noted a micro-batch at a time.

    Args:
      t, losses: [B] of the step; recorded: its probabilities, [micro-batches, T] or the one value that they have.
    """
    weights, start = [], 0
    for index, size in enumerate(config["microbatch_sizes"]):
        probabilities = np.full(len(history.counts), 1 / len(history.counts))
        if config["schedule_sampler"] != "uniform":
            probabilities = timesteps.steps.importance_probabilities(history)
        theirs = recorded[min(index, len(recorded) - 1)]
        close(probabilities if len(theirs) > 1 else probabilities[:1], theirs)
        own = slice(start, start + size)
        weights.append(1 / (len(probabilities) * jnp.asarray(probabilities)[t[own]]))
        start += size
        if config["schedule_sampler"] != "uniform":
            history = update(history, t[own], losses[own])
    return jnp.concatenate(weights), history


@pytest.mark.parametrize("path", reference.files("ddpm/train_*.npz"), ids=reference.ids)
def test_training_loop(path, x64):
    arrays = reference.load(path)
    config, process = config_of(arrays), process_of(reference.config(arrays))
    params = {name: jnp.asarray(a.astype(np.float64)) for name, a in reference.subset(arrays, "param").items()}
    x0, noise = nhwc(arrays["in/x_start"]), nhwc(arrays["in/noise"])
    sizes = np.asarray(config["microbatch_sizes"])
    # Means over micro-batches add up: an example counts by the size of its own.
    share = jnp.asarray(np.repeat(config["batch_size"] / sizes, sizes))

    def network(params, x_t, time, y):
        """W vec(x) + c t / 1000 + b (+ E[y]), in the recorded order of channels."""
        flat = jnp.moveaxis(x_t, -1, 1).reshape(x_t.shape[0], -1)
        output = flat @ params["W"].T + params["c"][None] * time[:, None] / 1000 + params["b"][None]
        output = output + params["E"][y] if "E" in params else output
        return jnp.moveaxis(output.reshape(x_t.shape[0], -1, *x_t.shape[1:3]), 1, -1)

    @jax.jit
    def terms(params, batch):
        sigma = jnp.asarray(process.sigmas)[batch["t"] + 1]
        x = batch["x0"] + sigma[:, None, None, None] * batch["noise"]
        output = network(params, from_x(x, sigma), precond_of(process, "EPSILON").c_noise(sigma), batch["y"])
        kinds = (config[name] for name in ("model_mean_type", "model_var_type", "loss_type"))
        return training_loss(process, *kinds, batch["x0"], batch["t"], batch["noise"], output)

    b1, b2 = config["adam_betas"]
    optimizer = optax.adamw(rate_of(config), b1, b2, config["adam_eps"], weight_decay=config["weight_decay"])
    rates = [float(rate) for rate in config["ema_rate"].split(",")]
    loss_fn = lambda params, key, batch: terms(params, batch)["loss"] * batch["weight"] * share  # noqa: E731
    steps = [jax.jit(train_step(loss_fn, optimizer, lambda step, rate=rate: jnp.array(rate))) for rate in rates]
    states = [create(params, optimizer) for _ in rates]
    gradient_of = jax.jit(jax.grad(lambda params, batch: jnp.mean(loss_fn(params, None, batch))))
    history = empty(len(process.betas), config["history_per_term"])
    probabilities = arrays["out/sampling_probabilities"]
    for index in range(len(x0)):
        batch = {"x0": x0[index], "noise": noise[index], "t": jnp.asarray(arrays["in/t"][index])}
        batch["y"] = jnp.asarray(arrays["in/y"][index]) if "in/y" in arrays else 0 * batch["t"]
        found = terms(states[0].params, batch)
        recorded = np.atleast_2d(probabilities[min(index, len(probabilities) - 1)])
        batch["weight"], history = weigh(history, config, batch["t"], found["loss"], recorded)
        gradient = gradient_of(states[0].params, batch)
        for name in ("loss", "mse", "vb"):
            if f"out/weighted_{name}" in arrays:
                close(found[name] * batch["weight"], arrays[f"out/weighted_{name}"][index])
        close(rate_of(config)(index), arrays["out/lr"][index])
        states = [step(state, jax.random.key(0), batch)[0] for step, state in zip(steps, states, strict=True)]
        for name in params:
            close(gradient[name], arrays[f"out/grad/{name}"][index])
            close(states[0].params[name], arrays[f"out/params_after_step/{name}"][index])
            for rate, state in zip(config["ema_rate"].split(","), states, strict=True):
                close(state.ema[name], arrays[f"out/ema_{rate}/{name}"][index])
    if config["schedule_sampler"] != "uniform":
        close(history.losses, arrays["out/sampler_loss_history"])
        assert history.counts.tolist() == arrays["out/sampler_loss_counts"].tolist()


def test_rates_without_an_end_are_constant():
    config = {"package": "guided_diffusion", "lr": 0.25, "lr_anneal_steps": 0}
    np.testing.assert_array_equal(rate_of(config)(jnp.arange(3)), 0.25)
