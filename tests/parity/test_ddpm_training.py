"""The loss-aware choice of steps, and whole training loops, against recorded ones."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.losses import importance
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from tests.parity.ddpm_losses import training_loss
from tests.parity.ddpm_process import from_x, process_of, row_of
from tests.support import reference
from tests.support.arrays import close, nhwc

READS = ("ddpm/resampler.npz", "ddpm/train_*.npz")


def resampler_cases():
    for path in reference.files("ddpm/resampler.npz"):
        arrays = reference.load(path)
        yield from (pytest.param(arrays, case, id=case) for case in reference.cases(arrays))


@pytest.mark.parametrize(("arrays", "case"), list(resampler_cases()))
def test_loss_aware_steps(arrays, case, x64):
    config, inputs = reference.config(arrays, case), reference.subset(arrays, f"{case}/in")
    recorded = reference.subset(arrays, f"{case}/out")
    history = importance.empty_history(config["num_timesteps"], config["history_per_term"])
    history = jax.tree.map(lambda a: a.astype(jnp.float64) if a.ndim == 2 else a, history)
    weights = jax.jit(lambda history: importance.weights(history, config["uniform_prob"]))
    update = jax.jit(importance.update)
    for index, (t, losses) in enumerate(zip(inputs["t"], inputs["losses"], strict=True)):
        probabilities = weights(history)
        close(probabilities / probabilities.sum(), recorded["weights"][index] / recorded["weights"][index].sum())
        # A uniform number in the middle of a step's share of [0, 1) draws that step.
        steps = inputs["sampled_t"][index]
        middle = (np.cumsum(probabilities) - probabilities / 2)[steps]
        drawn, weight = importance.draw_steps(jnp.asarray(middle), probabilities)
        assert drawn.tolist() == steps.tolist()
        close(weight, recorded["importance_weights"][index])
        history = update(history, jnp.asarray(t), jnp.asarray(losses.astype(np.float64)))
        assert bool(jnp.all(history.counts == config["history_per_term"])) == recorded["warmed_up"][index + 1]
    close(history.losses, recorded["loss_history"])
    assert history.counts.tolist() == recorded["loss_counts"].tolist()


def rate_of(config):
    """Linear decay to 0; guided diffusion sets it after the step, so that it lags by one."""
    lag = 0 if config["package"] == "improved_diffusion" else 1
    return lambda count: (
        config["lr"] * (1 - jnp.maximum(jnp.asarray(count, float) - lag, 0) / config["lr_anneal_steps"])
    )


@pytest.mark.parametrize("path", reference.files("ddpm/train_*.npz"), ids=reference.ids)
def test_training_loop(path, x64):
    arrays = reference.load(path)
    config, process = reference.config(arrays), process_of(reference.config(arrays))
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

    def terms(params, batch):
        sigma = jnp.asarray(process.sigmas)[batch["t"] + 1]
        x = batch["x0"] + sigma[:, None, None, None] * batch["noise"]
        output = network(params, from_x(x, sigma), row_of(process, "EPSILON").c_noise(sigma), batch["y"])
        kinds = (config[name] for name in ("model_mean_type", "model_var_type", "loss_type"))
        found = training_loss(process, *kinds, batch["x0"], batch["t"], batch["noise"], output)
        return {name: value * batch["weight"] for name, value in found.items()}

    b1, b2 = config["adam_betas"]
    optimizer = optax.adamw(rate_of(config), b1, b2, config["adam_eps"], weight_decay=config["weight_decay"])
    rates = [float(rate) for rate in config["ema_rate"].split(",")]
    loss_fn = lambda params, key, batch: terms(params, batch)["loss"] * share  # noqa: E731
    steps = [jax.jit(train_step(loss_fn, optimizer, lambda step, rate=rate: jnp.array(rate))) for rate in rates]
    states = [create(params, optimizer) for _ in rates]
    gradient_of = jax.grad(lambda params, batch: jnp.mean(loss_fn(params, None, batch)))
    terms_and_gradient = jax.jit(lambda *inputs: (terms(*inputs), gradient_of(*inputs)))
    history = importance.empty_history(len(process.betas), config["history_per_term"])
    history = jax.tree.map(lambda a: a.astype(jnp.float64) if a.ndim == 2 else a, history)
    for index in range(len(x0)):
        batch = {"x0": x0[index], "noise": noise[index], "t": jnp.asarray(arrays["in/t"][index])}
        batch["y"] = jnp.asarray(arrays["in/y"][index]) if "in/y" in arrays else 0 * batch["t"]
        probabilities = np.full(len(process.betas), 1 / len(process.betas))
        if config["schedule_sampler"] == "second-moment":
            probabilities = importance.weights(history)
        close(np.broadcast_to(probabilities, arrays["out/sampling_probabilities"].shape[-1:]) if
              arrays["out/sampling_probabilities"].shape[-1] > 1 else probabilities[:1],
              arrays["out/sampling_probabilities"].reshape(-1, arrays["out/sampling_probabilities"].shape[-1])[
                  min(index, arrays["out/sampling_probabilities"].shape[0] - 1)])  # fmt: skip
        batch["weight"] = 1 / (len(process.betas) * jnp.asarray(probabilities)[batch["t"]])
        found, gradient = terms_and_gradient(states[0].params, batch)
        for name in ("loss", "mse", "vb"):
            if f"out/weighted_{name}" in arrays:
                close(found[name], arrays[f"out/weighted_{name}"][index])
        close(rate_of(config)(index), arrays["out/lr"][index])
        history = importance.update(history, batch["t"], found["loss"] / batch["weight"])
        states = [step(state, jax.random.key(0), batch)[0] for step, state in zip(steps, states, strict=True)]
        for name in params:
            close(gradient[name], arrays[f"out/grad/{name}"][index])
            close(states[0].params[name], arrays[f"out/params_after_step/{name}"][index])
            for rate, state in zip(config["ema_rate"].split(","), states, strict=True):
                close(state.ema[name], arrays[f"out/ema_{rate}/{name}"][index])
    if config["schedule_sampler"] == "second-moment":
        close(history.losses, arrays["out/sampler_loss_history"])
        assert history.counts.tolist() == arrays["out/sampler_loss_counts"].tolist()
