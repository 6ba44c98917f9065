"""The trilemma on scikit-learn's digits: metrics and bits/dim of images."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments import evaluate
from experiments.comparison.rows import Trained, sde_model_of
from experiments.evaluation import elbo, likelihood
from experiments.harness import datasets, evaluator, forms, generate
from experiments.harness.image_grid import image_grid, save_png
from jaxdiff.data import digits
from jaxdiff.metrics import classifier, modes

FACTOR = 1
"""Samples for one digit's."""


def metrics(drawn: np.ndarray, trained: Trained) -> dict[str, Any]:
    """Compute metrics of images in [-1, 1]; svm_accuracy with classes, modes and kl by the same classifier."""
    images = forms.to_uint8(drawn)
    found = evaluator.of_digits(images, generate.balanced_labels(np.arange(len(images)), trained.system.num_classes))
    return {"frechet": found["frechet_pixels"], **picked(found), **coverage(digits.to_pixels(images))}


def real(num: int) -> dict[str, Any]:
    """Compute the same of held-out digits."""
    half = digits.load("heldout")
    found = evaluator.of_digits(forms.to_uint8(half.images), None)
    heldout = {name.removeprefix("heldout_"): value for name, value in found.items() if name.startswith("heldout_")}
    return {"frechet": heldout["frechet_pixels"], **picked(heldout), **coverage(digits.to_pixels(half.images))}


def picked(found: dict[str, float]) -> dict[str, float]:
    """Return what goes into the table."""
    return {name: found[name] for name in ("svm_accuracy", "precision", "recall") if name in found}


def coverage(pixels: np.ndarray) -> dict[str, Any]:
    """Count the classes that a classifier finds, and KL to their shares in the training half."""
    train = digits.load("train")
    svm = classifier.fit(digits.to_pixels(train.images), train.labels)
    found = svm.predict(pixels.reshape(len(pixels), -1))
    return modes.coverage(found, 10, np.bincount(train.labels, minlength=10))._asdict()


def bits(trained: Trained, num: int) -> dict[str, Any]:
    """Measure held-out digits: the ELBO of a chain, else the exact likelihood of dequantised ones along the flow."""
    unseen = datasets.unseen("digits")
    assert unseen is not None
    images, labels = evaluate.heldout(unseen, num)
    if trained.system.discrete_process is not None:
        found, _ = elbo.measure(elbo.check(trained.system, images), trained.params, images, labels, seed=0)
        return {"bits_per_dim": found["bits_per_dim"], "bits": "elbo"}
    sde_model = sde_model_of(trained.system, digits.GREY_VALUES)
    found = likelihood.measure(sde_model, trained.params, images, labels, seed=0, probes=1)
    return {"bits_per_dim": found["bits_per_dim"], "bits": "exact"}


def picture(path: Path, drawn: np.ndarray, trained: Trained) -> None:
    """Save the first hundred."""
    save_png(path, image_grid(forms.to_uint8(drawn[:100]), columns=10, scale=6))
