"""DDGAN's tables, variances and learning rates against recorded ones: exact, and as shipped in float32."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import process
from jaxdiff.process import sde
from jaxdiff.train.learning_rates import cosine_by_epoch
from tests.parity.ddgan_networks import cases, check_known
from tests.parity.ddgan_process import (
    FIRST_BETA,
    FLOAT32,
    T_MIN,
    TOLERANCE,
    betas_of,
    first_name,
    forward_tables,
    posterior_tables,
)
from tests.support import reference
from tests.support.arrays import close

READS = ("ddgan/coefficients.npz", "ddgan/tables_T*.npz")
CASES = cases(READS, {})
TABLES = [case for case in CASES if "use_geometric" in case.values[1]]
RATES = [case for case in CASES if "eta_min" in case.values[1]]


def recorded_tables(arrays):
    second = reference.subset(arrays, "table")
    return {first_name(name): a for name, a in second.items()} if second else reference.subset(arrays, "out")


@pytest.mark.parametrize(("arrays", "config"), TABLES)
def test_coefficients(arrays, config):
    recorded, betas = recorded_tables(arrays), betas_of(config)
    forward, posterior = forward_tables(betas, FIRST_BETA), posterior_tables(betas)
    for name, table in forward.items():
        close(table, recorded[name], TOLERANCE)
    for name, table in posterior.items():
        close(table, recorded[f"posterior/{name}"], TOLERANCE)
    # In float32 the first beta is stored, but changes nothing; all tables follow from the rounded betas.
    rounded = recorded["betas_f32"][1:]
    close(betas, rounded, FLOAT32)
    clean = forward_tables(rounded, 0.0) | {
        name: forward_tables(rounded, FIRST_BETA)[name] for name in ("betas", "sigmas")
    }
    for name, table in clean.items():
        close(table, recorded[f"{name}_f32"], FLOAT32)
    # 1 - alpha_bar is taken in float32, whose steps below 1 are a large share of a small first beta.
    rounding = max(FLOAT32, np.finfo(np.float32).eps / rounded[0])
    for name, table in posterior_tables(rounded).items():
        close(table, recorded[f"posterior/{name}_f32"], rounding)
    served = {name for name in recorded if not name.startswith("time")}
    names = {*forward, *(f"posterior/{name}" for name in posterior)}
    assert served == names | {f"{name}_f32" for name in names}
    steps, t_min = config["num_timesteps"], config.get("time_eps", T_MIN)
    close(t_min + (1 - t_min) * np.arange(steps + 1) / steps, recorded["time"], TOLERANCE)


@pytest.mark.parametrize("path", reference.files(READS[0]), ids=reference.ids)
def test_variance_functions(path, x64):
    """VP's is that of the SDE; the geometric one shows in the chain of one step between two times."""
    arrays = reference.load(path)
    t = arrays["variance_functions/in/t"]
    for name, recorded in reference.subset(arrays, "variance_functions/out").items():
        kind, low, high = name.split("_")
        assert kind in ("vp", "geometric")
        if kind == "vp":
            close(sde.vp(float(low), float(high)).std(t) ** 2, recorded, TOLERANCE)
        elif float(high) < 1:
            close(process.betas.geometric(1, float(low), float(high), t_min=t[0])[0],
                  1 - (1 - recorded[-1]) / (1 - recorded[0]), TOLERANCE)  # fmt: skip
        else:
            with pytest.raises(ValueError, match="variance_min, variance_max must rise"):
                process.betas.geometric(1, float(low), float(high))


@pytest.mark.parametrize(("arrays", "config"), RATES)
def test_learning_rates(arrays, config, x64):
    check_known(config, {"lr", "num_epoch", "eta_min", "stride"}, "of a learning rate")
    recorded, steps_per_epoch = arrays["out/lr"], 7
    rate = cosine_by_epoch(config["lr"], steps_per_epoch, config["num_epoch"], config["eta_min"])
    epochs = config["stride"] * np.arange(len(recorded))
    for offset in (0, steps_per_epoch - 1):
        close(rate(jnp.asarray(steps_per_epoch * epochs + offset)), recorded, TOLERANCE)


def test_every_case_is_read():
    assert all(any(case is known for known in TABLES + RATES) for case in CASES)
