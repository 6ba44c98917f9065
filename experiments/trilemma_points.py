"""The trilemma on 25 Gaussians: every system with one small network, their metrics, their bits/dim."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import claim, cli, ddgan_25gaussians, points, runs
from experiments.trilemma_rows import Trained, continuous_of, minutes
from jaxdiff import flow, toy
from jaxdiff.data import gaussians
from jaxdiff.metrics import frechet, modes, prdc
from jaxdiff.types import Params

FAMILIES = {"edm": points.edm, "ddpm": points.ddpm_chain, "score_sde": points.score_vp}
FACTOR = 10
"""Points that are drawn for one digit."""
HELDOUT, REAL = 1, 2
"""Seeds of the points that samples are compared with, and of real points in the place of samples."""


def train(family: str, folder: Path, smoke: bool) -> Trained | None:
    """The run of a family, trained from wherever it stands. None: stopped."""
    if family.startswith("ddgan"):
        return train_ddgan(int(family.split("_")[1]), folder, smoke)
    tuned: dict[str, Any] = points.TUNED.get(family, {})
    config = points.Config(workdir=folder / "points" / family, smoke=smoke, **tuned)
    config = points.smoke(config) if smoke else config
    before = 0.0
    if family in FAMILIES:
        system = FAMILIES[family](config)
    else:
        teacher = train("edm", folder, smoke) if family in ("cd", "ect") else None
        if teacher is None and family != "sct":
            return None
        before = teacher.minutes if teacher else 0.0
        system = points.consistency_of(config, family, lambda: teacher.params if teacher else None)
    state = points.train(f"points_{family}", config, system)
    if int(state.step) < config.steps:
        return None
    return Trained(system, state.ema, config, minutes(config.workdir, config.batch_size), before)


def train_ddgan(t: int, folder: Path, smoke: bool) -> Trained | None:
    """The run of `experiments.ddgan_25gaussians`."""
    name = "ddgan_25gaussians" if t == ddgan_25gaussians.Config().num_steps else f"ddgan_25gaussians_{t}"
    config = ddgan_25gaussians.Config(workdir=folder / name, num_steps=t, smoke=smoke)
    if not (config.workdir / "report.json").exists():
        ddgan_25gaussians.main(config)
    config = ddgan_25gaussians.smoke(config) if smoke else config
    system = ddgan_25gaussians.of_points(config)
    with cli.bad_input():
        claim.check(config.workdir, "ddgan_25gaussians", config)
        params, step = runs.averaged_params(config, system)
    if step < config.steps:
        return None
    return Trained(system, params, config, minutes(config.workdir, config.batch_size))


def unscaled(drawn: np.ndarray, trained: Trained) -> np.ndarray:
    """On the scale of the data."""
    return drawn / points.SCALE if isinstance(trained.config, points.Config) else drawn


def metrics(drawn: np.ndarray, trained: Trained) -> dict[str, Any]:
    """Of samples beside as many true points."""
    return compared(unscaled(drawn, trained))


def real(num: int) -> dict[str, Any]:
    """The same of true points, and their bits/dim under the true density."""
    known = toy.log_density(gaussians.grid(), jnp.asarray(gaussians.load(num, HELDOUT)[0]))
    return {**compared(gaussians.load(num, REAL)[0]), "bits_per_dim": bits_of(np.asarray(known)), "bits": "exact"}


def compared(found: np.ndarray) -> dict[str, Any]:
    """All metrics of points [N, 2]."""
    heldout, _ = gaussians.load(len(found), HELDOUT)
    near = prdc.prdc(heldout, found)
    return {
        "frechet": frechet.between(frechet.stats(found), frechet.stats(heldout)),
        "precision": near.precision,
        "recall": near.recall,
        **modes.of_mixture(found, np.asarray(gaussians.grid().means), gaussians.STD)._asdict(),
    }


def bits(trained: Trained, num: int) -> dict[str, Any]:
    """Exact, of true points along the flow; a chain's bound is one of grey levels, which points have not."""
    if trained.system.chain is not None:
        return {}
    along = continuous_of(trained.system, bins=2)
    x = jnp.asarray(points.SCALE * gaussians.load(num, HELDOUT)[0])

    def run(params: Params, x: jax.Array) -> Any:
        return flow.log_likelihood(along.sde, along.score(params, None), x, flow.exact)

    found = flow.check_solved(jax.device_get(jax.jit(run)(trained.params, x)))
    return {"bits_per_dim": bits_of(found.log_prob + 2 * np.log(points.SCALE)), "bits": "exact"}


def bits_of(log_prob: np.ndarray) -> float:
    """Bits a coordinate of a density in nats."""
    return float(-np.mean(log_prob, dtype=np.float64) / (2 * np.log(2)))


def picture(path: Path, drawn: np.ndarray, trained: Trained) -> None:
    """A scatter plot over the true means."""
    ddgan_25gaussians.plot(path, unscaled(drawn, trained), np.asarray(gaussians.grid().means), path.stem)
