"""DDGAN's losses, gradients, average and whole training traces, with recorded data and draws, against recorded ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff import betas as chains
from jaxdiff.interop.ddgan import Options, network, params_of_discriminator, params_of_generator
from jaxdiff.losses import adversarial, ddgan_process
from jaxdiff.losses.ddgan_process import Draws, Process
from jaxdiff.train import ema
from jaxdiff.train.adversarial import Networks, adversarial_step, average, cosine_by_epoch, create
from tests.parity.ddgan_networks import discriminator, norms_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("ddgan/losses.npz", "ddgan/train_*.npz", "ddgan/ema.npz")
VALUES, GRADIENTS, CHANGES = 1e-10, 1e-9, 1e-6
STORED = 1e-6  # what float32 keeps
PARAMS_OF = Networks(params_of_generator, params_of_discriminator)
LETTER = Networks("G", "D")


class Run(NamedTuple):
    """A recorded run: its arguments, both networks, their initial parameters, and the shipped tables."""

    arrays: dict
    args: dict
    nets: Networks
    published: Networks
    params: Networks
    process: Process

    def batch(self, index):
        """Data and draws of an iteration, in float64."""
        halves = (reference.subset(self.arrays, "in") | {"half": half} for half in "dg")
        draws = [
            Draws(
                jnp.asarray(a[f"{a['half']}_t"][index]),
                jnp.asarray(a[f"{a['half']}_z"][index], jnp.float64),
                *(nhwc(a[f"{a['half']}_noise_{name}"][index]) for name in ("first", "second", "posterior")),
            )
            for a in halves
        ]
        return {"x0": nhwc(self.arrays["in/x_start"][index]), "d": draws[0], "g": draws[1]}

    def recorded(self, which, prefix):
        """Recorded arrays of one network in the structure of our params; NaN where there are none."""
        published, net = getattr(self.published, which), getattr(self.nets, which)
        found = reference.subset(self.arrays, prefix)
        skipped = self.arrays.get(f"out/zero_grad_params_{getattr(LETTER, which)}", ())
        known = {name: np.asarray(found[name], np.float64) for name in found if name not in skipped}
        return getattr(PARAMS_OF, which)(net, {n: known.get(n, np.full(a.shape, np.nan)) for n, a in published.items()})

    def norms(self, which, gradients):
        """Norms of gradients in the recorded order."""
        net, published = getattr(self.nets, which), getattr(self.published, which)
        norms = norms_of(getattr(PARAMS_OF, which), net, published, gradients)
        return np.array([norms[name] for name in self.arrays[f"out/grad_norm_names_{getattr(LETTER, which)}"]])


def run_of(arrays, args, discriminator_cls):
    known = {name: tuple(a) if isinstance(a, list) else a for name, a in args.items()}
    nets = Networks(
        network(Options(**{name: known[name] for name in Options.__dataclass_fields__})),
        discriminator(
            discriminator_cls, {"nc": 2 * args["num_channels"], **{n: args[n] for n in ("ngf", "t_emb_dim")}}
        ),
    )
    published = Networks(*(
        {name: a.astype(np.float64) for name, a in reference.subset(arrays, f"param/{letter}").items()}
        for letter in LETTER
    ))  # fmt: skip
    params = Networks(*(params_of(*pair) for params_of, *pair in zip(PARAMS_OF, nets, published, strict=True)))
    table = {name: np.asarray(a, np.float64) for name, a in reference.subset(arrays, "table").items()}
    process = Process(
        table["a_s_cum"],
        table["sigmas_cum"],
        table["a_s"][1:],
        table["sigmas"][1:],
        table["posterior_mean_coef1"],
        table["posterior_mean_coef2"],
        np.append(0.0, np.exp(table["posterior_log_variance_clipped"][1:] / 2)),
    )
    return Run(arrays, args, nets, published, params, process)


def remember():
    """An optax link that passes gradients on and keeps the last ones."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), lambda grads, state, params=None: (grads, grads)
    )


def step_of(run, optimizers, beta):
    """step(process, state, batch), compiled once for all tables of one size."""

    def step(process, state, batch):
        return adversarial_step(
            run.nets.generator.apply,
            run.nets.discriminator.apply,
            optimizers,
            process,
            draw=lambda key, batch: (batch["x0"], batch["d"], batch["g"]),
            beta=beta,
            gamma=run.args["r1_gamma"],
            r1_every=run.args["lazy_reg"] or 1,
        )(state, jax.random.key(0), batch)

    return jax.jit(step)


def half_of(run):
    """half(params, x0, draws) -> (images by their recorded names, logits of the real ones, of the fakes)."""

    def half(params, x0, draws):
        x_prev, x = ddgan_process.pair(run.process, x0, draws.t, draws.noise_prev, draws.noise)
        t = draws.t.astype(x.dtype)
        x0_hat = run.nets.generator.apply(params.generator, x, t, draws.latent)
        fake = ddgan_process.posterior(run.process, x0_hat, x, draws.t, draws.noise_posterior)
        logits = (run.nets.discriminator.apply(params.discriminator, a, x, t) for a in (x_prev, fake))
        return {"x_t": x_prev, "x_tp1": x, "x_0_predict": x0_hat, "x_pos_sample": fake}, *logits

    return jax.jit(half)


