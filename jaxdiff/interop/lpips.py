"""LPIPS's weights: torchvision's VGG-16 and the linear layers of Zhang et al., from files or their published places."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.interop.fetch import Published, fetch
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.openai import openai_name
from jaxdiff.interop.state_dict import abstract_params, as_float, check_finite, finite_params, read_state_dict, unwrap
from jaxdiff.nets.features.vgg import VGG16
from jaxdiff.types import Params

VGG = Published(
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
"""torchvision's VGG-16 for ImageNet, 528 MiB; its name carries the first digits of the digest."""
LINEAR = Published(
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth",
    "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
)
"""Version 0.1 of the linear layers, 7 KiB; the same file is in the authors' Python package `lpips` 0.1.4."""


def load_lpips(vgg: str | Path | None, linear: str | Path | None, net: VGG16 = VGG16()) -> Params:
    """Load the params of `metrics.lpips.lpips` from two files; nothing in them is executed.

    Args:
      vgg: torchvision's state dict, "features.0.weight" and so on; the classifier's arrays are dropped.
      linear: LPIPS's own, "lin0.model.1.weight" [1, C, 1, 1] and so on.
      net: the network that they fill.
    Returns: {"vgg": params, "linear": [w_l [C]]}, float32.
    Raises: ValueError when a path is None; CheckpointFormatError (a ValueError) naming what is missing, unknown, of
      another shape, not finite, or negative where it must not be; OSError.
    Reference: Simonyan & Zisserman 2015; Zhang et al. 2018.
    Example:
      >>> load_lpips(None, None)
      Traceback (most recent call last):
      ValueError: LPIPS needs two files: vgg, such as vgg16-397923af.pth, got None, and linear, ...
    """
    if vgg is None or linear is None:
        raise ValueError(
            f"LPIPS needs two files: vgg, such as {Path(VGG.url).name}, got {vgg}, and linear, version 0.1 of LPIPS's "
            f"vgg.pth, got {linear}; fetch_lpips(folder) downloads both"
        )
    return {"vgg": vgg_params(read_state_dict(vgg), net), "linear": linear_params(read_state_dict(linear), net)}


def fetch_lpips(folder: str | Path, vgg: Published = VGG, linear: Published = LINEAR, net: VGG16 = VGG16()) -> Params:
    """Fetch both files into a folder once, check their SHA-256 at every call, and load them as `load_lpips`.

    Args:
      folder: is made if absent; the files take the names "vgg16.pth" and "lpips_vgg.pth".
      vgg, linear: where they are published; a mirror has the same digests.
      net: as `load_lpips`.
    Returns, Raises: as `load_lpips` and `fetch.fetch`.
    Example:
      >>> fetch_lpips("weights", vgg=VGG._replace(sha256="abc"))
      Traceback (most recent call last):
      ValueError: sha256 must be 64 hexadecimal digits, got 'abc': no file is used unchecked
    """
    folder = Path(folder)
    paths = fetch(*vgg, folder / "vgg16.pth"), fetch(*linear, folder / "lpips_vgg.pth")
    return load_lpips(*paths, net)


def vgg_params(state_dict: Mapping[str, np.ndarray], net: VGG16 = VGG16()) -> Params:
    """Map torchvision's state dict to the params of `VGG16`.

    Args:
      state_dict: name -> array; net: the network.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError as `load_lpips`.
    Example:
      >>> vgg_params({"classifier.0.weight": np.zeros(1)})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: VGG-16: the state dict lacks features.0.bias, ...
    """
    features = {name: a for name, a in unwrap(state_dict).items() if not name.startswith("classifier.")}
    side = 2 ** len(net.widths)
    return finite_params("VGG-16", features, abstract_params(net, (1, side, side, 3)), openai_name)


def linear_params(state_dict: Mapping[str, np.ndarray], net: VGG16 = VGG16()) -> list[Any]:
    """Map LPIPS's state dict to its five weights w_l [C].

    Args:
      state_dict: name -> array; net: the network, whose widths are the C.
    Raises: CheckpointFormatError as `load_lpips`.
    Example:
      >>> weights = {f"lin{index}.model.1.weight": np.ones((1, 2, 1, 1), np.float32) for index in range(5)}
      >>> [a.shape for a in linear_params(weights, VGG16(widths=(2, 2, 2, 2, 2)))]
      [(2,), (2,), (2,), (2,), (2,)]
    """
    state_dict = unwrap(state_dict)
    names = [f"lin{index}.model.1.weight" for index in range(len(net.widths))]
    if wrong := sorted(set(names) ^ set(state_dict)):
        verb = "lack" if wrong[0] in names else "have the unknown"
        raise CheckpointFormatError(f"LPIPS's linear layers {verb} {wrong[0]}; they are {', '.join(names)}")
    for name, width in zip(names, net.widths, strict=True):
        value = state_dict[name]
        if value.shape != (1, width, 1, 1):
            raise CheckpointFormatError(
                f"{name} has shape {list(value.shape)} in the file, [1, {width}, 1, 1] by VGG-16"
            )
        check_finite(name, value)
        if value.min() < 0:
            raise CheckpointFormatError(f"{name} has the negative weight {value.min()}, so that it gives no distance")
    return [as_float(state_dict[name].reshape(-1)) for name in names]
