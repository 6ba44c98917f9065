"""`torch_file.load` on files that torch wrote and on files written here in its layout."""

import contextlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jaxdiff.interop.formats import torch_file
from jaxdiff.interop.formats.plain_values import CheckpointFormatError, Global, Record
from tests.support import forge

DATA = Path(__file__).parents[1] / "data"
GRID = np.arange(12, dtype=np.float32).reshape(3, 4)
ARRAYS = {
    "grid": GRID,
    "view": GRID.T[1:, ::2],
    "parameter": GRID[0],
    "scalar": np.array(3, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
    "float16": np.array([1.5, -2], np.float16),
    "float64": np.array([1.5, -2]),
    "int64": np.array([1, -(2**40)]),
    "int8": np.array([1, -2], np.int8),
    "bool": np.array([True, False]),
    "complex64": np.array([1 + 2j], np.complex64),
    "numpy": np.arange(6).reshape(2, 3).T,
    "numpy_empty": np.zeros((0, 3)),
    "numpy_text": np.array(["ab", "c"]),
}
PLAIN = {
    "numpy_scalar": np.float64(3.5),
    "dtype": Global("torch.float32"),
    "size": (3, 4),
    "set": {1, 2},
    "frozenset": frozenset([2]),
    "bytes": b"a\xff",
    "bytearray": b"xy",
    "complex": 1j,
    "integers": [0, -5, 300, 70_000, 2**40, -(2**70)],
    "floats": [0.1, float("inf")],
    "text": "é" * 300,
    "none": None,
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "defaultdict": {1: {}},
}
NEW = {
    "uint16": np.array([1, 65535], np.uint16),
    "float8": np.array([1.5, -2], ml_dtypes.float8_e4m3fn),
}


def same(value, expected):
    assert value.dtype == expected.dtype
    assert value.shape == expected.shape
    assert (value == expected).all()


@pytest.mark.parametrize(("name", "arrays"), [("zip.pt", ARRAYS | NEW), ("legacy.pth", ARRAYS)])
def test_what_torch_wrote(name, arrays):
    loaded = torch_file.load(DATA / name)
    for key, expected in arrays.items():
        same(loaded.pop(key), expected)
    for key, expected in PLAIN.items():
        value = loaded.pop(key)
        assert value == expected
        assert type(value) is type(expected)
    namespace, device = loaded.pop("namespace"), loaded.pop("device")
    assert isinstance(namespace, Record)
    assert (namespace.name, namespace.state) == ("argparse.Namespace", {"lr": 0.1})
    assert (device.name, device.args) == ("torch.device", ("cpu",))
    optimiser, weights = loaded.pop("optimiser"), loaded.pop("state_dict")
    # The gradient of the sum is 1, and Adam's first step has the size of its rate.
    np.testing.assert_allclose(weights["weight"], np.full((3, 2), 0.25), rtol=1e-6)
    np.testing.assert_allclose(optimiser["state"][1]["exp_avg"], np.full(3, 0.1), rtol=1e-6)
    assert optimiser["param_groups"][0]["lr"] == 0.25
    assert not loaded


def test_views_share_their_storage():
    loaded = torch_file.load(DATA / "legacy.pth")
    assert np.shares_memory(loaded["grid"], loaded["view"])
    assert not np.shares_memory(loaded["grid"], loaded["float64"])


@pytest.mark.parametrize("write", [forge.zipped, forge.legacy])
def test_round_trip(write, tmp_path):
    path = tmp_path / "model.pt"
    arrays = {dtype: np.arange(24).reshape(2, 3, 4).astype(dtype) for dtype in forge.STORAGE}
    path.write_bytes(write({"model": arrays, "step": 3, "scalar": np.array(2.5)}))
    loaded = torch_file.load(path)
    assert loaded["step"] == 3
    same(loaded["scalar"], np.array(2.5))
    for dtype, array in arrays.items():
        same(loaded["model"][dtype], array)


@pytest.mark.parametrize("write", [forge.zipped, forge.legacy])
def test_every_truncation_is_an_error(write, tmp_path):
    path, whole = tmp_path / "model.pt", write({"a": np.arange(3, dtype=np.float32)})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointFormatError):
            torch_file.load(path)


@pytest.mark.parametrize("write", [forge.zipped, forge.legacy, forge.dumps])
def test_every_changed_byte_is_read_or_an_error(write, tmp_path):
    path, whole = tmp_path / "model.pt", write({"a": np.arange(3, dtype=np.float32), "b": [1, {"c": (2, None)}]})
    for position in range(len(whole)):
        for value in (0, 0x2E, 0x52, 0x63, 0xFF, whole[position] ^ 1):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            with contextlib.suppress(CheckpointFormatError):
                torch_file.load(path)


