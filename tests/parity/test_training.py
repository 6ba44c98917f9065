"""Eight optimisation steps of the EDM reference's own training loop: our step, schedules and average, run for run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff import losses
from jaxdiff.interop.state_dict import published_name
from jaxdiff.precond import denoiser
from jaxdiff.train import ema, learning_rates
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from tests.parity.edm_networks import params_of, preconditioned
from tests.parity.test_losses import levels_and_weight
from tests.support import reference
from tests.support.arrays import close

READS = ("edm/train_*.npz",)
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)


def config_of(arrays):
    """(the config of a file, steps that were done before its first, a fraction where images do not fill a batch)."""
    config = reference.only(
        reference.config(arrays), "net_cls", "net_kwargs", "loss_cls", "loss_kwargs", "optimizer", "batch_size",
        "batch_gpu", "ema_halflife_kimg", "ema_rampup_ratio", "lr_rampup_kimg", "loss_scaling", "resume_kimg",
        "num_steps", kind=("training",),
    )  # fmt: skip
    reference.only(config["optimizer"], "lr", "betas", "eps", name=("Adam",))
    return config, config.get("resume_kimg", 0) * 1000 / config["batch_size"]


@files
def test_schedules(path, x64):
    arrays = reference.load(path)
    config, before = config_of(arrays)
    batch = config["batch_size"]
    steps = jnp.arange(config["num_steps"]) + before
    halflife, ratio = config["ema_halflife_kimg"] * 1000, config["ema_rampup_ratio"]
    np.testing.assert_allclose(
        ema.half_life(steps, batch, halflife, ratio), arrays["out/ema_halflife_nimg"], rtol=1e-12
    )
    np.testing.assert_allclose(
        ema.decay(batch, halflife, ratio)(steps), arrays["out/ema_beta"], rtol=1e-12, atol=1e-300
    )
    rate = learning_rates.warmup(config["optimizer"]["lr"], batch, config["lr_rampup_kimg"] * 1000)
    np.testing.assert_allclose(rate(steps), arrays["out/lr"], rtol=1e-12)


@pytest.mark.full
@files
def test_steps(path, x64):
    arrays = reference.load(path)
    config, before = config_of(arrays)
    net, parametrisation, apply_fn = preconditioned(config["net_cls"], config["net_kwargs"])
    params = jax.tree.map(jnp.asarray, params_of(net, arrays, prefix="model."))
    draws = arrays["in/rnd_normal"] if "in/rnd_normal" in arrays else arrays["in/rnd_uniform"]
    sigma, weight = levels_and_weight(config["loss_cls"], config["loss_kwargs"], draws.astype(np.float64))
    x0 = np.moveaxis(arrays["in/images_u8"].astype(np.float64), 2, -1) / 127.5 - 1
    noise = np.moveaxis(arrays["in/noise"].astype(np.float64), 2, -1)
    labels = arrays.get("in/class_labels")
    close(sigma, arrays["out/sigma"])
    # The reference sums over pixels and scales; the mean over accumulation rounds is ours and theirs.
    factor = x0[0, 0].size * config["loss_scaling"]

    def loss_fn(params, key, batch):
        cond = {"class_labels": batch["labels"]} if "labels" in batch else {}
        denoise = denoiser(apply_fn, params, parametrisation, **cond)
        return factor * losses.denoising_loss(denoise, batch["x0"], batch["sigma"], batch["noise"], weight)

    adam, batch_size = config["optimizer"], config["batch_size"]
    rate = learning_rates.warmup(adam["lr"], batch_size, config["lr_rampup_kimg"] * 1000)
    optimizer = optax.adam(
        lambda count: rate(count + before), b1=adam["betas"][0], b2=adam["betas"][1], eps=adam["eps"]
    )
    beta = ema.decay(batch_size, config["ema_halflife_kimg"] * 1000, config["ema_rampup_ratio"])
    step = jax.jit(
        train_step(loss_fn, optimizer, lambda step: beta(step + before), rounds=batch_size // config["batch_gpu"])
    )
    state = create(params, optimizer)
    for i in range(config["num_steps"]):
        batch = {"x0": x0[i], "sigma": sigma[i], "noise": noise[i]}
        batch |= {} if labels is None else {"labels": labels[i].astype(np.float64)}
        state, metrics = step(state, jax.random.key(0), jax.tree.map(jnp.asarray, batch))
        close(metrics["loss"] / factor, arrays["out/loss_mean"][i], 1e-7)
        close(metrics["grad_norm"], arrays["out/grad_norm"][i], 1e-7)
        close(optax.global_norm(trained(state.params)), arrays["out/param_norm"][i])
        close(optax.global_norm(trained(state.ema)), arrays["out/ema_norm"][i])
    for tree, name in ((state.params, "final_param"), (state.ema, "final_ema")):
        for path_, leaf in jax.tree_util.tree_leaves_with_path(tree):
            recorded = arrays.get(f"out/{name}/model.{published_name(path_)}")
            if recorded is not None:
                back = np.asarray(leaf).transpose(3, 2, 0, 1) if leaf.ndim == 4 else np.asarray(leaf).T
                close(back, recorded, 1e-7)


def trained(params):
    """Parameters without the frequencies that are constants."""
    return {str(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params) if "freqs" not in str(path)}
