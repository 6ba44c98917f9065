"""DDGAN's losses and gradients, with recorded data and draws, against recorded ones."""

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxdiff.losses import adversarial
from jaxdiff.train.adversarial import Networks, create
from jaxdiff.train.ema import constant_decay
from tests.parity.ddgan_halves import (
    GRADIENTS,
    VALUES,
    close_where_recorded,
    compare_half,
    half_of,
    remember,
    step_of,
)
from tests.parity.ddgan_runs import LETTER, cases, run_of
from tests.support import reference
from tests.support.arrays import close, nchw

READS = ("ddgan/losses.npz", "ddgan/loss_T*.npz")
TRAINED = ("ddgan/train_*.npz",)  # read in test_ddgan_training
FIRST = [case for pattern in (*READS, *TRAINED) for case in cases(pattern)]


@pytest.mark.parametrize("arrays", FIRST)
def test_first_half(arrays, x64):
    """What the discriminator sees and says before any update."""
    run = run_of(arrays)
    batch = run.batch(0)
    index = 0 if run.arrays["out/errD_real"].ndim else ...
    compare_half(run.arrays, half_of(run)(run.params, batch["x0"], batch["d"]), "d", index)


@pytest.mark.full
@pytest.mark.parametrize("arrays", cases(*READS))
def test_losses_and_gradients(arrays, x64):
    run = run_of(arrays)
    arrays, batch = run.arrays, run.batch(0)
    # At learning rate 0 the generator meets the discriminator as it is.
    frozen = optax.chain(remember(), optax.set_to_zero())
    optimizers = Networks(frozen, frozen)
    step = step_of(run, optimizers, constant_decay(0.9))
    for suffix, process in run.tables.items():
        state, metrics = step(process, create(run.params, optimizers), batch)
        recorded = {"discriminator_loss": "errD", "generator_loss": "errG", "r1": "grad_penalty"}
        for name, array in recorded.items():
            if f"out/{array}{suffix}" in arrays:
                close(metrics[name], arrays[f"out/{array}{suffix}"], VALUES)
        if suffix == "":
            check_gradients(run, state)
    compare_parts(run, batch)


def check_gradients(run, state):
    for which in LETTER._fields:
        gradients, letter = getattr(state.opt_state, which)[0], getattr(LETTER, which)
        if reference.subset(run.arrays, f"out/grad_{letter}"):
            close_where_recorded(gradients, run.recorded(which, f"out/grad_{letter}"), GRADIENTS)
        close(run.norms(which, gradients), run.arrays[f"out/grad_norm_{letter}"], GRADIENTS)


def compare_parts(run, batch):
    """Images, logits, and the parts of the discriminator's loss alone: R1, of the real images, of the fakes."""
    arrays, gamma, half = run.arrays, run.args["r1_gamma"], half_of(run)
    images, *_ = of_d = half(run.params, batch["x0"], batch["d"])
    compare_half(arrays, of_d, "d")
    compare_half(arrays, half(run.params, batch["x0"], batch["g"]), "g")

    def logits(params, x_prev):
        return run.discriminate(params, x_prev, images["x_tp1"], batch["d"].t.astype(x_prev.dtype))

    def r1(params):
        _, penalty = adversarial.real_loss_with_r1(lambda x_prev: logits(params, x_prev), images["x_t"], gamma)
        return jnp.mean(penalty)

    losses = {
        "r1": r1,
        "real": lambda params: jnp.mean(adversarial.real_loss(logits(params, images["x_t"]))),
        "fake": lambda params: jnp.mean(adversarial.fake_loss(logits(params, images["x_pos_sample"]))),
    }
    recorded = [part for part in losses if f"out/{part}_grad_norm_D" in arrays]

    @jax.jit
    def parts_and_slope(params, x_prev):
        parts = {part: jax.value_and_grad(losses[part])(params) for part in recorded}
        return parts, jax.grad(lambda x_prev: jnp.sum(logits(params, x_prev)))(x_prev)

    parts, slope = parts_and_slope(run.params.discriminator, images["x_t"])
    close(nchw(slope), arrays["out/r1_input_gradient"], GRADIENTS)
    close(parts["r1"][0], arrays["out/grad_penalty"], VALUES)
    for part, (_, gradient) in parts.items():
        close_where_recorded(gradient, run.recorded("discriminator", f"out/{part}_grad_D"), GRADIENTS)
        close(run.norms("discriminator", gradient), arrays[f"out/{part}_grad_norm_D"], GRADIENTS)
