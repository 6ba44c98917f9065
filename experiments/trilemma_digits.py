"""The trilemma on scikit-learn's digits: the runs of the experiments, their metrics, their bits/dim."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from experiments import (
    bound,
    claim,
    cli,
    consistency_digits,
    ddgan_digits,
    ddpm_digits,
    draw,
    edm_digits,
    evaluate,
    judged,
    likelihood,
    runs,
    score_sde_digits,
    sources,
    stages,
)
from experiments.picture import image_grid, save_png
from experiments.trilemma_rows import Trained, continuous_of, minutes
from jaxdiff.data import digits
from jaxdiff.metrics import classifier, modes

FACTOR = 1
"""Samples for one digit's."""


def run_of(family: str, folder: Path, smoke: bool) -> tuple[Any, Any]:
    """(experiment, config) of a family, its run under a folder."""
    told: dict[str, Any] = {"smoke": smoke}
    if family.startswith("ddgan"):
        t = int(family.split("_")[1])
        name = "ddgan_digits" if t == ddgan_digits.Config().num_steps else f"ddgan_digits_{t}"
        return ddgan_digits, ddgan_digits.Config(workdir=folder / name, num_steps=t, **told)
    if family in ("cd", "ect", "sct"):
        taught = {"teacher": folder / "edm_digits", "method": family, **told}
        return consistency_digits, consistency_digits.Config(workdir=folder / "consistency" / family, **taught)
    module = {"edm": edm_digits, "ddpm": ddpm_digits, "score_sde": score_sde_digits}[family]
    return module, module.Config(workdir=folder / f"{family}_digits", **told)


def train(family: str, folder: Path, smoke: bool) -> Trained | None:
    """The run of a family, trained from wherever it stands; what is found there is taken as it is. None: stopped."""
    module, config = run_of(family, folder, smoke)
    before = 0.0
    if family in ("cd", "ect"):
        teacher = train("edm", folder, smoke)
        if teacher is None:
            return None
        before = teacher.minutes
    with contextlib.ExitStack() as held:
        with cli.bad_input():
            if (config.workdir / "config.json").exists():
                config, system = runs.of_run(config.workdir)
            else:
                config = module.smoke(config) if smoke else config
                system = module.system(config)
            budget, source = stages.check(config), sources.training(config.data, system)
            told = module.__name__.split(".")[1], config, sources.digest(source)
            held.enter_context(claim.claimed(config.workdir, *told))
        state = stages.train(config, system, source, budget)
    if int(state.step) < config.steps:
        return None
    return Trained(system, state.ema, config, minutes(config.workdir, config.batch_size), before)


def metrics(drawn: np.ndarray, trained: Trained) -> dict[str, Any]:
    """Of images in [-1, 1]; svm_accuracy where classes were asked for, modes and kl by the same classifier."""
    images = draw.to_uint8(drawn)
    found = judged.of_digits(images, draw.balanced_labels(np.arange(len(images)), trained.system.num_classes))
    return {"frechet": found["frechet_pixels"], **picked(found), **coverage(digits.to_pixels(images))}


def real(num: int) -> dict[str, Any]:
    """The same of held-out digits."""
    half = digits.load("heldout")
    found = judged.of_digits(draw.to_uint8(half.images), None)
    heldout = {name.removeprefix("heldout_"): value for name, value in found.items() if name.startswith("heldout_")}
    return {"frechet": heldout["frechet_pixels"], **picked(heldout), **coverage(digits.to_pixels(half.images))}


def picked(found: dict[str, float]) -> dict[str, float]:
    """What goes into the table."""
    return {name: found[name] for name in ("svm_accuracy", "precision", "recall") if name in found}


def coverage(pixels: np.ndarray) -> dict[str, Any]:
    """Classes that a classifier finds, and KL to their shares in the training half."""
    train = digits.load("train")
    judge = classifier.fit(digits.to_pixels(train.images), train.labels)
    found = judge.predict(pixels.reshape(len(pixels), -1))
    return modes.coverage(found, 10, np.bincount(train.labels, minlength=10))._asdict()


def bits(trained: Trained, num: int) -> dict[str, Any]:
    """Of held-out digits: the bound along a chain, else the exact likelihood of dequantised ones along the flow."""
    unseen = sources.unseen("digits")
    assert unseen is not None
    images, labels = evaluate.heldout(unseen, num)
    if trained.system.chain is not None:
        found, _ = bound.measure(bound.check(trained.system, images), trained.params, images, labels, seed=0)
        return {"bits_per_dim": found["bits_per_dim"], "bits": "bound"}
    along = continuous_of(trained.system, digits.LEVELS)
    found = likelihood.measure(along, trained.params, images, labels, seed=0, probes=1)
    return {"bits_per_dim": found["bits_per_dim"], "bits": "exact"}


def picture(path: Path, drawn: np.ndarray, trained: Trained) -> None:
    """The first hundred."""
    save_png(path, image_grid(draw.to_uint8(drawn[:100]), columns=10, scale=6))
