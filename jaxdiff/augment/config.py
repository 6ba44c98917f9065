"""Which transformations are on, how often and how strong."""

import math
from typing import NamedTuple

__all__ = ["Config", "edm_config", "label_dim", "validate"]


class Config(NamedTuple):
    """Probabilities and strengths; every transformation is off by default.

    A transformation acts on an image with probability min(multiplier * p, 1). Strengths are EDM's (and ADA's) values.

    Reference: Karras et al. 2022, Appendix F.2 (p = 0.12 on CIFAR-10, 0.15 on FFHQ and AFHQv2); Karras et al. 2020,
    Appendix B, which has the same strengths.
    """

    p: float = 1.0
    """Overall probability, in [0, 1]."""

    xflip: float = 0.0
    """Multiplier of the mirror image left-right, drawn among {0, 1}."""
    yflip: float = 0.0
    """Multiplier of the mirror image upside-down, drawn among {0, 1}."""
    rotate_int: float = 0.0
    """Multiplier of rotations by quarter turns, drawn among {0, 1, 2, 3}; square images only."""
    translate_int: float = 0.0
    """Multiplier of translations by whole pixels, borders reflected."""
    scale: float = 0.0
    """Multiplier of isotropic scaling."""
    rotate_frac: float = 0.0
    """Multiplier of rotation by any angle."""
    aniso: float = 0.0
    """Multiplier of stretching by s along an axis and 1/s across it."""
    translate_frac: float = 0.0
    """Multiplier of translations by fractions of a pixel."""
    brightness: float = 0.0
    """Multiplier of an added constant."""
    contrast: float = 0.0
    """Multiplier of a common factor."""
    lumaflip: float = 0.0
    """Multiplier of the reflection of brightness at grey, colours kept; drawn among {0, 1}."""
    hue: float = 0.0
    """Multiplier of rotation of the colours about the grey axis."""
    saturation: float = 0.0
    """Multiplier of a factor on the distance from the grey axis."""

    translate_int_max: float = 0.125
    """Largest whole-pixel translation, as a fraction of the image size."""
    scale_std: float = 0.2
    """Standard deviation of log2 of the isotropic scale."""
    rotate_frac_max: float = 1.0
    """Largest rotation, in half turns."""
    aniso_std: float = 0.2
    """Standard deviation of log2 of the stretch."""
    aniso_rotate_prob: float = 0.5
    """Probability that the axis of the stretch has a random direction; else it is the x axis."""
    translate_frac_std: float = 0.125
    """Standard deviation of the translation, as a fraction of the image size."""
    brightness_std: float = 0.2
    """Standard deviation of the added constant; images are in [-1, 1]."""
    contrast_std: float = 0.5
    """Standard deviation of log2 of the contrast factor."""
    hue_max: float = 1.0
    """Largest rotation of hue, in half turns."""
    saturation_std: float = 1.0
    """Standard deviation of log2 of the saturation factor."""


def edm_config(p: float = 0.12) -> Config:
    """Return what EDM trains with: every image may be mirrored, other geometric transformations act at rate p.

    Args:
      p: probability of each transformation; 0.12 on CIFAR-10, 0.15 on FFHQ-64 and AFHQv2-64.
    Returns: a Config with nine labels.
    Reference: Karras et al. 2022, Appendix F.2.
    Example:
      >>> label_dim(edm_config())
      9
    """
    # The mirror image is drawn for every image, whatever p > 0 is.
    return Config(p=p, xflip=1e8, yflip=1.0, scale=1.0, rotate_frac=1.0, aniso=1.0, translate_frac=1.0)


def label_dim(config: Config) -> int:
    """Count the conditioning labels of an image.

    One for each number that describes a transformation: flips, scale, brightness, contrast and saturation have one,
    angles two (cos - 1 and sin), translations two (x, y), stretching two (a vector along its axis).

    Args:
      config: which transformations are on.
    Returns: the network's `augment_dim`.
    Raises: ValueError when a probability or strength is out of range.
    Example:
      >>> label_dim(Config(xflip=1, rotate_frac=1, hue=1))
      5
    """
    validate(config)
    c = config
    one_label = (c.xflip, c.yflip, c.scale, c.brightness, c.contrast, c.lumaflip, c.saturation)
    two_labels = (c.rotate_int, c.translate_int, c.rotate_frac, c.aniso, c.translate_frac, c.hue)
    return sum(m > 0 for m in one_label) + 2 * sum(m > 0 for m in two_labels)


def validate(config: Config) -> None:
    """Raise ValueError when a number of `config` is negative, not finite or not a probability.

    Raises: ValueError, which names the number.
    Example:
      >>> validate(Config(p=1.5))
      Traceback (most recent call last):
      ValueError: p must be a probability in [0, 1], got 1.5
    """
    for name, value in config._asdict().items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, got {value}")
    for name in ("p", "aniso_rotate_prob"):
        if getattr(config, name) > 1:
            raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(config, name)}")
    if config.translate_int > 0 and config.translate_int_max == 0:
        raise ValueError("translate_int_max must be > 0 where translate_int is on, got 0: its label divides by it")
