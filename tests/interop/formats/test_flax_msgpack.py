"""Msgpack checkpoints of Flax: what Flax wrote comes back, and whatever else is refused by name."""

import contextlib
import pickle
import struct
import tracemalloc

import flax.serialization
import jax
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import pytest

from jaxdiff.interop.formats import flax_msgpack
from jaxdiff.interop.formats.plain_values import CheckpointFormatError

RNG = np.random.default_rng(0)
DTYPES = [
    "float16", "float32", "float64", ml_dtypes.bfloat16, "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "complex64",
]  # fmt: skip
TREE = {
    "step": 700_001,
    "lr": 2e-4,
    "ema_rate": np.float32(0.999),
    "rng": np.array([0, 42], np.uint32),
    "model_state": {},
    "params_ema": {"Conv_0": {"kernel": RNG.normal(size=(3, 3, 2, 4)).astype(np.float32), "bias": np.zeros(4)}},
    "optimizer": {
        "target": {"all": {str(np.dtype(dtype)): RNG.integers(0, 2, (2, 3)).astype(dtype) for dtype in DTYPES}},
        "state": {
            "step": np.array(7),
            "empty": np.zeros((0, 5)),
            "param_states": {"0": None, "1": [1, 2.5, "x", b"y"]},
        },
    },
    "complex": 1.5 - 2j,
    "flag": True,
}


def written(tmp_path, content):
    path = tmp_path / "checkpoint_8"
    path.write_bytes(content)
    return path