def close_where_recorded(found, expected, rtol, scale=None):
    """Leaf by leaf, relative to the leaf's largest value or to `scale`; every leaf that is recorded counts."""
    compared = 0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        known = np.isfinite(b)
        if known.any():
            allowed = rtol * (np.abs(b[known]).max() if scale is None else scale)
            np.testing.assert_allclose(np.asarray(a)[known], b[known], rtol=0, atol=max(allowed, 1e-17))
            compared += 1
    assert compared


def loss_cases():
    for path in reference.files("ddgan/losses.npz"):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            yield pytest.param(reference.subset(arrays, case), reference.config(arrays, case), id=case)


def first_iteration(path):
    """(arrays, config) of a file's first case or step, as the losses record them: without an axis of time."""
    arrays = reference.load(path)
    if cases := reference.cases(arrays):
        arrays = reference.subset(arrays, cases[0])
        return arrays, reference.config(arrays)
    first = {name: arrays[name][0] for name in arrays if name.startswith(("out/D_", "mid/d_x"))}
    return arrays | first, reference.config(arrays)


@pytest.mark.parametrize("path", reference.files(*READS[:2]), ids=reference.ids)
def test_first_half(path, x64):
    """What the discriminator sees and says before any update."""
    arrays, config = first_iteration(path)
    run = run_of(arrays, config["args"], config["discriminator"])
    batch = run.batch(0)
    images, real, fake = half_of(run)(run.params, batch["x0"], batch["d"])
    close(real, arrays["out/D_real"], VALUES)
    close(fake, arrays["out/D_fake"], VALUES)
    for name, image in images.items():
        exact, stored = f"out/d_{name}", f"mid/d_{name}"
        close(nchw(image), *(arrays[exact], VALUES) if exact in arrays else (arrays[stored], STORED))


@pytest.mark.full
@pytest.mark.parametrize(("arrays", "config"), list(loss_cases()))
def test_losses_and_gradients(arrays, config, x64):
    run = run_of(arrays, config["args"], config["discriminator"])
    batch = run.batch(0)
    # At learning rate 0 the generator meets the discriminator as it is.
    frozen = optax.chain(remember(), optax.set_to_zero())
    optimizers = Networks(frozen, frozen)
    step = step_of(run, optimizers, average(0.9))
    state, metrics = step(run.process, create(run.params, optimizers), batch)
    close(metrics["discriminator_loss"], arrays["out/errD"], VALUES)
    close(metrics["generator_loss"], arrays["out/errG"], VALUES)
    close(metrics["r1"], arrays["out/grad_penalty"], VALUES)
    for which in LETTER._fields:
        gradients, letter = getattr(state.opt_state, which)[0], getattr(LETTER, which)
        close_where_recorded(gradients, run.recorded(which, f"out/grad_{letter}"), GRADIENTS)
        close(run.norms(which, gradients), arrays[f"out/grad_norm_{letter}"], GRADIENTS)
    compare_parts(run, batch)


def compare_parts(run, batch):
    """Images, logits, and R1 alone."""
    arrays, gamma, half = run.arrays, run.args["r1_gamma"], half_of(run)
    images, real, fake = half(run.params, batch["x0"], batch["d"])
    close(real, arrays["out/D_real"], VALUES)
    close(fake, arrays["out/D_fake"], VALUES)
    close(jnp.mean(adversarial.real_loss(real)), arrays["out/errD_real"], VALUES)
    close(jnp.mean(adversarial.fake_loss(fake)), arrays["out/errD_fake"], VALUES)
    images_g, _, fake = half(run.params, batch["x0"], batch["g"])
    close(fake, arrays["out/D_fake_in_G_step"], VALUES)
    for letter, found in (("d", images), ("g", images_g)):
        for name, image in found.items():
            close(nchw(image), arrays[f"out/{letter}_{name}"], VALUES)

    def logits(params, x_prev):
        return run.nets.discriminator.apply(params, x_prev, images["x_tp1"], batch["d"].t.astype(x_prev.dtype))

    def r1(params):
        _, penalty = adversarial.real_loss_with_r1(lambda x_prev: logits(params, x_prev), images["x_t"], gamma)
        return jnp.mean(penalty)

    @jax.jit
    def penalty_and_slope(params, x_prev):
        return jax.value_and_grad(r1)(params), jax.grad(lambda x_prev: jnp.sum(logits(params, x_prev)))(x_prev)

    (value, gradient), slope = penalty_and_slope(run.params.discriminator, images["x_t"])
    close(value, arrays["out/grad_penalty"], VALUES)
    close(nchw(slope), arrays["out/r1_input_gradient"], GRADIENTS)
    close_where_recorded(gradient, run.recorded("discriminator", "out/r1_grad_D"), GRADIENTS)
    close(run.norms("discriminator", gradient), arrays["out/r1_grad_norm_D"], GRADIENTS)


