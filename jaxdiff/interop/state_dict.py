"""Published state dicts as params of jaxdiff's networks: names are mapped, kernels turned, misfits named."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import keys
from jaxdiff.interop.formats import torch_file
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.types import Params

T = TypeVar("T")


def to_params(
    state_dict: Mapping[str, np.ndarray],
    like: Params,
    prefix: str = "",
    resample_filter: Sequence[float] | None = None,
    name_of: Callable[[tuple[jax.tree_util.DictKey, ...]], str] | None = None,
) -> Params:
    """Map a published state dict to the parameters of a network; by default of a `SongUNet` or `DhariwalUNet`.

    Names map as "enc.8x8_block0.conv0.weight" -> params["enc_8x8_block0"]["conv0"]["kernel"]; kernels of convolutions
    turn from OIHW to HWIO, matrices from [out, in] to [in, out]; other arrays stay as they are. Buffers named
    resample_filter are configuration, not parameters: they are compared with the network's own and dropped.

    Args:
      state_dict: name -> array; `unwrap` says what names may contain besides.
      like: what `net.init` returns, or its `jax.eval_shape`.
      prefix: of the names that belong to the network, such as "model." in a preconditioner's state dict.
      resample_filter: the network's taps; None drops the buffers unseen.
      name_of: maps a parameter's path to its published name; `published_name` by default.
    Returns: params in the structure of `like`, in the type of the state dict.
    Raises: CheckpointFormatError (a ValueError) naming what is missing, unknown or of another shape (with both shapes),
      or a filter other than the network's.
    Example:
      >>> to_params({"a.weight": np.ones((1, 2))}, {"params": {"a": {"kernel": np.zeros((2, 1))}}})
      {'params': {'a': {'kernel': array([[1.], [1.]])}}}
    """
    name_of = name_of or published_name
    wanted = {name_of(path): (path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
    arrays = {name: np.asarray(a) for name, a in unwrap(state_dict, prefix).items()}
    filters = {name: arrays.pop(name) for name in list(arrays) if name.split(".")[-1] == "resample_filter"}
    if resample_filter is not None:
        _check_filters(filters, resample_filter)
    if missing := sorted(set(wanted) - set(arrays)):
        raise CheckpointFormatError(f"the state dict lacks {_first(missing)}")
    if unknown := sorted(set(arrays) - set(wanted)):
        raise CheckpointFormatError(f"the network has no {_first(unknown)}")
    converted = {}
    for name, (path, leaf) in wanted.items():
        value = kernel_from_torch(arrays[name]) if path[-1].key == "kernel" else arrays[name]
        if value.shape != leaf.shape:
            raise CheckpointFormatError(
                f"{name} has shape {list(value.shape)} in the checkpoint, {list(leaf.shape)} in the network"
            )
        converted[name] = value
    return jax.tree_util.tree_map_with_path(lambda path, leaf: converted[name_of(path)], like)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


WRAPPERS = ("module", "_orig_mod")
"""What torch's parallel wrappers and torch.compile put into the names of what they wrap, whole networks or parts."""


def unwrap(state_dict: Mapping[str, T], prefix: str = "") -> dict[str, T]:
    """Select the names that start with a prefix, and take the prefix and `WRAPPERS` from them.

    Args:
      state_dict: name -> anything.
      prefix: of the names that are wanted.
    Raises: CheckpointFormatError when a name is then there twice.
    Example:
      >>> unwrap({"module._orig_mod.a.weight": 1, "b.module.c": 2})
      {'a.weight': 1, 'b.c': 2}
      >>> unwrap({"module.model.a": 1, "module.u": 2}, "model.")
      {'a': 1}
    """
    bare = lambda name: ".".join(part for part in name.split(".") if part not in WRAPPERS)  # noqa: E731
    found: dict[str, T] = {}
    for name, value in state_dict.items():
        if not bare(name).startswith(bare(prefix)):
            continue
        short = bare(name).removeprefix(bare(prefix))
        if short in found:
            raise CheckpointFormatError(f"{short} is there twice: {name} is its name in a wrapper")
        found[short] = value
    return found


def _check_filters(filters: Mapping[str, np.ndarray], taps: Sequence[float]) -> None:
    """Published buffers hold the outer product of the normalised taps, [1, 1, n, n]."""
    weights = np.asarray(taps, np.float64) / np.sum(taps)
    expected = np.outer(weights, weights)[None, None]
    for name, value in filters.items():
        if value.shape != expected.shape or not np.allclose(value, expected, rtol=1e-5, atol=0):
            raise CheckpointFormatError(
                f"{name} is {value.tolist()} in the checkpoint, {expected.tolist()} by the network's {tuple(taps)}"
            )


