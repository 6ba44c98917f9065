"""Traces of a few steps: where they are, what they hold, and that they stop nothing."""

import gzip
import json

import jax
import pytest

from tests.support.monitored import train


def test_a_trace_holds_the_steps_it_should(tmp_path):
    said = []
    train(tmp_path, 10, said=said, profile=3)
    assert f"steps 2 to 5 are traced in {tmp_path / 'profile'}" in said
    (xplane,) = (tmp_path / "profile" / "plugins" / "profile").rglob("*.xplane.pb")
    assert xplane.stat().st_size > 1_000
    (perfetto,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    events = json.loads(gzip.decompress(perfetto.read_bytes()))["traceEvents"]
    steps = {int(event["args"]["step_num"]) for event in events if event.get("name") == "train"}
    assert steps == {2, 3, 4}


@pytest.mark.parametrize(
    ("num_steps", "says"),
    [(1, "it begins after 2 dispatches, and training ended after 1"), (4, "steps 2 to 4 are traced")],
)
def test_a_training_that_ends_early_says_so(tmp_path, num_steps, says):
    said = []
    train(tmp_path, num_steps, said=said, profile=20)
    assert any(says in line for line in said), said


def test_a_profiler_that_is_in_use_stops_nothing(tmp_path):
    said = []
    with jax.profiler.trace(tmp_path / "other"):
        assert train(tmp_path / "run", 6, said=said, profile=2).step == 6
    assert any(line.startswith("no profile: ") and "training goes on" in line for line in said)
    assert list((tmp_path / "other").rglob("*.xplane.pb"))