def tensor(size, stride, offset=0, array=GRID):
    storage = forge.Stored("0", array.ravel())
    return forge.Call(forge.Name("torch._utils", "_rebuild_tensor_v2"), storage, offset, size, stride, False, {})


HUGE = 2**47
BAD_TENSORS = {
    "beyond the end": (tensor((3, 5), (4, 1)), "of a storage that has 12"),
    "offset beyond the end": (tensor((1,), (1,), 12), "needs 13 elements"),
    "negative offset": (tensor((1,), (1,), -1), "offset is -1"),
    "negative stride": (tensor((2,), (-1,), 1), "offset is -1"),
    "negative size": (tensor((-1,), (1,)), "offset is -1"),
    "huge by stride 0": (tensor((HUGE, HUGE), (0, 0)), "elements"),
    "huge and empty": (tensor((0, HUGE, HUGE, HUGE), (0, 0, 0, 0)), "_rebuild_tensor_v2"),
    "sizes that overflow": (tensor((2**62, 4), (4, 1)), "4611686018427387904"),
    "size is text": (tensor("ab", (1, 1)), "'a'"),
    "too few strides": (tensor((2, 2), (1,)), "tuple of 2"),
    "storage is a list": (
        forge.Call(forge.Name("torch._utils", "_rebuild_tensor_v2"), [1], 0, (1,), (1,), False, {}),
        "list of 1",
    ),
    "too few arguments": (forge.Call(forge.Name("torch._utils", "_rebuild_tensor_v2"), 1), "_rebuild_tensor_v2"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_stay_inside_their_storage(case, tmp_path):
    value, message = BAD_TENSORS[case]
    path = tmp_path / "model.pt"
    # The storage is in the file, so that only the view is wrong.
    path.write_bytes(forge.zipped([value], extra=[("archive/data/0", GRID.tobytes())]))
    with pytest.raises(CheckpointFormatError, match=message):
        torch_file.load(path)
    path.write_bytes(forge.zipped([tensor((3, 4), (4, 1))], extra=[("archive/data/0", GRID.tobytes())]))
    same(torch_file.load(path)[0], GRID)


BAD_ZIPS = {
    "traversal": (forge.zipped({}, extra=[("archive/../../etc/passwd", b"x")]), "'archive/../../etc/passwd'"),
    "absolute": (forge.zipped({}, extra=[("/etc/passwd", b"x")]), "'/etc/passwd'"),
    "backslash": (forge.zipped({}, extra=[("archive/..\\x", b"x")]), "member 'archive/.."),
    "two roots": (forge.zipped({}, extra=[("other/x", b"x")]), "'other/x'"),
    "bomb": (forge.zipped({}, extra=[("archive/data/0", bytes(10**7))], compression=8), "compressed"),
    "no pickle": (forge.zipped({}).replace(b"data.pkl", b"date.pkl"), "without data.pkl"),
    "big-endian": (forge.zipped({}).replace(b"byteorder", b"byteOrder"), None),
    "missing storage": (forge.zipped([tensor((3, 4), (4, 1))]), "no member 'archive/data/0'"),
    "storage too short": (
        forge.zipped([tensor((3, 4), (4, 1))], extra=[("archive/data/0", b"1234")]),
        "no member 'archive/data/0' of 12 float32",
    ),
    "hostile pickle": (forge.zipped({}, data=b"cos\nsystem\n(S'true'\ntR."), "'os.system'"),
    "TorchScript": ((DATA / "torchscript.pt").read_bytes(), "TorchScript"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_zip_files(case, tmp_path):
    content, message = BAD_ZIPS[case]
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    if message is None:
        assert torch_file.load(path) == {}
        return
    with pytest.raises(CheckpointFormatError) as caught:
        torch_file.load(path)
    assert message in str(caught.value)


def test_members_that_overlap(tmp_path):
    """Many names for one stretch of bytes would let a small file unfold into a large one."""
    content = bytearray(forge.zipped({}, extra=[(f"archive/data/{i}", bytes(3000)) for i in range(3)]))
    path = tmp_path / "model.pt"
    # Shrink the file behind the directory's back: each member claims far more than there is.
    start = content.index(b"PK\x01\x02")
    for _ in range(6):
        content[start + 20 : start + 28] = (10**6).to_bytes(4, "little") * 2
        start = content.find(b"PK\x01\x02", start + 4)
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointFormatError, match="claims more bytes"):
        torch_file.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_file.load(tmp_path / "none.pt")
