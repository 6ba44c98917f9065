"""A published model, forged from recorded values, sampled from its pickle and from its Orbax conversion."""

import sys

import numpy as np
import pytest

from experiments import convert, sample
from experiments.harness import cli
from tests.parity.test_checkpoints import READS, published
from tests.support import reference
from tests.support.tiers import full

FILES = reference.files(*READS)


def images(checkpoint, out, *flags):
    sample.main(sample.Config(checkpoint=checkpoint, num_steps=3, seeds="0-4", out=out, **dict(flags)))
    with np.load(out / "samples.npz") as file:
        return file["images"]


@pytest.mark.parametrize("path", [*FILES[:1], *full(*FILES[1:])], ids=reference.ids)
def test_pickle_and_conversion_draw_the_same_images(path, tmp_path):
    pickle = published(reference.load(path), tmp_path / "model.pkl")
    convert.main(convert.Config(pickle, tmp_path / "converted"))
    first = images(pickle, tmp_path / "a")
    assert first.shape[0] == 5
    assert first.std() > 0
    np.testing.assert_array_equal(first, images(tmp_path / "converted", tmp_path / "b"))
    churned = images(pickle, tmp_path / "c", ("sampler", "heun_churn"))
    assert not np.array_equal(first, churned)


@pytest.mark.parametrize(
    ("module", "flags", "says"),
    [
        (sample, ["--checkpoint", "absent.pkl"], "absent.pkl"),
        (sample, ["--checkpoint", "text.pkl"], ""),
        (sample, ["--checkpoint", "text.pkl", "--workdir", "."], "either"),
        (sample, [], "either"),
        (sample, ["--checkpoint", "."], "config.json"),
        (convert, ["--checkpoint", "text.pkl", "--out", "new"], ""),
        (convert, ["--checkpoint", "text.pkl", "--out", "."], "not empty"),
    ],
)
def test_refuses(module, flags, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pkl").write_text("import os; os.system('touch owned')")
    monkeypatch.setattr(sys, "argv", ["prog", *flags])
    with pytest.raises(SystemExit) as stop:
        cli.run(module.main, module.Config, prog="prog")
    error = capfd.readouterr().err.strip()
    assert stop.value.code == 2
    assert error.startswith("prog: error: ")
    assert len(error.splitlines()) == 1
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["text.pkl"]
