"""DDGAN's average and whole training traces, with recorded data and draws, against recorded ones."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.train import ema
from jaxdiff.train.adversarial import Networks, create
from jaxdiff.train.ema import constant_decay
from jaxdiff.train.learning_rates import cosine_by_epoch
from tests.parity import ddgan_networks
from tests.parity.ddgan_halves import (
    CHANGES,
    GRADIENTS,
    VALUES,
    close_where_recorded,
    compare_half,
    half_of,
    remember,
    step_of,
)
from tests.parity.ddgan_networks import check_known
from tests.parity.ddgan_runs import LETTER, cases, run_of
from tests.support import reference
from tests.support.arrays import close

READS = ("ddgan/train_*.npz", "ddgan/ema.npz")
METRICS = {"discriminator_loss": "errD", "generator_loss": "errG", "r1": "grad_penalty"}
FINAL = {"D": "discriminator", "G": "generator", "ema": "generator"}
PER_STEP = re.compile(
    r"out/(errD|errD_real|errD_fake|errG|grad_penalty|r1_active|D_real|D_fake|D_fake_in_G_step|lr_[dg]|grad_norm_[DG]|"
    r"grad_norm_names_[DG]|param_norm_(D|G|ema))(_pure64|_f32tables|_f32)?"
)
AT_THE_END = re.compile(
    r"out/((final_delta_)?(D|G|ema)(_f32tables)?/.*|zero_grad_params_[DG]|G_norm(_names|_f32tables|_f32)?|G_maxdiff_\w+)"
)


def rate_of(args, name):
    """The rate at each step: the same, or by the epoch, whose numbers of steps may differ."""
    if args["no_lr_decay"]:
        return lambda count: args[name]
    lengths = args["epochs"]
    if len(set(lengths)) == 1:
        return cosine_by_epoch(args[name], lengths[0], args["num_epoch"], args["floor"])
    by_epoch, ends = cosine_by_epoch(args[name], 1, args["num_epoch"], args["floor"]), np.cumsum(lengths)
    return lambda count: by_epoch(jnp.searchsorted(ends, count, side="right"))


@pytest.mark.full
@pytest.mark.parametrize("arrays", cases(READS[0]))
def test_training_trace(arrays, x64):
    run = run_of(arrays)
    arrays, args = run.arrays, run.args
    assert args.get("use_ema", True), "no test knows a run without an average"
    unknown = {name for name in arrays if name.startswith("out/")}
    unknown = {name for name in unknown if not PER_STEP.fullmatch(name) and not AT_THE_END.fullmatch(name)}
    assert not unknown, f"no test knows {sorted(unknown)}"
    rates = Networks(rate_of(args, "lr_g"), rate_of(args, "lr_d"))
    betas, eps = (args["beta1"], args["beta2"]), args["eps"]
    optimizers = Networks(*(optax.chain(remember(), optax.adam(rate, *betas, eps=eps)) for rate in rates))
    step, half = step_of(run, optimizers, constant_decay(args["ema_decay"])), half_of(run)
    for suffix, process in run.tables.items():
        state = create(run.params, optimizers)
        for index in range(len(arrays["in/x_start"])):
            batch, before = run.batch(index), state.params
            state, metrics = step(process, state, batch)
            for name, array in METRICS.items():
                close(metrics[name], arrays[f"out/{array}{suffix}"][index], VALUES)
            if suffix == "":
                compare_step(run, index, state, rates)
                # The generator's half meets the discriminator after its update.
                met = Networks(before.generator, state.params.discriminator)
                compare_half(arrays, half(before, batch["x0"], batch["d"]), "d", index)
                compare_half(arrays, half(met, batch["x0"], batch["g"]), "g", index)
        compare_end(run, state, suffix)


def compare_step(run, index, state, rates):
    """What is recorded of every step: rates, gradients, sizes of parameters."""
    arrays = run.arrays
    active = index % (run.args["lazy_reg"] or 1) == 0
    assert (arrays["out/grad_penalty"][index] > 0) == active
    if "out/r1_active" in arrays:
        assert arrays["out/r1_active"][index] == active
    for which, letter in LETTER._asdict().items():
        close(getattr(rates, which)(jnp.int32(index)), arrays[f"out/lr_{letter.lower()}"][index], VALUES)
        if f"out/grad_norm_{letter}" in arrays:
            norms = run.norms(which, getattr(state.opt_state, which)[0])
            close(norms, arrays[f"out/grad_norm_{letter}"][index], GRADIENTS)
    for name, tree in ends(state).items():
        if f"out/param_norm_{name}" in arrays:
            close(optax.global_norm(tree), arrays[f"out/param_norm_{name}"][index], VALUES)


def ends(state):
    return {"D": state.params.discriminator, "G": state.params.generator, "ema": state.ema}


def compare_end(run, state, suffix):
    """How far each parameter has moved, as far as it is recorded of a run with these tables."""
    compared = 0
    for name, tree in ends(state).items():
        which = FINAL[name]
        if reference.subset(run.arrays, f"out/final_delta_{name}{suffix}"):
            change = jax.tree.map(lambda a, b: np.asarray(a - b), tree, getattr(run.params, which))
            expected = run.recorded(which, f"out/final_delta_{name}{suffix}")
            largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected) if np.isfinite(leaf).all())
            close_where_recorded(change, expected, CHANGES, largest)
            compared += 1
    assert compared or suffix
    if f"out/G_norm{suffix}" in run.arrays:
        norms = run.norms("generator", state.params.generator, "out/G_norm_names")
        close(norms, run.arrays[f"out/G_norm{suffix}"], GRADIENTS)


@pytest.mark.parametrize(("arrays", "config"), ddgan_networks.cases(READS[1:], {}))
def test_average(arrays, config, x64):
    """Parameter by parameter: one without a gradient has not been updated, and its own count starts later."""
    check_known(config, {"lr", "betas", "eps", "ema_decay", "param_without_gradient"}, "of an average")
    optimizer = optax.adam(config["lr"], *config["betas"], eps=config["eps"])
    without = config["param_without_gradient"]
    assert without["steps"] == list(range(len(without["steps"]))), "no test knows a gap in the middle"
    for index in range(len([name for name in arrays if name.startswith("in/param_")])):
        params = jnp.asarray(arrays[f"in/param_{index}"], jnp.float64)
        first = len(without["steps"]) if index == without["index"] else 0
        opt_state, mean, beta = optimizer.init(params), params, constant_decay(config["ema_decay"])
        for count, grads in enumerate(np.asarray(arrays[f"in/grad_{index}"], np.float64)):
            recorded_mean = arrays[f"out/ema_{index}_nonfinite_ok"][count]
            if count >= first:
                updates, opt_state = optimizer.update(jnp.asarray(grads), opt_state, params)
                params = optax.apply_updates(params, updates)
                mean = ema.update(mean, params, beta(count - first))
                close(mean, recorded_mean, VALUES)
            else:
                assert np.all(np.isnan(recorded_mean))
            close(params, arrays[f"out/param_{index}"][count], VALUES)
        close(mean, arrays[f"out/swapped_param_{index}"], VALUES)
        close(params, arrays[f"out/swapped_ema_{index}"], VALUES)
