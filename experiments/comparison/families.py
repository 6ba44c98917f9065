"""The families that the trilemma compares: how each is trained on digits and on points, and how it is sampled.

To add one, add a row to `FAMILIES`; the rows of the table follow from it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from experiments import consistency_digits, ddgan_25gaussians, ddgan_digits, ddpm_digits, edm_digits, score_sde_digits
from experiments.comparison import rows
from experiments.comparison.rows import Row, Trained, minutes
from experiments.harness import cli, experiment, runs
from experiments.harness.experiment import Experiment
from experiments.harness.system import System
from experiments.systems import points
from jaxdiff.types import Params


class Launch(NamedTuple):
    """What is trained, and how many times as large as the data its samples are."""

    experiment: Experiment
    config: Any
    scale: float = 1.0


Launcher = Callable[[Path, Params], Launch]
"""(folder of runs, parameters of the teacher) -> what is trained there."""


class Family(NamedTuple):
    """runs: by data set; rows: of the table, by their short names; teacher: the family that it needs, "" for none."""

    runs: dict[str, Launcher]
    rows: dict[str, Row]
    teacher: str = ""


def run_of(command: Experiment, name: str = "", **flags: Any) -> Launcher:
    """Return the run of an experiment, under its usual name or another."""

    def launch(folder: Path, teacher: Params) -> Launch:
        return Launch(command, command.config(workdir=folder / (name or command.name), **flags))

    return launch


def on_points(family: str, build: Callable[[points.Config, Params], System]) -> Launcher:
    """Return the run of a system on points: build(config, parameters of the teacher)."""

    def launch(folder: Path, teacher: Params) -> Launch:
        config = points.Config(workdir=folder / "points" / family, **points.TUNED.get(family, {}))
        named = points.experiment_of(f"points_{family}", lambda config: build(config, teacher))
        return Launch(named, config, points.SCALE)

    return launch


def consistency_of(method: str) -> dict[str, Launcher]:
    """Return the runs of a method, on digits from the usual teacher."""

    def on_digits(folder: Path, teacher: Params) -> Launch:
        flags = {"method": method, "teacher": folder / "edm_digits"}
        return run_of(consistency_digits.EXPERIMENT, f"consistency/{method}", **flags)(folder, teacher)

    def build(config: points.Config, teacher: Params) -> System:
        return points.consistency_system(method, config, lambda: teacher)

    return both(on_digits, on_points(method, build))


def ddgan(num_steps: int) -> dict[str, Launcher]:
    """Return the runs of one length of the chain; the commands' own has their usual folder."""

    def of_length(command: Experiment) -> Launcher:
        usual = command.config.num_steps == num_steps
        return run_of(command, command.name if usual else f"{command.name}_{num_steps}", num_steps=num_steps)

    return both(of_length(ddgan_digits.EXPERIMENT), of_length(ddgan_25gaussians.EXPERIMENT))


def both(digits: Launcher, gaussians: Launcher) -> dict[str, Launcher]:
    """Return the runs by the name of their data."""
    return {"digits": digits, "25gaussians": gaussians}


FAMILIES = {
    "edm": Family(
        both(run_of(edm_digits.EXPERIMENT), on_points("edm", lambda config, teacher: points.edm_system(config))),
        {
            "edm-heun-18": Row("EDM Heun-18", rows.own(18), likelihood=True),
            "edm-dpmpp-4": Row("EDM DPM-Solver++-4", rows.solver_of_four),
        },
    ),
    "ddpm": Family(
        both(run_of(ddpm_digits.EXPERIMENT), on_points("ddpm", lambda config, teacher: points.ddpm_system(config))),
        {
            "ddpm-ancestral-1000": Row("DDPM ancestral-1000", rows.every_step, likelihood=True),
            "ddim-50": Row("DDIM-50", rows.own(50)),
        },
    ),
    "score_sde": Family(
        both(
            run_of(score_sde_digits.EXPERIMENT),
            on_points("score_sde", lambda config, teacher: points.score_sde_system(config)),
        ),
        {
            "pc-2000": Row("PC-2000", rows.own(1_000)),
            "ode": Row("ODE adaptive", rows.adaptive, likelihood=True),
        },
    ),
    "cd": Family(
        consistency_of("cd"),
        {"cd-1": Row("CD, 1 step", rows.own(1)), "cd-2": Row("CD, 2 steps", rows.own(2))},
        teacher="edm",
    ),
    "ect": Family(
        consistency_of("ect"),
        {"ect": Row("ECT, 1 step", rows.own(1))},
        teacher="edm",
    ),
    "sct": Family(
        consistency_of("sct"),
        {"sct": Row("sCT, 1 step", rows.own(1))},
    ),
    "ddgan_1": Family(ddgan(1), {"ddgan-1": Row("DDGAN T = 1", rows.own(1))}),
    "ddgan_2": Family(ddgan(2), {"ddgan-2": Row("DDGAN T = 2", rows.own(2))}),
    "ddgan_4": Family(
        ddgan(4),
        {
            "ddgan-4": Row("DDGAN T = 4", rows.own(4)),
            "pc-2000-on-ddgan": Row("PC-2000 on DDGAN's network", rows.corrected_generator, timing=True),
        },
    ),
    "ddgan_8": Family(ddgan(8), {"ddgan-8": Row("DDGAN T = 8", rows.own(8))}),
}
"""By the name of what is trained."""

ROWS = {name: row for family in FAMILIES.values() for name, row in family.rows.items()}
"""Of the table, by their short names."""
FAMILY_OF = {name: key for key, family in FAMILIES.items() for name in family.rows}
"""What each row is sampled from."""


def chosen(only: tuple[str, ...]) -> dict[str, Row]:
    """Return the rows that were asked for, all where none is named.

    Raises: ValueError for a row that there is not.
    """
    unknown = [name for name in only if name not in ROWS]
    if unknown:
        raise ValueError(f"only has unknown rows {', '.join(unknown)}; known are {', '.join(ROWS)}")
    return {name: row for name, row in ROWS.items() if not only or name in only}


def train(data: str, family: str, teacher: Trained | None, folder: Path, smoke: bool) -> Trained | None:
    """Train a family from wherever its run stands; what lies there is taken as it is. Return None where it was stopped.

    Args:
      data: digits or 25gaussians; family: of `FAMILIES`; teacher: trained on the same data, where the family needs one.
      folder: of all runs.
    """
    launch = FAMILIES[family].runs[data](folder, teacher.params if teacher else None)
    config = replace(launch.config, smoke=smoke)
    with cli.bad_input():
        if (config.workdir / "config.json").exists():
            config = runs.config_of(config.workdir, launch.experiment)
        elif smoke:
            config = launch.experiment.smoke(config)
    run, state = experiment.trained(launch.experiment, config)
    if int(state.step) < config.steps:
        return None
    before = teacher.minutes if teacher else 0.0
    taken = minutes(config.workdir, config.batch_size)
    return Trained(run.system, state.ema, config, taken, before, launch.scale)
