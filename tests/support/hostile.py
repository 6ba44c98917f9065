"""Files made to harm, and files that are no checkpoint: each with what the error must name."""

import os
import pickle
import struct

import numpy as np

from tests.support import forge

SENTINEL = "JAXDIFF_TEST_SENTINEL"  # the file that a hostile program would leave
RUN = f"open({SENTINEL!r}, 'w').close()"


def call(module, name, *args):
    """module.name(*args), hidden in an otherwise honest file."""
    return forge.dumps({"ema": forge.Call(forge.Name(module, name), *args)})


def inner(module, name, *args):
    """The same in a storage's stream of its own."""
    stream = forge.legacy(forge.Call(forge.Name(module, name), *args))
    return forge.dumps({"ema": forge.Call(forge.Name("torch.storage", "_load_from_bytes"), stream)})


def with_state(function, state, *args, new=False):
    return forge.dumps({"ema": forge.Call(function, *args, new=new, state=state)})


def chained():
    """getattr(builtins.__import__("os"), "system")(...)."""
    module = forge.Call(forge.Name("builtins", "__import__"), "os")
    system = forge.Call(forge.Name("builtins", "getattr"), module, "system")
    return forge.dumps({"ema": forge.Call(system, f"touch {SENTINEL}")})


class Chosen:
    """What an attacker writes in Python itself."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def laughs(make, levels=100):
    """A small file for 2^levels items: each holds the one before twice."""
    lines = [b"\x80\x04", pickle.NONE, pickle.MEMOIZE]
    for level in range(levels):
        lines.append(make(b"h" + bytes([level])) + pickle.MEMOIZE)
    return b"".join(lines) + b"."


def encodings():
    """A long text is stored once and converted again and again: each time costs the file a few bytes."""
    program = b"\x80\x04c_codecs\nencode\n\x940X" + struct.pack("<I", 10_000) + b"x" * 10_000
    return program + b"\x8c\x06latin1\x86\x940]" + b"h\x00h\x01Ra" * 10_000 + b"."


def tensor(offset, size, stride):
    """A view of four numbers."""
    return forge.dumps(forge.Call(TENSOR, STORAGE, offset, size, stride, False, {}))


def model(state, **changes):
    """A published model in which one thing is wrong."""
    return forge.dumps({"ema": forge.persistent("EDMPrecond", state, **changes)})


def nested(opcode, levels):
    return b"\x80\x04N" + opcode * levels + b"."


def parsed(size, opcode, length):
    """An opcode that announces far more bytes than follow."""
    return b"\x80\x04" + opcode + struct.pack(size, length) + b"abc."


NAME, ARRAY, STATE = forge.Name, np.arange(4, dtype=np.float32), forge.module_state()
TENSOR = NAME("torch._utils", "_rebuild_tensor_v2")
OBJECTS = forge.Call(NAME("numpy", "dtype"), "O8")
STORAGE = forge.Call(NAME("torch.storage", "_load_from_bytes"), forge.legacy(forge.Stored("0", ARRAY)))
DTYPE = forge.Call(NAME("numpy", "dtype"), "f4", False, True, state=(3, "<", None, None, None, -1, -1, 0))
EMPTY = (NAME("numpy._core.multiarray", "_reconstruct"), NAME("numpy", "ndarray"), (0,), b"b")
CHILD = forge.persistent("Layer", forge.module_state({"b": ARRAY}))

# Name -> (file, what the error must name).
HOSTILE = {
    # Calls.
    "os.system": (call("os", "system", f"touch {SENTINEL}"), "'os.system'"),
    "posix.system": (call("posix", "system", f"touch {SENTINEL}"), "'posix.system'"),
    "nt.system": (call("nt", "system", f"touch {SENTINEL}"), "'nt.system'"),
    "subprocess.Popen": (call("subprocess", "Popen", ["touch", SENTINEL]), "'subprocess.Popen'"),
    "builtins.eval": (call("builtins", "eval", RUN), "'builtins.eval'"),
    "builtins.exec": (call("builtins", "exec", RUN), "'builtins.exec'"),
    "builtins.compile": (call("builtins", "compile", RUN, "x", "exec"), "'builtins.compile'"),
    "builtins.open": (call("builtins", "open", SENTINEL, "w"), "'builtins.open'"),
    "python 2 eval": (b"c__builtin__\neval\n(S'1'\ntR.", "'__builtin__.eval'"),
    "getattr chain": (chained(), "'builtins.getattr'"),
    "getattr of what is allowed": (call("builtins", "getattr", NAME("numpy", "dtype"), "x"), "'builtins.getattr'"),
    "dotted name": (call("torch", "_utils.os.system", "true"), "'torch._utils.os.system'"),
    "operator.attrgetter": (call("operator", "attrgetter", "system"), "'operator.attrgetter'"),
    "functools.partial": (call("functools", "partial", NAME("os", "system")), "'functools.partial'"),
    "importlib": (call("importlib", "import_module", "antigravity"), "'importlib.import_module'"),
    "runpy": (call("runpy", "run_path", SENTINEL), "'runpy.run_path'"),
    "pickle.loads": (call("pickle", "loads", b"cos\nsystem\n."), "'pickle.loads'"),
    "torch.load": (call("torch", "load", "x"), "'torch.load'"),
    "numpy.load": (call("numpy", "load", "x"), "'numpy.load'"),
    "import side effect": (b"\x80\x04\x8c\x0bantigravity\x8c\x01x\x93.", "'antigravity.x'"),
    "written by pickle": (pickle.dumps({"ema": Chosen(os.system, (f"touch {SENTINEL}",))}), "system'"),
    "reduce chain": (pickle.dumps(Chosen(eval, (Chosen(str, (RUN,)),))), "'builtins.eval'"),
    "call of a result": (forge.dumps(forge.Call(forge.Call(NAME("collections", "OrderedDict")), 1)), "dict of 0"),
    "call of text": (b"\x80\x04\x8c\x09os.system\x8c\x04true\x85R.", "'os.system'"),
    "call of what is not callable": (call("numpy", "ndarray", (10**12,)), "'numpy.ndarray'"),
    "arguments are no tuple": (b"cnumpy\ndtype\n]R.", "'numpy.dtype'"),
    "inner os.system": (inner("os", "system", f"touch {SENTINEL}"), "'os.system'"),
    "inner inner": (inner("torch.storage", "_load_from_bytes", b"cos\nsystem\n."), "'torch.storage._load_from_bytes'"),
    "inner without a head": (call("torch.storage", "_load_from_bytes", b"cos\nsystem\n."), "'os.system'"),
    "inner of text": (call("torch.storage", "_load_from_bytes", "text"), "_load_from_bytes"),
    # Opcodes and state.
    "INST": (b"(S'true'\nios\nsystem\n.", "INST 'os system'"),
    "OBJ": (b"(cos\nsystem\nS'true'\no.", "'os.system'"),
    "OBJ of what is allowed": (b"(cnumpy\ndtype\nS'f4'\no.", "OBJ"),
    "NEWOBJ": (forge.dumps(forge.Call(NAME("os", "_wrap_close"), new=True)), "'os._wrap_close'"),
    "NEWOBJ_EX": (b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93)}\x92.", "NEWOBJ_EX"),
    "EXT1": (b"\x80\x02\x82\x01.", "EXT1 1"),
    "EXT2": (b"\x80\x02\x83\x01\x01.", "EXT2 257"),
    "EXT4": (b"\x80\x02\x84\x01\x01\x01\x01.", "EXT4 16843009"),
    "PERSID": (b"Pid\n.", "PERSID 'id'"),
    "BINPERSID": (b"\x8c\x02idQ.", "persistent id 'id'"),
    "NEXT_BUFFER": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "unknown opcode": (b"\x80\x04\xff.", "opcode b'\\xff' unknown"),
    "BUILD a list": (b"\x80\x04]}\x8c\x0c__setstate__c__builtin__\neval\nsb.", "'__builtin__.eval'"),
    "BUILD over __class__": (b"\x80\x04]}\x8c\x09__class__Nsb.", "sets the state of list of 0"),
    "BUILD twice": (b"cargparse\nNamespace\n)R}b}b.", "'argparse.Namespace'"),
    "BUILD a name": (b"cnumpy\ndtype\n}\x8c\x0a__reduce__Nsb.", "sets the state of 'numpy.dtype'"),
    "object array": (with_state(EMPTY[0], (1, (1,), OBJECTS, False, [1]), *EMPTY[1:]), "'O8'"),
    "structured dtype": (call("numpy", "dtype", [("a", "O")]), "list of 1"),
    "array of another class": (call(*EMPTY[0], NAME("numpy", "dtype"), *EMPTY[2:]), "'numpy.dtype'"),
    "array too large": (with_state(EMPTY[0], (1, (10**12,), DTYPE, False, b"1234"), *EMPTY[1:]), "numpy.ndarray"),
    "array with negative length": (with_state(EMPTY[0], (1, (-1,), DTYPE, False, b"1234"), *EMPTY[1:]), "offset is -1"),
    "big-endian": (with_state(NAME("numpy", "dtype"), (3, ">", None, None, None, -1, -1, 0), "f4"), "DType"),
    "EXT by copyreg": (call("copyreg", "add_extension", "os", "system", 1), "'copyreg.add_extension'"),
    "append to a dict": (b"}Na.", "dict of 0"),
    "set item of a list": (b"]NNs.", "list of 0"),
    "add to a list": (b"\x80\x04](N\x90.", "list of 0"),
    "unhashable key": (b"}]Ns.", "a key is list of 0"),
    "long key": (b"\x80\x04}(" + b"N" * 100 + b"tNs.", "a key is tuple of 100"),
    "odd items": (b"}(Nu.", "1 items"),
    "stack underflow": (b"0.", "a mark that it did not open"),
    "tuple underflow": (b"\x80\x02N\x86.", "empty stack"),
    "memo never stored": (b"h\x07.", "memo 7"),
    "name of a number": (b"\x80\x04K\x01K\x02\x93.", "'1.2'"),
    # Size.
    "BINBYTES8": (parsed("<Q", pickle.BINBYTES8, 2**62), "not a whole pickle"),
    "BINBYTES8 beyond": (parsed("<Q", pickle.BINBYTES8, 2**64 - 1), "not a whole pickle"),
    "BINUNICODE8": (parsed("<Q", pickle.BINUNICODE8, 2**62), "not a whole pickle"),
    "BYTEARRAY8": (parsed("<Q", pickle.BYTEARRAY8, 2**62), "not a whole pickle"),
    "BINBYTES": (parsed("<I", pickle.BINBYTES, 2**32 - 1), "not a whole pickle"),
    "LONG4": (parsed("<i", pickle.LONG4, 2**31 - 1), "not a whole pickle"),
    "LONG4 negative": (parsed("<i", pickle.LONG4, -1), "not a whole pickle"),
    "FRAME": (parsed("<Q", pickle.FRAME, 2**62), "empty stack"),
    "large integer": (pickle.dumps(1 << 4000), "4001 bits"),
    "long decimal": (b"I" + b"9" * 100_000 + b"\n.", "not a whole pickle"),
    "tensor of 2^62": (tensor(0, (2**62,), (1,)), "4611686018427387904"),
    "tensor by stride 0": (tensor(0, (2**40,), (0,)), "storage that has 4"),
    "offset": (tensor(9, (1,), (1,)), "at 9"),
    "bytearray(10**12)": (call("builtins", "bytearray", 10**12), "'builtins.bytearray'|1000000000000"),
    "text type of 10^9": (call("numpy", "dtype", "U999999999"), "'U999999999'"),
    "encode again and again": (encodings(), "more than a file of its size can hold"),
    "nested lists": (b"\x80\x04N" + b"".join(b"q\x000]h\x00a" for _ in range(5000)) + b".", "nested too deeply"),
    "nested tuples": (nested(b"\x85", 100_000), "nested too deeply"),
    "nested tuple as key": (b"\x80\x04}N" + b"\x85" * 100_000 + b"Ns.", "a key is tuple of 1"),
    "nested marks": (b"\x80\x04" + b"(" * 100_000 + b".", "empty stack"),
    "nested dicts": (b"\x80\x04" + b"}K\x01" * 5000 + b"N" + b"s" * 5000 + b".", "nested too deeply"),
    "list in itself": (b"\x80\x04]\x94h\x00a.", "holds itself"),
    "record in itself": (b"cargparse\nNamespace\n)R\x94}K\x01h\x00sb.", "holds itself"),
    "billion laughs, tuples": (laughs(lambda last: last * 2 + b"\x86"), "repeats itself"),
    "billion laughs, lists": (laughs(lambda last: b"](" + last * 9 + b"e"), "repeats itself"),
    "billion laughs, dicts": (laughs(lambda last: b"}(K\x00" + last + b"K\x01" + last + b"u"), "repeats itself"),
    # What is no such model.
    "empty": (b"", "is empty"),
    "text": (b"Hello, this is not a checkpoint.\n", "memo|unknown|not a whole pickle"),
    "zip": (forge.zipped({}), "zip file"),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "empty stack|opcode|memo"),
    "torch file": (forge.legacy({"a": ARRAY}), "holds 119547037146038801333356|int"),
    "a list": (forge.dumps([1, 2]), "'ema'"),
    "no model": (forge.dumps({"net": 1, "D": 2}), "'ema'"),
    "a state dict": (forge.dumps({"ema": {"a": ARRAY}}), "dict of 1"),
    "foreign model": (forge.dumps({"ema": forge.persistent("Generator", STATE)}), "'Generator'"),
    "wrong version": (model(STATE, version=5), "version 5"),
    "no version": (model(STATE, version=None), "version None"),
    "wrong type": (model(STATE, type="function"), "'module_src'"),
    "no state": (model(None), "'state'"),
    "no source": (model(STATE, module_src=None), "'module_src'"),
    "no arguments": (model(STATE), "records no arguments"),
    "no parts": (model({"_init_kwargs": {}}), "not a module"),
    "a part of text": (model(forge.module_state({"a": "x"})), "'a'"),
    "a child of text": (model(forge.module_state(modules={"a": "x"})), "not a module"),
    "one name twice": (model(forge.module_state({"a.b": ARRAY}, modules={"a": CHILD})), "'a.b'"),
}  # fmt: skip
