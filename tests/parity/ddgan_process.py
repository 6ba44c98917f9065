"""Denoising diffusion GANs' recorded chains: their betas and tables, by the names of either set of recordings."""

import numpy as np

from jaxdiff import process
from jaxdiff.process.reverse_kernel import FLOOR
from tests.parity.ddgan_networks import check_known

FIRST_BETA = 1e-8  # of the released code, in float64
TOLERANCE = 1e-10
FLOAT32 = 2e-5
CHAIN = {"use_geometric", "num_timesteps", "beta_min", "beta_max"}
T_MIN = 1e-3  # of the released code, where a file does not say
OF_POSTERIOR = {"variance", "mean_coef1", "mean_coef2", "log_variance_clipped"}  # of which the name is a part


def betas_of(config, *others):
    """The chain of a config, which may say besides it only what the caller reads."""
    check_known(config, CHAIN | {"time_eps", "kind"} | set(others), "of a chain")
    make = process.betas.geometric if config["use_geometric"] else process.betas.vp
    return make(config["num_timesteps"], config["beta_min"], config["beta_max"], config.get("time_eps", T_MIN))


def forward_tables(betas, first_beta):
    """The recorded forward tables, T + 1 entries, from ours."""
    chain = process.ddgan.discretize(betas, first_beta)
    step_signal = np.append(np.sqrt(1 - first_beta), chain.step_signal)
    return {
        "betas": np.append(first_beta, betas),
        "sigmas": np.append(np.sqrt(first_beta), chain.step_std),
        "a_s": step_signal,
        "a_s_prev": np.append(step_signal[:-1], 1.0),
        "a_s_cum": chain.signal,
        "sigmas_cum": chain.std,
    }


def posterior_tables(betas):
    tables = process.betas.tables(betas)
    return {
        "betas": tables.betas,
        "alphas": 1 - tables.betas,
        "alphas_cumprod": tables.alpha_bar,
        "alphas_cumprod_prev": tables.alpha_bar_prev,
        "posterior_variance": tables.posterior_variance,
        "sqrt_alphas_cumprod": np.sqrt(tables.alpha_bar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / tables.alpha_bar),
        "sqrt_recipm1_alphas_cumprod": process.betas.sigmas(betas)[:-1][::-1],
        "posterior_mean_coef1": tables.posterior_mean_coef1,
        "posterior_mean_coef2": tables.posterior_mean_coef2,
        "posterior_log_variance_clipped": np.log(np.maximum(tables.posterior_variance, FLOOR)),
    }


def first_name(name):
    """The first set's name of a table of the second, in which all that is forward bears "diffusion_"."""
    base, suffix = (name.removesuffix("_f32"), "_f32") if name.endswith("_f32") else (name, "")
    if base.startswith("posterior_"):
        rest = base.removeprefix("posterior_")
        base = f"posterior/{base if rest in OF_POSTERIOR else rest}"
    return {"betas_full": "betas"}.get(base, base.removeprefix("diffusion_")) + suffix


def replaced(chain, tables):
    """A process with recorded tables instead of ours, as far as there are any; names without a suffix."""
    table = {name: np.asarray(a, np.float64) for name, a in tables.items()}
    found = {
        "signal": table.get("a_s_cum"),
        "std": table.get("sigmas_cum"),
        "step_signal": table["a_s"][1:] if "a_s" in table else None,
        "step_std": table["sigmas"][1:] if "sigmas" in table else None,
        "posterior_x0": table.get("posterior/posterior_mean_coef1"),
        "posterior_x": table.get("posterior/posterior_mean_coef2"),
    }
    if "posterior/posterior_log_variance_clipped" in table:
        found["posterior_std"] = np.append(0.0, np.exp(table["posterior/posterior_log_variance_clipped"][1:] / 2))
    assert any(a is not None for a in found.values()), sorted(table)
    return chain._replace(**{name: a for name, a in found.items() if a is not None})


def shipped(betas, recorded):
    """The tables in use, which are recorded with the suffix _f32."""
    tables = {name.removesuffix("_f32"): a for name, a in recorded.items() if name.endswith("_f32")}
    return replaced(process.ddgan.discretize(betas), tables)
