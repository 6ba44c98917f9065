"""The weights of the FID literature's InceptionV3: the published file, by path or from its published place."""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jaxdiff.interop.fetch import Published, fetch, verify
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params, finite_params, read_state_dict
from jaxdiff.nets.features.inception import InceptionV3
from jaxdiff.types import Params

WEIGHTS = Published(
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
"""TensorFlow's graph "inception-2015-12-05" as a PyTorch state dict, 91 MiB; its name carries the first digits of the
digest. torch-fidelity publishes the same bytes as weights-inception-2015-12-05-6726825d.pth."""


def load_inception(path: str | Path | None, sha256: str = WEIGHTS.sha256, net: InceptionV3 = InceptionV3()) -> Params:
    """Load the params of InceptionV3 from a file; nothing in it is executed.

    Args:
      path: the published state dict, "Conv2d_1a_3x3.conv.weight" [32, 3, 3, 3] to "fc.bias" [1008].
      sha256: of the file. Another than the published one must be given here: features of other weights, such as
        torchvision's own, are not those that FIDs in papers are made of.
      net: the network that they fill.
    Returns: params, float32.
    Raises: ValueError when path is None, there is no file, or it has another digest; CheckpointFormatError (a
      ValueError) naming what is missing, unknown, of another shape, not finite or a negative variance; OSError.
    Reference: Szegedy et al. 2016; Heusel et al. 2017; ported by the authors of pytorch-fid.
    Example:
      >>> load_inception(None)
      Traceback (most recent call last):
      ValueError: FID's InceptionV3 needs its weights, pt_inception-2015-12-05-6726825d.pth, got None, ...
    """
    if path is None or not Path(path).is_file():
        raise ValueError(
            f"FID's InceptionV3 needs its weights, {Path(WEIGHTS.url).name}, got {path}, which is no file: download "
            f"{WEIGHTS.url} there, or let fetch_inception(path) do it. No other network takes its place"
        )
    return inception_params(read_state_dict(verify(path, sha256)), net)


def fetch_inception(path: str | Path, weights: Published = WEIGHTS, net: InceptionV3 = InceptionV3()) -> Params:
    """Fetch InceptionV3's file once, check its SHA-256 at every call, and load it as `load_inception`.

    Args:
      path: where the file lies or shall lie; its folder is made.
      weights: where it is published; a mirror has the same digest.
      net: as `load_inception`.
    Returns, Raises: as `load_inception` and `fetch.fetch`.
    Example:
      >>> fetch_inception("inception.pth", WEIGHTS._replace(sha256="abc"))
      Traceback (most recent call last):
      ValueError: sha256 must be 64 hexadecimal digits, got 'abc': no file is used unchecked
    """
    return load_inception(fetch(*weights, path), weights.sha256, net)


def inception_params(state_dict: Mapping[str, np.ndarray], net: InceptionV3 = InceptionV3()) -> Params:
    """Map a published state dict to the params of `InceptionV3`; PyTorch's counters of batches are dropped.

    Args:
      state_dict: name -> array; net: the network.
    Returns: params, float32 or better.
    Raises: CheckpointFormatError as `load_inception`.
    Example:
      >>> inception_params({})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: InceptionV3: the state dict lacks ...
    """
    arrays = {name: a for name, a in state_dict.items() if name.split(".")[-1] != "num_batches_tracked"}
    params = finite_params("InceptionV3", arrays, abstract_params(net, (1, 8, 8, 3)), inception_name)
    for name, value in arrays.items():
        if name.endswith("running_var") and value.min() < 0:
            raise CheckpointFormatError(f"{name} has the negative variance {value.min()}")
    return params


def inception_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """Return the state dict's name of a parameter.

    Example:
      >>> tree = {"params": {"Mixed_5b": {"branch1x1": {"bn": {"var": 1}}}}}
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path(tree)
      >>> inception_name(path)
      'Mixed_5b.branch1x1.bn.running_var'
    """
    *modules, leaf = (str(entry.key) for entry in path[1:])
    published = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    return ".".join([*modules, published.get(leaf, leaf)])
