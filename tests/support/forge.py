"""Writes checkpoints in the true byte layouts without torch, honest ones and others.

The standard pickler does the work; stand-ins tell it which names to write where torch would write its own.
"""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGE = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}
SOURCE = "raise SystemExit('this text must never be run')\n"


class Name(NamedTuple):
    """Pickled as a reference to module.name."""

    module: str
    name: str

    def __call__(self, *args):
        raise AssertionError("only its name is written")


class Call:
    """Pickled as function(*args), as cls.__new__(cls, *args) if `new`, then with its state."""

    def __init__(self, function, *args, new=False, state=None):
        self.function, self.args, self.new, self.state = function, args, new, state


class Stored(NamedTuple):
    """Pickled as a reference to a storage."""

    key: str
    array: np.ndarray


class Pickler(pickle._Pickler):
    """Writes stand-ins as what they stand for; tensors as in a torch file, or with their bytes inline as in EDM's."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file, protocol=2, inline=False, zipped=False):
        super().__init__(file, protocol)
        self.inline, self.zipped, self.storages = inline, zipped, {}

    def persistent_id(self, obj):
        if type(obj) is not Stored:
            return None
        kind = Name("torch", STORAGE[obj.array.dtype.name])
        return ("storage", kind, obj.key, "cpu", obj.array.size, *(() if self.zipped else (None,)))

    def save_name(self, obj):
        if self.proto >= 4:
            self.save(obj.module)
            self.save(obj.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        self.memoize(obj)

    def save_call(self, obj):
        self.save(obj.function)
        self.save(obj.args)
        self.write(pickle.NEWOBJ if obj.new else pickle.REDUCE)
        self.memoize(obj)
        if obj.state is not None:
            self.save(obj.state)
            self.write(pickle.BUILD)

    def save_array(self, obj):
        flat = np.ascontiguousarray(obj).ravel()
        key = str(len(self.storages))
        self.storages[key] = flat
        storage: Any = Stored(key, flat)
        if self.inline:
            storage = Call(Name("torch.storage", "_load_from_bytes"), legacy(storage))
        strides = tuple(int(n) // obj.itemsize for n in np.ascontiguousarray(obj).strides) if obj.ndim else ()
        tensor = Call(Name("torch._utils", "_rebuild_tensor_v2"), storage, 0, obj.shape, strides, False, OrderedDict())
        self.save_call(Call(Name("torch._utils", "_rebuild_parameter"), tensor, False, OrderedDict()))

    dispatch[Name], dispatch[Call], dispatch[np.ndarray] = save_name, save_call, save_array


def dumps(value, protocol=4, inline=True):
    """A plain pickle; arrays as torch parameters with their bytes inline."""
    file = io.BytesIO()
    Pickler(file, protocol, inline).dump(value)
    return file.getvalue()


def legacy(value):
    """The torch file before 1.6; arrays as torch parameters."""
    file = io.BytesIO()
    for head in (MAGIC, PROTOCOL, {"protocol_version": PROTOCOL, "little_endian": True}):
        pickle.dump(head, file, 2)
    pickler = Pickler(file)
    pickler.dump(value)
    storages = {value.key: value.array} if type(value) is Stored else pickler.storages
    pickle.dump(sorted(storages), file, 2)
    for key in sorted(storages):
        file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())
    return file.getvalue()


def zipped(value, extra=(), root="archive", compression=zipfile.ZIP_STORED, data=None):
    """The torch file since 1.6; `extra` members are added, `data` replaces the pickle."""
    pickled = io.BytesIO()
    pickler = Pickler(pickled, zipped=True)
    pickler.dump(value)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", pickled.getvalue() if data is None else data)
        archive.writestr(f"{root}/byteorder", "little")
        for key, array in pickler.storages.items():
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", "3\n")
        for name, content in extra:
            archive.writestr(name, content)
    return file.getvalue()


def persistent(class_name, state, **changes):
    """An object that carries its source, in EDM's scheme."""
    meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state, **changes}
    return Call(Name("torch_utils.persistence", "_reconstruct_persistent_obj"), meta)


def module_state(parameters=(), buffers=(), modules=(), **attributes):
    """What torch keeps of a module."""
    parts = {"_parameters": OrderedDict(parameters), "_buffers": OrderedDict(buffers)}
    hooks = {"_non_persistent_buffers_set": set(), "_backward_hooks": OrderedDict(), "_forward_hooks": OrderedDict()}
    return {"training": False, **parts, **hooks, "_modules": OrderedDict(modules), **attributes}


def module_tree(parameters, buffers, class_name, prefix="", **attributes):
    """Nested modules from dotted names; "enc" and "dec" are torch's containers, all others carry their source."""
    own = [
        {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        for arrays in (parameters, buffers)
    ]
    leaves = [{name: array for name, array in arrays.items() if "." not in name} for arrays in own]
    names = dict.fromkeys(name.split(".")[0] for arrays in own for name in arrays if "." in name)
    children = {name: module_tree(parameters, buffers, "Layer", f"{prefix}{name}.") for name in names}
    state = module_state(*leaves, children, **attributes)
    if prefix.endswith((".enc.", ".dec.")):
        return Call(Name("torch.nn.modules.container", "ModuleDict"), new=True, state=state)
    return persistent(class_name, state)


def edm(parameters, buffers, class_name, kwargs, protocol=4, **others):
    """A published model: {"ema": the network in its preconditioner, ...}."""
    ema = module_tree(parameters, buffers, class_name, _init_args=(), _init_kwargs=kwargs)
    return dumps({"ema": ema, **others}, protocol)
