"""Recorded consistency losses, of which there are two sets with names of their own, as cases of one form.

The first set has a network of 3x3 numbers and a mixture for a teacher, the second a `TinyNet` for everything. Images
become channels-last; options and arrays take the names of the first set, or those of what they mean.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import gaussian_mixture, losses, precond
from jaxdiff.losses import distances
from jaxdiff.precond import denoiser
from tests.parity import score_sde
from tests.support import reference
from tests.support.arrays import close, nhwc

DISTANCES = {
    "l1": distances.l1,
    "l2": distances.l2,
    "linf": distances.linf,
    "l2-32": distances.resized(distances.l2, 32),
}
OPTIONS = {
    "t_min": "sigma_min", "t_max": "sigma_max", "data_std": "sigma_data", "dsm_target": "dsm",
    "target_params": "target", "norm": "loss_norm", "w": "weight", "weight_schedule": "weight", "weighting": "weight",
}  # fmt: skip
INPUTS = {"x_start": "x0", "image": "x0", "images": "x0", "uniform": "u", "rademacher": "signs"}
OUTPUTS = {
    "loss_per_example": "losses", "weight": "weights", "distiller": "online", "Ft": "online", "Ft2": "target",
    "denoised_x": "online",
    "distiller_target": "target", "target_x": "target", "diffs": "tangent", "D_r": "target",
}  # fmt: skip
SAYS_NOTHING = {"cases", "kind", "name", "net", "omega", "layout", "sigma_data", "sigma_min", "sigma_max"}
"""Options that say what a file is, or that every case honours: by its parametrisation, network, order of axes."""


class Case(NamedTuple):
    """A case: its file, options, inputs and recorded outputs, its network apply(params, u, c) and its teacher's D."""

    path: Path
    config: dict[str, Any]
    inputs: dict[str, Any]
    recorded: dict[str, np.ndarray]
    apply: Callable[..., Any]
    params: dict[str, dict[str, Any]]
    teacher: Callable[..., Any] | None

    def options(self, *names, **fixed):
        """The options, once it is proved that the test honours them all: `reference.only`."""
        return reference.only(self.config, *SAYS_NOTHING, *names, **fixed)

    def parametrisations(self):
        """(consistency, EDM) parametrisations with the time condition of the file's release: 250 or 1/4 of ln t."""
        sigma_data, scale = self.config["sigma_data"], time_scale(self.config)
        low, high = self.config.get("sigma_min", 0.002), self.config.get("sigma_max", 80.0)
        edm = precond.edm(sigma_data)._replace(c_noise=lambda sigma: scale * jnp.log(sigma))
        return precond.consistency(sigma_data, low, high, scale), edm

    def span(self):
        """Range of levels and rho, as keyword arguments."""
        return {name: self.config[name] for name in ("sigma_min", "sigma_max", "rho")}

    def mask(self):
        """Which examples count; all do where nothing is said."""
        return self.inputs.get("mask", jnp.ones(len(self.inputs["x0"])))

    def mean(self, loss):
        """Over the examples that count."""
        return jnp.sum(self.mask() * loss) / jnp.maximum(jnp.sum(self.mask()), 1)

    def agree(self, gradient=None, rtol=1e-9, **ours):
        """Every recorded output against ours, and every gradient; 1e-8 for those that snr weights make as large as
        1 / t^2 (tests/reference/consistency/README.md)."""
        ours |= {f"grad/{name}": value for name, value in (gradient or {}).items()}
        unknown = sorted(set(self.recorded) - set(ours))
        assert not unknown, f"no test compares {unknown}"
        snr = "snr" in str(self.config.get("weight", self.config.get("weight_schedule")))
        for name, expected in self.recorded.items():
            close(ours[name], expected, 1e-8 if snr and name.startswith("grad/") else rtol)


def time_scale(config):
    """250 of the torch release, which the second set tells by its order of axes; else 1/4."""
    torch = config["omega"] < 0.01 if "omega" in config else not ("layout" in config or "adj" in config)
    return 250.0 if torch else 0.25


def cases(*patterns, marks=None, wanted=lambda name: True):
    """pytest.params (path, case); with `marks`, all but the first of each file and of what its options say of these are
    left to the full tier."""
    found, seen = [], set()
    for path in reference.files(*patterns):
        arrays = reference.load(path)
        for name in reference.cases(arrays):
            if name == "config" or not wanted(name):
                continue
            kind = (path, *(str(options(arrays, name).get(option)) for option in marks or ()))
            late = [pytest.mark.full] if marks is not None and kind in seen else []
            seen.add(kind)
            found.append(pytest.param(path, name, id=f"{path.stem}-{name}", marks=late))
    return found


