"""Checks of a network's attributes and inputs, before anything is compiled."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, ArrayLike


def check_resolutions(img_resolution: int, model_channels: int, channel_mult: Sequence[int]) -> None:
    """Raise ValueError unless every resolution is whole and every width splits into groups of norm.

    Args:
      img_resolution: height and width, halved at every entry of channel_mult but the first.
      model_channels, channel_mult: their products are the widths, multiples of min(32, C // 4).
    Raises: ValueError, which names the attribute.
    Example:
      >>> check_resolutions(10, 128, (1, 2, 2))
      Traceback (most recent call last):
      ValueError: img_resolution=10 must be divisible by 4, as it is halved that far
    """
    check_halvings(img_resolution, len(channel_mult) - 1)
    for mult in channel_mult:
        width = model_channels * mult
        if width < 4 or width % min(32, width // 4):
            raise ValueError(
                f"model_channels={model_channels} times {mult} must be 4 or more and a multiple of min(32, C // 4)"
            )


def check_halvings(img_resolution: int, halvings: int) -> None:
    """Raise ValueError unless a resolution is whole however often it is halved.

    Args:
      img_resolution: height and width; halvings: how often.
    Raises: ValueError.
    Example:
      >>> check_halvings(10, 2)
      Traceback (most recent call last):
      ValueError: img_resolution=10 must be divisible by 4, as it is halved that far
    """
    factor = 2**halvings
    if img_resolution < factor or img_resolution % factor:
        raise ValueError(f"img_resolution={img_resolution} must be divisible by {factor}, as it is halved that far")


def check_choices(options: Any) -> None:
    """Raise ValueError unless every field of a dataclass that is declared a Literal holds one of its values.

    Raises: ValueError as `check_choice`.
    Example:
      >>> from jaxdiff.nets.unet import SongUNet
      >>> check_choices(SongUNet(8, 1, 1, encoder_type="skips"))
      Traceback (most recent call last):
      ValueError: encoder_type must be one of standard, skip, residual, got 'skips'
    """
    for field in dataclasses.fields(options):
        if get_origin(field.type) is Literal:
            check_choice(field.name, getattr(options, field.name), field.type)


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise ValueError unless a value is one of a Literal's.

    Args:
      name: of the option, for the message; value: its value.
      choices: the Literal.
    Raises: ValueError, which names the option and what is allowed.
    Example:
      >>> check_choice("pool", "mean", Literal["attention", "adaptive"])
      Traceback (most recent call last):
      ValueError: pool must be one of attention, adaptive, got 'mean'
    """
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")


def check_inputs(
    net: Any, x: Array, noise_labels: ArrayLike, class_labels: ArrayLike | None, augment_labels: ArrayLike | None
) -> None:
    """Raise ValueError unless the shapes of a call fit the network's attributes.

    Args:
      net: has img_resolution, in_channels, label_dim and augment_dim.
      x: [B, H, W, C]; noise_labels: [], [1] or [B].
      class_labels, augment_labels: [B or 1, dim], or None.
    Raises: ValueError, which names the input and the shape that fits.
    Example:
      >>> from jaxdiff.nets.unet import SongUNet
      >>> check_inputs(SongUNet(8, 1, 1), jnp.zeros((2, 8, 8, 1)), 1.0, jnp.zeros((2, 10)), None)
      Traceback (most recent call last):
      ValueError: class_labels were given to a network that takes none
    """
    check_image(net, x, noise_labels)
    check_labels("class_labels", class_labels, net.label_dim, x.shape[0])
    check_labels("augment_labels", augment_labels, net.augment_dim, x.shape[0])


def check_labels(name: str, labels: ArrayLike | None, dim: int, batch: int) -> None:
    """Raise ValueError unless labels are [B or 1, dim], or None.

    Args:
      name: of the input, for the message; labels: the input.
      dim: width of the labels, 0 for a network that takes none.
      batch: B.
    Raises: ValueError, which names the input and the shape that fits.
    Example:
      >>> check_labels("class_labels", jnp.zeros((2, 9)), 10, batch=2)
      Traceback (most recent call last):
      ValueError: class_labels must be [2 or 1, 10], got [2, 9]
    """
    if labels is None:
        return
    if not dim:
        raise ValueError(f"{name} were given to a network that takes none")
    shape = jnp.shape(labels)
    if len(shape) != 2 or shape[1] != dim or shape[0] not in (1, batch):
        raise ValueError(f"{name} must be [{batch} or 1, {dim}], got {list(shape)}")


def check_image(net: Any, x: Array, noise_labels: ArrayLike) -> None:
    """Raise ValueError unless the image fits the network's attributes, and the noise labels the image.

    Args:
      net: has img_resolution and in_channels.
      x: [B, H, W, C]; noise_labels: [], [1] or [B].
    Raises: ValueError, which names the input and the shape that fits.
    Example:
      >>> from jaxdiff.nets.unet import SongUNet
      >>> check_image(SongUNet(8, 1, 1), jnp.zeros((2, 8, 8, 3)), 1.0)
      Traceback (most recent call last):
      ValueError: x must be [B, 8, 8, 1] for this network, got [2, 8, 8, 3]
    """
    expected = (net.img_resolution, net.img_resolution, net.in_channels)
    if x.ndim != 4 or x.shape[1:] != expected:
        raise ValueError(f"x must be [B, {', '.join(map(str, expected))}] for this network, got {list(x.shape)}")
    check_noise_labels(noise_labels, x.shape[0])


def check_noise_labels(noise_labels: ArrayLike, batch: int) -> None:
    """Raise ValueError unless noise labels are one number, or one an example.

    Args:
      noise_labels: [], [1] or [B]; batch: B.
    Raises: ValueError, which names the shape that fits.
    Example:
      >>> check_noise_labels(jnp.zeros((2, 1)), batch=2)
      Traceback (most recent call last):
      ValueError: noise_labels must be [] or [2], got [2, 1]
    """
    if jnp.shape(noise_labels) not in ((), (1,), (batch,)):
        raise ValueError(f"noise_labels must be [] or [{batch}], got {list(jnp.shape(noise_labels))}")


def check_taps(name: str, taps: Sequence[float]) -> None:
    """Raise ValueError unless taps are a filter that `resampling.resample` takes.

    Args:
      name: of the option, for the message.
      taps: one-dimensional, of even length and a sum other than 0.
    Raises: ValueError, which names the option.
    Example:
      >>> check_taps("fir_kernel", (1, 3, 1))
      Traceback (most recent call last):
      ValueError: fir_kernel must be a flat sequence of an even number of taps, for rows and columns alike, ...
    """
    if np.ndim(taps) != 1 or not len(taps) or len(taps) % 2 or not sum(taps):
        raise ValueError(
            f"{name} must be a flat sequence of an even number of taps, for rows and columns alike, "
            f"with a sum other than 0, got {taps}"
        )
