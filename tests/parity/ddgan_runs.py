"""Recorded losses and training runs of denoising diffusion GANs: settings, networks, draws and tables.

Two sets of recordings name things differently and differ in which tables are the plain ones; here all bear the names of
the first.
"""

import re
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.interop.ddgan import params_of_discriminator, params_of_generator
from jaxdiff.process.ddgan import DiscretizedProcess, Draws
from jaxdiff.train.adversarial import Networks
from tests.parity.ddgan_networks import OPTIONS, UNREAD, check_known, discriminator, generator, norms_of
from tests.parity.ddgan_process import CHAIN, FIRST_BETA, betas_of, first_name, replaced
from tests.support import reference
from tests.support.arrays import nhwc

PARAMS_OF = Networks(params_of_generator, params_of_discriminator)
LETTER = Networks("G", "D")
OF_DISCRIMINATOR = ("ngf", "t_emb_dim")
OF_TRAINING = {
    "r1_gamma", "lazy_reg", "ema_decay", "lr_g", "lr_d", "beta1", "beta2", "eps", "num_epoch", "no_lr_decay", "epochs",
    "floor", "use_ema",
}  # fmt: skip
# Of no influence on numbers whose data and draws are recorded.
IDLE = {
    "seed", "dataset", "exp", "batch_size", "batch", "steps", "save_content", "save_content_every", "save_ckpt_every",
}  # fmt: skip
ONLY = {"resume": False, "world_size": 1, "layout": "NCHW", "embedding_type": "positional"}
NAMES = [
    (r"param_([GD])/", r"param/\1/"), (r"in/data$", "in/x_start"), (r"in/D/", "in/d_"), (r"in/G/", "in/g_"),
    (r"(in/._noise)_x_t$", r"\1_first"), (r"(in/._noise)_x_tp1$", r"\1_second"),
    (r"out/loss_(D|G)", r"out/err\1"), (r"out/loss_r1", "out/grad_penalty"),
    (r"out/G_logits", "out/D_fake_in_G_step"),
    (r"out/G_x_pos_sample", "out/g_x_pos_sample"), (r"out/(x_\w+)", r"out/d_\1"),
    (r"out/grad_real$", "out/r1_input_gradient"), (r"out/lr_G", "out/lr_g"), (r"out/lr_D", "out/lr_d"),
    (r"out/gradD_total_norm_names", "out/grad_norm_names_D"), (r"out/gradD_total_norm", "out/grad_norm_D"),
    (r"out/gradG_norm_names", "out/grad_norm_names_G"), (r"out/gradG_norm", "out/grad_norm_G"),
    (r"out/gradG/", "out/grad_G/"), (r"out/gradD_(r1|real|fake)_norm$", r"out/\1_grad_norm_D"),
    (r"out/gradD_(r1|real|fake)/", r"out/\1_grad_D/"),
]  # fmt: skip


class Run(NamedTuple):
    """A recorded run: its arguments, both networks, their initial parameters.

    tables: by the suffix of the outputs that were made with them.
    """

    arrays: dict
    args: dict
    nets: Networks
    published: Networks
    params: Networks
    tables: dict[str, DiscretizedProcess]

    def generate(self, params, x, t, latent):
        """The generator, which is given images as it wants them."""
        return self.nets.generator.apply(params, x if self.args["centered"] else 2 * x - 1, t, latent)

    def discriminate(self, params, x_prev, x, t):
        return self.nets.discriminator.apply(params, x_prev, x, t)

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

    def norms(self, which, tree, names=None):
        """Norms of gradients or parameters in the recorded order."""
        net, published = getattr(self.nets, which), getattr(self.published, which)
        norms = norms_of(getattr(PARAMS_OF, which), net, published, tree)
        names = self.arrays[names or f"out/grad_norm_names_{getattr(LETTER, which)}"]
        return np.array([norms[name] for name in names])


def cases(*patterns):
    """pytest.params of the recorded runs of these files."""
    found = []
    for path in reference.files(*patterns):
        whole = reference.load(path)
        for case in reference.cases(whole) or [""]:
            arrays = reference.subset(whole, case) if case else whole
            found.append(pytest.param(arrays, id="-".join(filter(None, (path.stem, case)))))
    return found


