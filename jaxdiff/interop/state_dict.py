"""Published state dicts of EDM's networks as params of jaxdiff's: the same names, other axes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import keys
from jaxdiff.interop import torch_file
from jaxdiff.interop.inert import CheckpointFormatError
from jaxdiff.types import Params

T = TypeVar("T")


def to_params(
    state_dict: Mapping[str, np.ndarray],
    like: Params,
    prefix: str = "",
    resample_filter: Sequence[float] | None = None,
    name_of: Callable[[tuple[jax.tree_util.DictKey, ...]], str] | None = None,
) -> Params:
    """Parameters of a network from a published state dict; by default of a `SongUNet` or `DhariwalUNet`.

    Names map as "enc.8x8_block0.conv0.weight" -> params["enc_8x8_block0"]["conv0"]["kernel"]; kernels of convolutions
    turn from OIHW to HWIO, matrices from [out, in] to [in, out]; other arrays stay as they are. Buffers named
    resample_filter are configuration, not parameters: they are compared with the network's own and dropped.

    Args:
      state_dict: name -> array; see `unwrapped` for what names may have besides.
      like: what `net.init` returns, or its `jax.eval_shape`.
      prefix: of the names that belong to the network, such as "model." in a preconditioner's state dict.
      resample_filter: the network's taps; None drops the buffers unseen.
      name_of: the published name of a parameter, `published_name` where not given.
    Returns: params in the structure of `like`, in the type of the state dict.
    Raises: ValueError naming what is missing, unknown or of another shape (with both shapes), or a filter
      other than the network's.
    Example:
      >>> to_params({"a.weight": np.ones((1, 2))}, {"params": {"a": {"kernel": np.zeros((2, 1))}}})
      {'params': {'a': {'kernel': array([[1.], [1.]])}}}
    """
    name_of = name_of or published_name
    wanted = {name_of(path): (path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
    given = {name: np.asarray(a) for name, a in unwrapped(state_dict, prefix).items()}
    filters = {name: given.pop(name) for name in list(given) if name.split(".")[-1] == "resample_filter"}
    if resample_filter is not None:
        _check_filters(filters, resample_filter)
    if missing := sorted(set(wanted) - set(given)):
        raise ValueError(f"the state dict lacks {', '.join(missing[:5])}" + (" ..." if len(missing) > 5 else ""))
    if unknown := sorted(set(given) - set(wanted)):
        raise ValueError(f"the network has no {', '.join(unknown[:5])}" + (" ..." if len(unknown) > 5 else ""))
    converted = {}
    for name, (path, leaf) in wanted.items():
        value = from_torch(given[name]) if path[-1].key == "kernel" else given[name]
        if value.shape != leaf.shape:
            raise ValueError(
                f"{name} has shape {list(value.shape)} in the checkpoint, {list(leaf.shape)} in the network"
            )
        converted[name] = value
    return jax.tree_util.tree_map_with_path(lambda path, leaf: converted[name_of(path)], like)


WRAPPERS = ("module", "_orig_mod")
"""What torch's parallel wrappers and torch.compile put into the names of what they wrap, whole networks or parts."""


def unwrapped(state_dict: Mapping[str, T], prefix: str = "") -> dict[str, T]:
    """The part of a state dict whose names start with a prefix, under their names without it and without `WRAPPERS`.

    Raises: CheckpointFormatError when a name is then there twice.
    Example:
      >>> unwrapped({"module._orig_mod.a.weight": 1, "b.module.c": 2})
      {'a.weight': 1, 'b.c': 2}
      >>> unwrapped({"module.model.a": 1, "module.u": 2}, "model.")
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
            raise ValueError(
                f"{name} is {value.tolist()} in the checkpoint, {expected.tolist()} by the network's {tuple(taps)}"
            )


def published_name(path: tuple[jax.tree_util.DictKey, ...]) -> str:
    """The state dict's name of a parameter.

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


def abstract_params(net: Any) -> Params:
    """Shapes of a network's parameters, without allocating any."""
    x = jax.ShapeDtypeStruct((1, net.img_resolution, net.img_resolution, net.in_channels), jnp.float32)
    more = {"low_res": x} if getattr(net, "super_resolution", False) else {}
    return jax.eval_shape(net.init, keys.of_seed(0), x, jax.ShapeDtypeStruct((1,), jnp.float32), **more)


def from_torch(value: np.ndarray) -> np.ndarray:
    """OIHW to HWIO; [out, in] and one-dimensional convolutions of width 1, [out, in, 1], to [in, out].

    Example:
      >>> from_torch(np.zeros((5, 4, 3, 2))).shape
      (3, 2, 4, 5)
    """
    if value.ndim == 3 and value.shape[-1] == 1:
        value = value[..., 0]
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T


def read(path: str | Path) -> Mapping[str, np.ndarray]:
    """A torch file that holds nothing but a state dict.

    Raises: CheckpointFormatError when it holds something else; what `torch_file.load` raises.
    """
    state_dict = torch_file.load(path)
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(name, str) and isinstance(a, np.ndarray) for name, a in state_dict.items()
    ):
        raise CheckpointFormatError(f"{Path(path).name} holds no state dict of arrays")
    return state_dict


def finite_params(
    title: str, state_dict: Mapping[str, np.ndarray], like: Params, name_of: Callable[..., str] | None = None
) -> Params:
    """`to_params` of a network that is not trained further: float32 or better, and finite.

    Args:
      title: of the network, for messages; state_dict, like, name_of: as `to_params`.
    Raises: CheckpointFormatError naming what does not fit.
    """
    try:
        params = to_params(state_dict, like, name_of=name_of)
    except ValueError as error:
        raise CheckpointFormatError(f"{title}: {error}") from None
    for name, value in state_dict.items():
        check_finite(name, value)
    return jax.tree.map(as_float, params)


def check_finite(name: str, value: np.ndarray) -> None:
    """Raises: CheckpointFormatError unless all are finite floats."""
    if value.dtype.kind not in "fV" or not np.isfinite(value.astype(np.float32)).all():  # V: ml_dtypes' bfloat16
        raise CheckpointFormatError(f"{name} holds {value.dtype} numbers that are not finite or no floats")


def as_float(value: np.ndarray) -> jax.Array:
    """float32 or better."""
    return jnp.asarray(value, jnp.promote_types(value.dtype, jnp.float32))