def rate_of(run, learning_rate, steps_per_epoch):
    if run.args["no_lr_decay"]:
        return lambda count: learning_rate
    return cosine_by_epoch(learning_rate, steps_per_epoch, run.args["num_epoch"], floor=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("path", reference.files("ddgan/train_*.npz"), ids=reference.ids)
def test_training_trace(path, x64):
    arrays = reference.load(path)
    config = reference.config(arrays)
    run = run_of(arrays, config["args"], config["discriminator"])
    (steps_per_epoch,) = set(config["iterations_per_epoch"])
    rates = Networks(*(rate_of(run, run.args[name], steps_per_epoch) for name in ("lr_g", "lr_d")))
    betas = run.args["beta1"], run.args["beta2"]
    optimizers = Networks(*(optax.chain(remember(), optax.adam(rate, *betas, eps=1e-8)) for rate in rates))
    step, half = step_of(run, optimizers, average(run.args["ema_decay"])), half_of(run)
    state = create(run.params, optimizers)
    for index in range(len(arrays["in/x_start"])):
        batch, before = run.batch(index), state.params
        state, metrics = step(run.process, state, batch)
        close(metrics["discriminator_loss"], arrays["out/errD"][index], VALUES)
        close(metrics["generator_loss"], arrays["out/errG"][index], VALUES)
        close(metrics["r1"], arrays["out/grad_penalty"][index], VALUES)
        assert (float(metrics["r1"]) > 0) == arrays["out/r1_active"][index]
        for which, letter in LETTER._asdict().items():
            close(getattr(rates, which)(jnp.int32(index)), arrays[f"out/lr_{letter.lower()}"][index], VALUES)
            gradients = getattr(state.opt_state, which)[0]
            close(run.norms(which, gradients), arrays[f"out/grad_norm_{letter}"][index], GRADIENTS)
        for name, tree in {"D": state.params.discriminator, "G": state.params.generator, "ema": state.ema}.items():
            close(optax.global_norm(tree), arrays[f"out/param_norm_{name}"][index], VALUES)
        # The generator's half meets the discriminator after its update.
        met = Networks(before.generator, state.params.discriminator)
        compare_halves(arrays, index, half(before, batch["x0"], batch["d"]), half(met, batch["x0"], batch["g"]))
    for which, name, tree in (("discriminator", "D", state.params.discriminator),
                              ("generator", "G", state.params.generator), ("generator", "ema", state.ema)):  # fmt: skip
        change = jax.tree.map(lambda a, b: np.asarray(a - b), tree, getattr(run.params, which))
        expected = run.recorded(which, f"out/final_delta_{name}")
        largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected) if np.isfinite(leaf).all())
        close_where_recorded(change, expected, CHANGES, largest)
    compare_exact_tables(run, step, create(run.params, optimizers))


def compare_halves(arrays, index, half_d, half_g):
    (images, real, fake), (images_g, _, fake_g) = half_d, half_g
    close(real, arrays["out/D_real"][index], VALUES)
    close(fake, arrays["out/D_fake"][index], VALUES)
    close(fake_g, arrays["out/D_fake_in_G_step"][index], VALUES)
    close(jnp.mean(adversarial.real_loss(real)), arrays["out/errD_real"][index], VALUES)
    close(jnp.mean(adversarial.fake_loss(fake)), arrays["out/errD_fake"][index], VALUES)
    for letter, found in (("d", images), ("g", images_g)):
        for name, image in found.items():
            close(nchw(image), arrays[f"mid/{letter}_{name}"][index], STORED)


def compare_exact_tables(run, step, state):
    """The same run with our own tables, and the released code's first beta in float64."""
    chain = chains.vp(run.args["num_timesteps"], run.args["beta_min"], run.args["beta_max"])
    process = ddgan_process.process(chain, first_beta=1e-8)
    recorded = {"discriminator_loss": "errD", "generator_loss": "errG", "r1": "grad_penalty"}
    for index in range(len(run.arrays["in/x_start"])):
        state, metrics = step(process, state, run.batch(index))
        for name, array in recorded.items():
            close(metrics[name], run.arrays[f"out/{array}_pure64"][index], VALUES)


def ema_cases():
    for path in reference.files("ddgan/ema.npz"):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            yield pytest.param(reference.subset(arrays, case), reference.config(arrays, case), id=case)


@pytest.mark.parametrize(("arrays", "config"), list(ema_cases()))
def test_average(arrays, config, x64):
    """Parameter by parameter: one without a gradient has not been updated, and its own count starts later."""
    optimizer = optax.adam(config["lr"], *config["betas"], eps=config["eps"])
    without = config["param_without_gradient"]
    for index in range(len([name for name in arrays if name.startswith("in/param_")])):
        params = jnp.asarray(arrays[f"in/param_{index}"], jnp.float64)
        first = len(without["steps"]) if index == without["index"] else 0
        opt_state, mean, beta = optimizer.init(params), params, average(config["ema_decay"])
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
