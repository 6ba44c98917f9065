"""Weights & Biases: its own client without network, and a false one that remembers what it was asked."""

import json
import struct
import sys
from types import SimpleNamespace

import pytest

from jaxdiff.train.weights_and_biases import run_id, weights_and_biases
from tests.support.monitored import lines, picture, train


class FalseRun:
    """A run as W&B keeps it: steps in order, what is late is refused."""

    def __init__(self, history):
        self.history = history
        self.step = max(history, default=-1) + 1
        self.finished = False

    def log(self, values, step):
        assert step >= max(self.history, default=0), "W&B would warn and drop it"
        self.history.setdefault(step, {}).update(values)
        self.step = step

    def finish(self):
        self.finished = True


@pytest.fixture
def service(monkeypatch):
    """Runs by their id, and the arguments of every `wandb.init`."""
    found = SimpleNamespace(histories={}, asked=[], runs=[])

    def init(**kwargs):
        found.asked.append(kwargs)
        found.runs.append(FalseRun(found.histories.setdefault(kwargs["id"], {})))
        return found.runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Image=lambda image: ("image", image)))
    return found


def test_all_lines_and_images_are_sent(tmp_path, service):
    train(tmp_path / "mine", 6, [weights_and_biases(tmp_path / "mine", "digits")], picture, grid_every=4)
    (asked,) = service.asked
    assert (asked["project"], asked["name"], asked["config"], asked["resume"]) == ("digits", "mine", {"a": 1}, "allow")
    assert "mode" not in asked, "W&B's own environment variables say it"
    (history,) = service.histories.values()
    kind, image = history[4].pop("samples")
    assert kind == "image"
    assert (image == 4).all()
    assert [{"step": step, **values} for step, values in history.items()] == lines(tmp_path / "mine")
    assert service.runs[0].finished


def test_a_resumed_run_is_the_same_run_with_each_step_once(tmp_path, service):
    """Killed after it had sent step 6, with a checkpoint of step 4."""

    class Killed(Exception):
        pass

    def preview(step, state):
        if step == 6:
            raise Killed
        return picture(step, state)

    with pytest.raises(Killed):
        train(tmp_path, 10, [weights_and_biases(tmp_path, "p")], preview, grid_every=2)
    sent = {step: dict(values) for step, values in next(iter(service.histories.values())).items()}
    train(tmp_path, 10, [weights_and_biases(tmp_path, "p")], picture, grid_every=2)
    first, second = service.asked
    assert first["id"] == second["id"]
    (history,) = service.histories.values()
    assert list(history) == [2, 4, 6, 8, 10]
    assert {step: history[step] for step in sent} == sent, "what was sent stays"
    losses = {line["step"]: line["loss"] for line in lines(tmp_path)}
    assert {step: values["loss"] for step, values in history.items()} == losses, "and is what came again"


def test_other_folders_are_other_runs(tmp_path):
    path = tmp_path / "a" / "run_id"
    assert run_id(path) == run_id(path) != run_id(tmp_path / "b" / "run_id")


def history(path):
    """[(step, values)] of a file of W&B's: records in blocks of 32 KiB, as LevelDB's log has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, part, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, part = Record.FromString(part), b""
            if record.WhichOneof("record_type") == "history":
                items = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                found.append((record.history.step.num, items))
    return found


def test_offline_by_its_own_client(tmp_path, monkeypatch):
    """W&B keeps a folder of each process, for `wandb sync`; together they are the run."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    said = []
    for num_steps in (4, 8):
        train(tmp_path, num_steps, [weights_and_biases(tmp_path, "digits")], picture, said, grid_every=4)
    wandb.teardown()  # as at the end of a process: its own process has then written everything
    assert not [line for line in said if "failed" in line]
    name = (tmp_path / "wandb" / "run_id").read_text().strip()
    files = sorted((tmp_path / "wandb").glob(f"offline-run-*/run-{name}.wandb"))
    assert len(files) == 2
    sent = [line for path in files for line in history(path)]
    assert [step for step, _ in sent] == [2, 4, 6, 8]
    for line in lines(tmp_path):
        values = dict(sent)[line["step"]]
        assert {name: values[name] for name in ("loss", "grad_norm")} == {k: line[k] for k in ("loss", "grad_norm")}
    assert [step for step, values in sent if "samples" in values] == [4, 8]
    assert len(list((tmp_path / "wandb").rglob("samples_*.png"))) == 2
