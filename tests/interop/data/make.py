"""Writes the files next to it with real torch (2.13.0, CPU; Python 3.11): `python make.py`. No test runs this."""

import argparse
import collections
import io
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SOURCE = "raise SystemExit('this text must never be run')\n"


def contents(torch):
    """One of everything that checkpoints hold."""
    grid = torch.arange(12.0).reshape(3, 4)
    line = torch.nn.Linear(2, 3)
    for parameter in line.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    optimiser = torch.optim.Adam(line.parameters(), lr=0.25)
    line(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return {
        "grid": grid,
        "view": grid.T[1:, ::2],
        "parameter": torch.nn.Parameter(grid[0]),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 3),
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "float16": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "float64": torch.tensor([1.5, -2.0], dtype=torch.float64),
        "int64": torch.tensor([1, -(2**40)]),
        "int8": torch.tensor([1, -2], dtype=torch.int8),
        "bool": torch.tensor([True, False]),
        "complex64": torch.tensor([1 + 2j]),
        "numpy": np.arange(6).reshape(2, 3).T,
        "numpy_empty": np.zeros((0, 3)),
        "numpy_text": np.array(["ab", "c"]),
        "numpy_scalar": np.float64(3.5),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "size": grid.shape,
        "set": {1, 2},
        "frozenset": frozenset([2]),
        "bytes": b"a\xff",
        "bytearray": bytearray(b"xy"),
        "complex": 1j,
        "integers": [0, -5, 300, 70_000, 2**40, -(2**70)],
        "floats": [0.1, float("inf")],
        "text": "é" * 300,
        "none": None,
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "namespace": argparse.Namespace(lr=0.1),
        "defaultdict": collections.defaultdict(dict, {1: {}}),
        "state_dict": line.state_dict(),
        "optimiser": optimiser.state_dict(),
    }


def main():
    import torch  # only here, so that tests can be collected without it

    everything = contents(torch)
    torch.save(everything, HERE / "legacy.pth", _use_new_zipfile_serialization=False)
    everything["uint16"] = torch.tensor([1, 65535], dtype=torch.uint16)
    everything["float8"] = torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn)
    torch.save(everything, HERE / "zip.pt")

    # Objects that pickle themselves with a source text, in modules of the authors' names but with code of our own.
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    sys.modules |= {name: types.ModuleType(name) for name in ("torch_utils", "dnnlib")}
    sys.modules |= {module.__name__: module for module in (persistence, util)}

    def _reconstruct_persistent_obj(meta):
        raise NotImplementedError

    class EasyDict(dict):
        pass

    for module, member in ((persistence, _reconstruct_persistent_obj), (util, EasyDict)):
        member.__module__, member.__qualname__ = module.__name__, member.__name__
        setattr(module, member.__name__, member)

    def reduce(self):
        state = dict(self.__dict__)
        meta = {"type": "class", "version": 6, "module_src": SOURCE}
        meta |= {"class_name": type(self).__name__, "state": state}
        return _reconstruct_persistent_obj, (meta,), None

    Layer = type("Layer", (torch.nn.Module,), {"__reduce__": reduce})
    EDMPrecond = type("EDMPrecond", (torch.nn.Module,), {"__reduce__": reduce})
    EDMLoss = type("EDMLoss", (), {"__reduce__": reduce})

    layer = Layer()
    layer.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    layer.bias = None
    layer.register_buffer("taps", torch.ones(1, 1, 2, 2) / 4)
    layer.register_buffer("hidden", torch.ones(1), persistent=False)
    layer.register_parameter("absent", None)
    net = EDMPrecond()
    net.sigma_data = 0.5
    net.model = Layer()
    net.model.enc = torch.nn.ModuleDict({"8x8_conv": layer})
    net._init_args, net._init_kwargs = (8,), {"img_channels": 3, "channel_mult": [1, 2], "use_fp16": False}
    loss = EDMLoss()
    loss.P_mean, loss.P_std = -1.2, 1.2
    data = {"ema": net.eval().requires_grad_(False), "loss_fn": loss, "augment_pipe": None}
    data["dataset_kwargs"] = EasyDict(class_name="training.dataset.ImageFolderDataset", resolution=8, p=np.float64(0.5))
    for protocol in (2, 4):
        (HERE / f"persistent_protocol{protocol}.pkl").write_bytes(pickle.dumps(data, protocol=protocol))

    # A program, not data: the reader must say so.
    program = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), program)
    (HERE / "torchscript.pt").write_bytes(program.getvalue())
    assert zipfile.is_zipfile(HERE / "torchscript.pt")


if __name__ == "__main__":
    main()
