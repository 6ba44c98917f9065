"""Files made to harm: each ends in one typed error that names what was met, and nothing of it runs."""

import contextlib
import io
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.interop.edm import load_edm
from jaxdiff.interop.edm_pickle import read_edm
from jaxdiff.interop.formats import torch_file
from jaxdiff.interop.formats.plain_values import Allowance, CheckpointFormatError, measure
from jaxdiff.interop.formats.safe_pickle import load_pickle
from tests.support import forge
from tests.support.hostile import HOSTILE, SENTINEL

ARRAY = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize("read", [read_edm, load_edm, torch_file.load])
@pytest.mark.parametrize("case", HOSTILE)
def test_one_error_names_what_was_met(case, read, tmp_path, monkeypatch):
    content, named = HOSTILE[case]
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    modules, environment = set(sys.modules), dict(os.environ)
    if read is torch_file.load and case in ("zip", "torch file"):
        read(path)
    else:
        with pytest.raises(CheckpointFormatError) as caught:
            read(path)
        assert len(str(caught.value)) < 600
        if read is not torch_file.load and named:
            assert any(word in str(caught.value) for word in named.split("|")), caught.value
    assert os.listdir(tmp_path) == ["model.pkl"]
    assert all(name.startswith("encodings.") for name in set(sys.modules) - modules)  # of names in zip files
    assert dict(os.environ) == environment


def test_the_programs_would_have_run(tmp_path):
    """Python's own unpickler runs several of these files: they are hostile indeed."""
    for case in ("os.system", "posix.system", "subprocess.Popen", "builtins.exec", "getattr chain", "reduce chain"):
        folder = tmp_path / case
        folder.mkdir()
        (folder / "model.pkl").write_bytes(HOSTILE[case][0])
        code = "import pickle, time; x = pickle.load(open('model.pkl', 'rb')); getattr(x, 'get', str)('ema')"
        subprocess.run([sys.executable, "-c", code + "; time.sleep(0.2)"], cwd=folder, capture_output=True, check=False)
        assert (folder / SENTINEL).exists(), case


def test_a_small_file_takes_little_memory(tmp_path):
    """Whatever a file of a few kilobytes says, reading it stays within megabytes."""
    path = tmp_path / "model.pkl"
    for case, (content, _) in HOSTILE.items():
        if len(content) > 10_000:
            continue
        path.write_bytes(content)
        for read in (read_edm, torch_file.load):
            tracemalloc.start()
            with contextlib.suppress(CheckpointFormatError):
                read(path)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 20 << 20, case


def test_opcodes_are_counted():
    with pytest.raises(CheckpointFormatError, match="too many opcodes"):
        load_pickle(io.BytesIO(b"N0" * 100 + b"N."), {}, Allowance(0, opcodes=100))


def test_measure_counts_what_is_shared_as_often_as_it_occurs():
    leaf = [0] * 9
    tree = leaf
    for _ in range(10):
        tree = [tree, tree]
    assert measure(tree) == (2**10 * 10 + 2**10 - 1, 10)


def test_source_text_is_kept_as_text():
    path = Path(__file__).parents[1] / "data" / "persistent_protocol4.pkl"
    assert forge.SOURCE.encode() in path.read_bytes()
    assert forge.SOURCE not in str(read_edm(path))


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_truncation_is_an_error(protocol, tmp_path):
    layer = forge.persistent("Layer", forge.module_state({"weight": ARRAY}))
    state = forge.module_state(modules={"model": layer}, _init_args=(), _init_kwargs={"label_dim": 0})
    path, whole = tmp_path / "model.pkl", forge.dumps({"ema": forge.persistent("EDMPrecond", state)}, protocol)
    path.write_bytes(whole)
    assert list(read_edm(path).state_dict) == ["model.weight"]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointFormatError):
            read_edm(path)
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with contextlib.suppress(CheckpointFormatError):
            read_edm(path)
