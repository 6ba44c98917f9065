"""The pickles of Karras et al.'s training loop, read as data: the source code they carry is never compiled."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.interop.formats.plain_values import Allowance, CheckpointFormatError, Record, describe
from jaxdiff.interop.formats.safe_pickle import load_pickle
from jaxdiff.interop.formats.torch_file import DTYPES, TORCH, load_stream, memory_map

VERSION = 6  # of the layout in which the authors' code pickles an object
PRECONDITIONERS = ("VPPrecond", "VEPrecond", "iDDPMPrecond", "EDMPrecond")
LEADING = ("img_resolution", "img_channels", "label_dim", "use_fp16")  # their first arguments


class PersistentObject(NamedTuple):
    """An object pickled with its own source code: the name of its class, its state, and the source as mere text."""

    class_name: str
    state: dict[str, Any]
    source: str


class EdmCheckpoint(NamedTuple):
    """What a file holds: the preconditioner's class and arguments, its network's arrays by name, and metadata.

    kwargs: as recorded, spelled as the authors spell them. metadata: the rest, plain values only, fit for JSON.
    """

    class_name: str
    kwargs: dict[str, Any]
    state_dict: dict[str, np.ndarray]
    metadata: dict[str, Any]


def read_edm(path: str | Path) -> EdmCheckpoint:
    """Read a published `.pkl` as arrays and plain values.

    Args:
      path: a pickle of {"ema": model, ...} as the authors' training loop writes it.
    Returns: an `EdmCheckpoint`; names in `state_dict` are the authors': "model.enc.32x32_conv.weight".
    Raises: CheckpointFormatError, naming what was met; OSError.
    Example:
      >>> import pickle, tempfile
      >>> with tempfile.NamedTemporaryFile() as file:
      ...     _ = file.write(pickle.dumps({"model": 1}))
      ...     file.flush()
      ...     read_edm(file.name)
      Traceback (most recent call last):
      jaxdiff.interop.formats.plain_values.CheckpointFormatError: the file has no key 'ema': it holds ["'model'"]
    """
    with memory_map(path) as data:
        if data[:2] == b"PK":
            raise CheckpointFormatError(f"{Path(path).name} is a zip file, not a pickle: see torch_file.load")
        # Arrays lie in streams of their own: read as bytes, handed on, then copied into storages.
        allowance = Allowance(3 * len(data))
        names = {
            **TORCH,
            "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
            "torch.storage._load_from_bytes": lambda raw: load_stream(io.BytesIO(raw), allowance),
        }
        contents = load_pickle(data, names, allowance)
    if type(contents) is not dict or "ema" not in contents:
        met = sorted(map(describe, contents)) if type(contents) is dict else describe(contents)
        raise CheckpointFormatError(f"the file has no key 'ema': it holds {str(met)[:300]}")
    model = contents["ema"]
    if not isinstance(model, PersistentObject) or model.class_name not in PRECONDITIONERS:
        met = describe(model.class_name if isinstance(model, PersistentObject) else model)
        raise CheckpointFormatError(f"'ema' is {met}, allowed are {', '.join(PRECONDITIONERS)}")
    rest = {str(key): _plain(value) for key, value in contents.items() if key != "ema"}
    arrays: dict[str, np.ndarray] = {}
    for name, array in _arrays(model):
        if name in arrays:
            raise CheckpointFormatError(f"two arrays have the name {describe(name)}")
        arrays[name] = array
    kwargs = _arguments(model)
    return EdmCheckpoint(model.class_name, kwargs, arrays, {"class_name": model.class_name, "kwargs": kwargs, **rest})


def _persistent(meta: Any) -> PersistentObject:
    match meta:
        case {
            "type": "class",
            "version": version,
            "class_name": str(name),
            "module_src": str(source),
            "state": dict(state),
        }:
            if version != VERSION:
                raise CheckpointFormatError(
                    f"{describe(name)} has persistence version {describe(version)}, not {VERSION}"
                )
            return PersistentObject(name, state, source)
    met = ", ".join(map(describe, meta)) if isinstance(meta, dict) else describe(meta)
    raise CheckpointFormatError(
        f"a persistent object is made of {met[:300]}, not of type, version, source, class and state"
    )


def _arguments(model: PersistentObject) -> dict[str, Any]:
    """The constructor's arguments by name, checked to be small plain values."""
    args, kwargs = model.state.get("_init_args", ()), model.state.get("_init_kwargs")
    if not isinstance(args, list | tuple) or len(args) > len(LEADING) or not isinstance(kwargs, dict):
        raise CheckpointFormatError(f"the model records no arguments but {describe(args)} and {describe(kwargs)}")
    named = {**dict(zip(LEADING, args, strict=False)), **kwargs}
    for name, value in named.items():
        items = value if isinstance(value, list | tuple) else [value]
        plain = all(type(item) in (str, bool, float) or (type(item) is int and 0 <= item <= 1 << 16) for item in items)
        if type(name) is not str or not plain or len(items) > 16:
            raise CheckpointFormatError(f"argument {describe(name)} is {describe(value)}")
    return {name: _plain(value) for name, value in named.items()}


def _arrays(module: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Parameters and persistent buffers by dotted name; `load_pickle` has made sure that the recursion ends."""
    state: Any = module.state if isinstance(module, PersistentObject | Record) else None
    fields = ("_parameters", "_buffers", "_modules")
    parts: list[Any] = [state.get(field) if type(state) is dict else None for field in fields]
    if not all(type(part) is dict and all(type(name) is str for name in part) for part in parts):
        raise CheckpointFormatError(f"{prefix or 'the model'} is {describe(module)}, not a module with parts by name")
    parameters, buffers, modules = parts
    skipped = state.get("_non_persistent_buffers_set", ())
    stored = {name: value for name, value in buffers.items() if name not in skipped}
    for name, value in [*parameters.items(), *stored.items()]:
        if value is None:
            continue
        if not isinstance(value, np.ndarray) or value.dtype not in DTYPES.values():
            raise CheckpointFormatError(f"{describe(prefix + name)} is {describe(value)}, not an array of numbers")
        yield prefix + name, value
    for name, child in modules.items():
        if child is not None:
            yield from _arrays(child, f"{prefix}{name}.")


def _plain(value: Any) -> Any:
    """A value fit for JSON: objects become their class and state, and what has no plain form becomes a description."""
    if isinstance(value, PersistentObject):
        own = {name: part for name, part in value.state.items() if not str(name).startswith("_")}
        return {"class_name": value.class_name, **_plain(own)}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | None) else describe(value)
