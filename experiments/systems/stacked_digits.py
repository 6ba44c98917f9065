"""Stacked digits as an experiment's data: where they come from, and how many of their 1,000 modes images reach."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from experiments.harness import forms
from experiments.harness.datasets import named
from experiments.harness.system import Dataset, DatasetInfo
from jaxdiff import keys
from jaxdiff.data import digits, pipeline, pixels, prepared, stacked
from jaxdiff.metrics import classifier, modes
from jaxdiff.nets.unet.openai_classifier import GuidedClassifier
from jaxdiff.train.loop import TrainSchedule, fit
from jaxdiff.train.state import create
from jaxdiff.train.step import train_step
from jaxdiff.types import Array, Key, Params

Counter = Callable[[NDArray[np.uint8]], modes.Coverage]
"""images uint8 [N, H, W, 3] -> modes of 1,000 that they reach, and KL to uniform."""


def data(name: str, num_heldout: int, folder: Path, classifier_steps: int) -> Dataset:
    """Return stacked digits of one origin.

    Args:
      name: of the data set; num_heldout: real stacked images that the drawn ones are compared with.
      folder: where MNIST's classifier is kept once it is trained; classifier_steps: of that training.
    """
    origin = ORIGINS[name]

    def evaluate(images: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
        count = origin.counter(folder, classifier_steps)
        source = origin.load(origin.heldout, num_heldout)
        real = forms.to_uint8(np.stack([source[i]["image"] for i in range(len(source))]))
        heldout = {f"heldout_{name}": value for name, value in count(real)._asdict().items()}
        return count(images)._asdict() | heldout

    info = DatasetInfo(origin.shape, 0)
    return named(name, info, origin.load, lambda: origin.load(origin.heldout, num_heldout), evaluate=evaluate)


def digits_counter(folder: Path, classifier_steps: int) -> Counter:
    """Return what counts modes by scikit-learn's SVM, `metrics.classifier`, that saw real training digits only."""
    real = digits.load("train")
    svm = classifier.fit(digits.to_pixels(real.images), real.labels)
    return lambda images: modes.stacked_coverage(digits.to_pixels(images), svm)


def mnist_counter(folder: Path, classifier_steps: int) -> Counter:
    """Return what counts modes by a small network, trained when it is first asked for and kept in `folder`."""
    network = mnist_classifier(folder, classifier_steps)
    return lambda images: modes.stacked_coverage(images / 127.5 - 1, network)


class Origin(NamedTuple):
    """Where stacked digits come from: what loads a split, the name of the held-out one, and (H, W, C).

    counter(folder, classifier_steps) -> what counts modes by a classifier of single digits
    """

    load: Callable[..., pipeline.Source]
    heldout: str
    shape: tuple[int, int, int]
    counter: Callable[[Path, int], Counter]


ORIGINS = {
    "stacked_digits": Origin(stacked.load, "heldout", (8, 8, 3), digits_counter),
    "stacked_mnist": Origin(stacked.mnist, "test", (32, 32, 3), mnist_counter),
}


class DigitClassifier(NamedTuple):
    """A network as a classifier: `predict` as `metrics.modes` asks for it."""

    logits: Callable[[Array], Array]
    batch_size: int = 500

    def predict(self, features: NDArray[np.float64]) -> NDArray:
        """Classes [N] of rows [N, 32 * 32] in [-1, 1]."""
        images = features.reshape(-1, 32, 32, 1).astype(np.float32)
        parts = np.split(images, range(self.batch_size, len(images), self.batch_size))
        return np.concatenate([np.argmax(self.logits(jnp.asarray(part)), axis=1) for part in parts])


def mnist_classifier(folder: Path, steps: int, batch_size: int = 64, data_dir: Path | None = None) -> DigitClassifier:
    """Train ADM's encoder, small and without noise, once as a classifier of MNIST's digits; it is kept in `folder`.

    It sees means of 2x2 pixels, in which digits are as plain and which cost a quarter.
    Raises: ValueError when MNIST is not prepared.
    """
    net = GuidedClassifier(
        16, 1, 10, model_channels=32, channel_mult=(1, 1, 2), num_blocks=1, attn_resolutions=(), pool="adaptive"
    )
    source = _Padded(prepared.load("mnist", "MNIST", "train", data_dir))

    def logits(params: Params, images: Array) -> Array:
        means = images.reshape(-1, 16, 2, 16, 2, 1).mean(axis=(2, 4))
        return net.apply(params, means, jnp.zeros(len(images)))  # type: ignore[return-value]

    def loss(params: Params, key: Key, batch: dict[str, Array]) -> Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, batch["image"]), batch["label"])

    adam = optax.adam(1e-3)
    step = train_step(loss, adam, lambda step: jnp.zeros(()))  # which averages nothing: the last parameters count
    params = jax.jit(net.init)(keys.from_seed(0), jnp.zeros((1, 16, 16, 1)), jnp.zeros(1))
    schedule = TrainSchedule(steps, checkpoint_every=steps, keep_last=1)
    state = fit(
        step, create(params, adam), pipeline.batches(source, batch_size, 0), keys.from_seed(1), schedule, folder
    )
    return DigitClassifier(partial(jax.jit(logits), state.params))


class _Padded:
    """MNIST's digits as they lie in stacked images."""

    def __init__(self, source: pipeline.Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.source[index]
        image = pixels.to_float(np.asarray(example["image"]))
        return {**example, "image": np.pad(image, ((2, 2), (2, 2), (0, 0)), constant_values=-1)}