def options(arrays, name):
    """What a case says, before what its file says of all of them."""
    said = {}
    for case in ("", name):
        said |= reference.config(arrays, case) if f"{case}/config".lstrip("/") in arrays else {}
    return {OPTIONS.get(option, option): value for option, value in said.items()}


def read(path, name):
    """One case, in float64; it shares what lies at the top of its file, or under the first word of its name."""
    arrays = reference.load(path)
    config = options(arrays, name)
    places = ("", f"{name.split('-')[0]}/", f"{name}/")
    image = float64 if config.get("layout") == "NHWC" else channels_last

    def prefixed(prefix):
        every = [reference.subset(arrays, place + prefix) for place in places]
        return {key: image(value) for part in every for key, value in part.items() if not key.endswith("_f32")}

    recorded = {OUTPUTS.get(key, key): np.asarray(value) for key, value in prefixed("out").items()}
    if recorded.get("loss", np.zeros(())).ndim:  # torch's are one an example, weighted
        recorded["losses"] = recorded.pop("loss")
    elif "layout" in config and "losses" in recorded:  # these are not weighted
        recorded["unweighted"] = recorded.pop("losses")
    params = {}
    for key, value in {**prefixed("param"), **{f"target/{k}": v for k, v in prefixed("target_param").items()}}.items():
        network, _, part = key.rpartition("/")
        params.setdefault(network or "student", {})[part] = value
    given = {INPUTS.get(key, key): value for key, value in prefixed("in").items()}
    case = Case(path, config, given, recorded, tiny, params, None)
    if "A" in params.get("student", ()):
        teacher = mixture(arrays) if "mixture/means" in arrays else None
        return case._replace(apply=three_by_three(config["omega"]), teacher=teacher)
    teacher = denoiser(tiny, params["teacher"], case.parametrisations()[1]) if "teacher" in params else None
    return case._replace(teacher=teacher)


def table(path, name, *names, **fixed):
    """(arrays of a case, its options), every one of which is known: those of a table, which has no network."""
    arrays = reference.load(path)
    return reference.subset(arrays, name), reference.only(options(arrays, name), "kind", *names, **fixed)


def agree(arrays, left_out=(), **ours):
    """Every recorded output of a table against ours."""
    recorded = {name: a for name, a in reference.subset(arrays, "out").items() if name not in left_out}
    assert set(recorded) <= set(ours), f"no test compares {sorted(set(recorded) - set(ours))}"
    for name, expected in recorded.items():
        close(ours[name], expected)


def weights(sigma_data):
    """Weight functions by both releases' names."""
    karras = partial(losses.edm_weight, sigma_data=sigma_data)
    named = {"uniform": jnp.ones_like, "snr": losses.inverse_variance, "karras": karras}
    plus_one, truncated = losses.snr_plus_one, losses.truncated_snr
    return named | {"snr+1": plus_one, "snrp1": plus_one, "truncated-snr": truncated, "truncated_snr": truncated}


def float64(a):
    return jnp.asarray(np.asarray(a, np.float64) if a.dtype.kind == "f" else a)


def channels_last(a):
    return nhwc(a) if a.ndim == 4 else float64(a)


def three_by_three(omega):
    """apply(params, u, c) of the first set's network; c is whatever the parametrisation's c_noise is."""

    def apply(params, u, c):
        phase = omega * jnp.reshape(c, (-1,) + (1,) * (u.ndim - 1))
        vector = {name: value[(None,) * (u.ndim - 1)] for name, value in params.items() if name != "A"}
        mixed = jnp.matmul(u, params["A"].T)
        return jnp.tanh(mixed + vector["b"] + vector["a"] * jnp.sin(phase)) * (1 + vector["g"] * jnp.cos(phase))

    return apply


def tiny(params, u, c):
    """TinyNet, channels last."""
    return jnp.moveaxis(score_sde.tiny(params, jnp.moveaxis(u, -1, 1), c), 1, -1)


def mixture(arrays):
    """The mixture's posterior mean for images [B, H, W, C]; the recorded means are flattened as C, H, W."""
    parts = {name: value.astype(np.float64) for name, value in reference.subset(arrays, "mixture").items()}
    shape = arrays["in/x0"].shape[1:]
    means = np.moveaxis(parts["means"].reshape(-1, *shape), 1, -1).reshape(len(parts["means"]), -1)
    exact = gaussian_mixture.mixture(means, parts["weights"], parts["var"])
    return lambda x, sigma: gaussian_mixture.denoiser(exact, x.reshape(x.shape[0], -1), sigma).reshape(x.shape)