def equal(actual, expected):
    """The same containers, types and bits."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert type(a) is type(b)
        if isinstance(b, np.ndarray | np.generic):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_what_flax_wrote_comes_back(tmp_path):
    equal(flax_msgpack.load(written(tmp_path, flax.serialization.msgpack_serialize(TREE))), TREE)


def test_arrays_of_jax(tmp_path):
    tree = {"a": jnp.arange(3), "b": jnp.ones((2, 2), jnp.bfloat16)}
    loaded = flax_msgpack.load(written(tmp_path, flax.serialization.to_bytes(tree)))
    equal(loaded, jax.tree.map(np.asarray, tree))


@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16])
def test_chunked_arrays(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 40)
    tree = {"params": {"big": np.arange(105).reshape(3, 5, 7).astype(dtype), "small": np.ones(2, np.int8)}}
    content = flax.serialization.msgpack_serialize(tree)
    assert flax_msgpack.CHUNKED.encode() in content
    equal(flax_msgpack.load(written(tmp_path, content)), tree)


def packed(shape, dtype, data, code=1):
    """One entry as Flax writes it, or nearly so."""
    return msgpack.ExtType(code, msgpack.packb((shape, dtype, data)))


def chunked(shape, chunks, flag=True, **more):
    """An array in chunks as Flax writes it, or nearly so."""
    return {flax_msgpack.CHUNKED: flag, "shape": shape, "chunks": chunks, **more}


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 0


FLAT = packed([2], "float32", bytes(8))
BAD_ENTRIES = {
    "foreign extension": (msgpack.ExtType(5, b"\x00"), "extension 5"),
    "timestamp": (msgpack.Timestamp(0), "Timestamp, which Flax does not write"),
    "object dtype": (packed([1], "object", bytes(8)), "dtype b'object'"),
    "dtype code": (packed([1], "O", bytes(8)), "dtype b'O'"),
    "structured dtype": (packed([1], "f4,f4", bytes(8)), "dtype b'f4,f4'"),
    "text dtype": (packed([1], "<U2", bytes(8)), "dtype b'<U2'"),
    "dtype not ascii": (packed([1], "fläche", bytes(8)), "dtype b'fl"),
    "negative size": (packed([-1], "float32", bytes(8)), "a size, stride or offset is -1"),
    "two negative sizes": (packed([-1, -2], "float32", bytes(8)), "wrong shape"),
    "size is a float": (packed([2.0], "float32", bytes(8)), "wrong shape"),
    "size is a bool": (packed([True], "float32", bytes(4)), "wrong shape"),
    "huge size": (packed([1 << 40], "float32", bytes(8)), "8 bytes for shape"),
    "huge sizes": (packed([1 << 47, 1 << 47], "float32", bytes(8)), "8 bytes for shape"),
    "huge and empty": (packed([0, 1 << 47, 1 << 47], "float32", b""), "0 bytes for shape"),
    "size beyond 48 bits": (packed([0, 1 << 60], "float32", b""), "wrong shape"),
    "too many dimensions": (packed([1] * 50, "float32", bytes(4)), "4 bytes for shape"),
    "far too many dimensions": (packed([1] * 500, "float32", bytes(4)), "exceeds max_array_len"),
    "bytes are missing": (packed([3], "float32", bytes(8)), "8 bytes for shape [3]"),
    "bytes are too many": (packed([1], "float32", bytes(8)), "8 bytes for shape [1]"),
    "pickle for bytes": (msgpack.ExtType(1, pickle.dumps(np.zeros(2))), "msgpack"),
    "no triple": (msgpack.ExtType(1, msgpack.packb([1, 2])), "list of 2"),
    "nothing": (msgpack.ExtType(1, b""), "incomplete"),
    "extension within": (msgpack.ExtType(1, msgpack.packb([[1], "float32", msgpack.ExtType(1, b"")])), "list of 3"),
    "scalar with a shape": (packed([2], "float32", bytes(8), code=3), "scalar of shape [2]"),
    "half a complex number": (msgpack.ExtType(2, msgpack.packb([1.0])), "no complex number"),
    "complex text": (msgpack.ExtType(2, msgpack.packb(["1", "2"])), "no complex number"),
    "nested": (nested(150), "nested too deeply"),
    "chunks: wrong flag": (chunked({"0": 2}, {"0": FLAT}, flag=1.5), "no map of a chunked array"),
    "chunks: none": (chunked({"0": 0}, {}), "no map of a chunked array"),
    "chunks: more keys": (chunked({"0": 2}, {"0": FLAT}, extra=1), "no map of a chunked array"),
    "chunks: a list": (chunked([2], {"0": FLAT}), "no map of a chunked array"),
    "chunks: a gap": (chunked({"0": 4}, {"0": FLAT, "2": FLAT}), "keys are not 0, 1"),
    "chunks: wrong size": (chunked({"0": 5}, {"0": FLAT, "1": FLAT}), "16 bytes for shape [5]"),
    "chunks: huge": (chunked({"0": 1 << 40}, {"0": FLAT}), "8 bytes for shape"),
    "chunks: negative": (chunked({"0": -2}, {"0": FLAT}), "wrong shape"),
    "chunks: no arrays": (chunked({"0": 1}, {"0": 1}), "chunks that are not flat arrays"),
    "chunks: not flat": (chunked({"0": 2}, {"0": packed([1, 2], "float32", bytes(8))}), "chunks that are not flat"),
    "chunks: two dtypes": (
        chunked({"0": 4}, {"0": FLAT, "1": packed([2], "int32", bytes(8))}),
        "chunks that are not flat arrays of one dtype",
    ),
}


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_errors_name_the_file_and_the_entry(case, tmp_path):
    entry, says = BAD_ENTRIES[case]
    path = written(tmp_path, msgpack.packb({"fine": 1, "params": {"bad": entry}}))
    with pytest.raises(CheckpointFormatError) as caught:
        flax_msgpack.load(path)
    assert "checkpoint_8: 'params/" in str(caught.value)
    assert "bad" in str(caught.value) or case == "nested"
    assert says in str(caught.value), caught.value
    assert len(str(caught.value)) < 600


BAD_FILES = {
    "empty": (b"", "is empty"),
    "pickle": (pickle.dumps({"params": np.zeros(2)}), "msgpack"),
    "pickle, protocol 0": (b"cos\nsystem\n(S'true'\ntR.", "msgpack"),
    "zip": (b"PK\x03\x04" + bytes(100), "msgpack"),
    "no map": (msgpack.packb([1, 2]), "holds list of 2, no map"),
    "a bare array": (flax.serialization.msgpack_serialize(np.zeros(2)), "holds ndarray, no map"),
    "two values": (msgpack.packb({}) * 2, "extra data"),
    "key is a number": (msgpack.packb({1: 2}), "a key is 1"),
    "key is bytes": (msgpack.packb({b"a": 2}), "a key is b'a'"),
    "key is a list": (b"\x81\x90\x01", "a key is list of 0"),
    "key twice": (b"\x82\xa1a\x01\xa1a\x02", "a key is 'a', which is no text or occurs twice"),
    "text not utf-8": (b"\x81\xa1a\xa1\xff", "msgpack"),
    "reserved byte": (b"\x81\xa1a\xc1", "FormatError"),
    "long list": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "max_array_len"),
    "long map": (b"\x81\xa1a\xdf\xff\xff\xff\xff", "max_map_len"),
    "long bytes": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "incomplete"),
    "long extension": (b"\x81\xa1a\xc9\xff\xff\xff\xff\x01", "incomplete|max_ext_len"),
    "deep": (b"\x81\xa1a" + b"\x91" * 5000, "StackError"),
    "wide and deep": (b"\x81\xa1a" + b"\xdd\x00\x00\x06\x00" * 400, "incomplete"),
    "many maps": (b"\x81\xa1a" + (b"\xdc\x40\x00" + (b"\xdc\x00\x80" + b"\x80" * 128) * 16384)[: 3 << 20], "entries"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_none(case, tmp_path):
    content, says = BAD_FILES[case]
    with pytest.raises(CheckpointFormatError) as caught:
        flax_msgpack.load(written(tmp_path, content))
    assert case == "empty" or str(caught.value).startswith("checkpoint_8: ")
    assert any(word in str(caught.value) for word in says.split("|")), caught.value


def test_truncated_anywhere(tmp_path):
    content = flax.serialization.msgpack_serialize({"params": {"a": np.arange(6.0), "b": 3}, "step": np.float32(2)})
    for length in range(1, len(content)):
        with pytest.raises(CheckpointFormatError, match="checkpoint_8"):
            flax_msgpack.load(written(tmp_path, content[:length]))


def test_flipped_bytes_raise_nothing_else(tmp_path):
    content = flax.serialization.msgpack_serialize({"params": {"a": np.arange(6.0), "b": 3}, "step": np.float32(2)})
    for place in range(len(content)):
        for value in (0x00, 0x7F, 0x80, 0xC1, 0xC9, 0xDD, 0xFF):
            path = written(tmp_path, content[:place] + bytes([value]) + content[place + 1 :])
            with contextlib.suppress(CheckpointFormatError):
                flax_msgpack.load(path)


def test_a_small_file_takes_little_memory(tmp_path):
    """NumPy's and Python's allocations, whatever sizes a header promises."""
    files = [content for content, _ in BAD_FILES.values() if len(content) < 10_000]
    files += [msgpack.packb({"bad": entry}) for entry, _ in BAD_ENTRIES.values()]
    files.append(b"\x81\xa1a\xc7\x00\x01" + struct.pack(">I", 1 << 31))
    for content in files:
        path = written(tmp_path, content)
        tracemalloc.start()
        with contextlib.suppress(CheckpointFormatError):
            flax_msgpack.load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 << 20