def run_of(arrays):
    config = reference.config(arrays)
    args, cls = arguments(config)
    arrays = by_first_names(arrays) if is_second(config) else arrays
    nets = Networks(
        generator({name: args[name] for name in (OPTIONS | UNREAD) & set(args)}),
        discriminator(cls, {"nc": 2 * args["num_channels"], **{name: args[name] for name in OF_DISCRIMINATOR}}),
    )
    published = Networks(*(
        {name: a.astype(np.float64) for name, a in reference.subset(arrays, f"param/{letter}").items()}
        for letter in LETTER
    ))  # fmt: skip
    params = Networks(*(params_of(*pair) for params_of, *pair in zip(PARAMS_OF, nets, published, strict=True)))
    return Run(arrays, args, nets, published, params, tables_of(arrays, args))


def tables_of(arrays, args):
    """The first set is made with the tables as shipped, in float32, the second with exact ones; each with both."""
    betas = betas_of({name: args[name] for name in CHAIN})
    exact = process.ddgan.discretize(betas, FIRST_BETA)
    recorded = {first_name(name): a for name, a in reference.subset(arrays, "table").items()}
    single = {name.removesuffix("_f32"): a for name, a in recorded.items() if name.endswith("_f32")}
    if single:
        return {"": exact, "_f32tables": replaced(exact, single)}
    return {"": replaced(exact, recorded), "_pure64": exact}


def is_second(config):
    return "module" in config["generator"]


def arguments(config):
    """(all arguments by the names of the authors' command line, class of the discriminator), each one known."""
    args, cls = flat(config) if is_second(config) else (dict(config["args"]), config["discriminator"])
    assert config["generator"] in ("NCSNpp", {"cls": "NCSNpp"}) or config["generator"]["module"] == "NCSNpp"
    known = OPTIONS | UNREAD | CHAIN | set(OF_DISCRIMINATOR) | OF_TRAINING | IDLE | set(ONLY)
    check_known(args, known, "of a run")
    for name in set(ONLY) & set(args):
        assert args[name] == ONLY[name], f"no test knows {name}={args[name]!r}"
    if not is_second(config):
        check_known(config, {"args", "generator", "discriminator", "iterations_per_epoch", "kind"}, "of a run")
        args |= {"epochs": config.get("iterations_per_epoch"), "floor": 1e-5, "eps": 1e-8}
    return args, cls


def flat(config):
    """Arguments of the second set, which nests them, as the first has them."""
    nested = {"generator", "discriminator", "optimizer", "lr_decay"}
    args = {name: value for name, value in config.items() if name not in nested | {"kind"}}
    kwargs = dict(config["discriminator"]["kwargs"])
    assert kwargs.pop("nc") == 2 * config["generator"]["kwargs"]["num_channels"]
    args |= config["generator"]["kwargs"] | kwargs | {"no_lr_decay": True, "lazy_reg": config.get("lazy_reg")}
    if optimizer := dict(config.get("optimizer", {})):
        assert optimizer.pop("name") == "adam"
        args |= optimizer
    if decay := dict(config.get("lr_decay") or {}):
        assert decay.pop("kind") == "cosine per epoch"
        args |= {"no_lr_decay": False, "num_epoch": decay.pop("epochs_T_max"), "floor": decay.pop("eta_min")}
        args["epochs"] = [decay.pop("steps_per_epoch")] * config["steps"]
        assert not decay, decay
    return args, config["discriminator"]["module"]


def by_first_names(arrays):
    """Arrays of the second set by the names of the first, which has changes of parameters and an axis of time."""
    found = {}
    for name, a in arrays.items():
        for pattern, ours in NAMES:
            name = re.sub(f"^{pattern}", ours, name)
        found[name] = a
    if reference.config(arrays)["kind"] == "loss":
        found |= {name: a[None] for name, a in found.items() if name.startswith("in/")}
    for name, final in list(found.items()):
        if match := re.match(r"out/(G|D|ema)(_f32tables)?/(.+)", name):
            net, suffix, parameter = match.groups()
            start = found[f"param/{'G' if net == 'ema' else net}/{parameter}"]
            found[f"out/final_delta_{net}{suffix or ''}/{parameter}"] = final - start.astype(np.float64)
    return reference.Arrays(found, arrays.path)