def published_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """Return the state dict's name of a parameter, as EDM's networks have it.

    Example:
      >>> [(path, _)] = jax.tree_util.tree_leaves_with_path({"params": {"dec_4x4_in0": {"norm0": {"scale": 1}}}})
      >>> published_name(path)
      'dec.4x4_in0.norm0.weight'
    """
    _, *modules, leaf = (str(entry.key) for entry in path)
    modules = [module for module in modules if module != "map"]
    if modules[0].startswith(("enc_", "dec_")):
        modules[0] = modules[0].replace("_", ".", 1)
    return ".".join([*modules, {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)])


def abstract_params(net: Any, *shapes: tuple[int, ...]) -> Params:
    """Compute the shapes of a network's parameters, without allocating any.

    Args:
      net: a Linen module.
      shapes: of its inputs; by default an image of its own size, and one noise label.
    Returns: what `net.init` would return, of jax.ShapeDtypeStruct.
    Example:
      >>> from jaxdiff.nets.features import VGG16
      >>> abstract_params(VGG16(), (1, 32, 32, 3))["params"]["features_0"]["kernel"].shape
      (3, 3, 3, 64)
    """
    shapes = shapes or ((1, net.img_resolution, net.img_resolution, net.in_channels), (1,))
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    more = {"low_res": inputs[0]} if getattr(net, "super_resolution", False) else {}
    return jax.eval_shape(net.init, keys.from_seed(0), *inputs, **more)


def kernel_from_torch(value: np.ndarray) -> np.ndarray:
    """Transform a kernel's axes: OIHW to HWIO; [out, in] and one-dimensional of width 1, [out, in, 1], to [in, out].

    Example:
      >>> kernel_from_torch(np.zeros((5, 4, 3, 2))).shape
      (3, 2, 4, 5)
    """
    if value.ndim == 3 and value.shape[-1] == 1:
        value = value[..., 0]
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def read_state_dict(path: str | Path) -> Mapping[str, np.ndarray]:
    """Read a torch file that holds nothing but a state dict.

    Args:
      path: a `.pt` or `.pth` file.
    Returns: name -> array.
    Raises: CheckpointFormatError when it holds something else; what `torch_file.load` raises.
    Example:
      >>> read_state_dict("no.pth")
      Traceback (most recent call last):
      FileNotFoundError: [Errno 2] No such file or directory: 'no.pth'
    """
    state_dict = torch_file.load(path)
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(name, str) and isinstance(a, np.ndarray) for name, a in state_dict.items()
    ):
        raise CheckpointFormatError(f"{Path(path).name} holds no state dict of arrays")
    return state_dict


def float_params(
    state_dict: Mapping[str, np.ndarray], like: Params, name_of: Callable[..., str] | None = None
) -> Params:
    """Map a state dict to params as `to_params`, in float32 or better.

    Args:
      state_dict, like, name_of: as `to_params`.
    Raises: CheckpointFormatError as `to_params`.
    Example:
      >>> like = {"params": {"a": {"scale": np.zeros(2)}}}
      >>> float_params({"a.weight": np.ones(2, np.float16)}, like)["params"]["a"]["scale"].dtype.name
      'float32'
    """
    return jax.tree.map(as_float, to_params(state_dict, like, name_of=name_of))


def finite_params(
    title: str, state_dict: Mapping[str, np.ndarray], like: Params, name_of: Callable[..., str] | None = None
) -> Params:
    """Map a state dict to params as `float_params`, and check that all numbers are finite.

    Args:
      title: of the network, for messages; state_dict, like, name_of: as `to_params`.
    Raises: CheckpointFormatError naming what does not fit.
    Example:
      >>> finite_params("VGG-16", {}, {"params": {"a": {"scale": np.zeros(2)}}})
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: VGG-16: the state dict lacks a.weight
    """
    try:
        params = float_params(state_dict, like, name_of)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{title}: {error}") from None
    for name, value in state_dict.items():
        check_finite(name, value)
    return params


def check_finite(name: str, value: np.ndarray) -> None:
    """Raise CheckpointFormatError unless an array holds finite floats only.

    Args:
      name: of the array, for the message; value: the array.
    Raises: CheckpointFormatError.
    Example:
      >>> check_finite("a.weight", np.array([1.0, np.nan]))
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: a.weight holds float64 numbers that are not ...
    """
    if value.dtype.kind not in "fV" or not np.isfinite(value.astype(np.float32)).all():  # V: ml_dtypes' bfloat16
        raise CheckpointFormatError(f"{name} holds {value.dtype} numbers that are not finite or no floats")


def as_float(value: np.ndarray) -> jax.Array:
    """Convert an array to float32 or better.

    Example:
      >>> as_float(np.ones(2, np.float16)).dtype.name
      'float32'
    """
    return jnp.asarray(value, jnp.promote_types(value.dtype, jnp.float32))
