"""A small training that monitors watch, and what TensorBoard shows of it: event files read by their own layout."""

import json
import struct

import numpy as np
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from jaxdiff.train import loop
from tests.support.least_squares import KEY, Poisoned, make


def picture(step, state):
    return np.full((4, 4, 3), step, np.uint8)


def train(folder, num_steps, monitors=(), preview=None, said=None, **schedule):
    step, state = make()
    schedule = loop.TrainSchedule(num_steps, **{"log_every": 2, "checkpoint_every": 4, **schedule})
    report = (lambda line: None) if said is None else said.append
    return loop.fit(
        step, state, Poisoned(), KEY, schedule, folder, {"a": 1}, report, monitors=monitors, preview=preview
    )


def lines(folder):
    """What metrics.jsonl holds."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(path):
    """All events of a file, each as length, checksum, event, checksum; the checksums are looked at."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = data[12 : 12 + length]
        for part, check in ((data[:8], data[8:12]), (event, data[12 + length : 16 + length])):
            assert struct.unpack("<I", check) == (masked_crc32c(part),)
        found.append(Event.FromString(event))
        data = data[16 + length :]
    return found


def shown(folder):
    """[(step, tag, value)] as TensorBoard shows them: a restart hides what was written of its step and later."""
    kept = []
    for path in sorted(folder.iterdir()):
        for event in events(path):
            if event.session_log.status == SessionLog.START:
                kept = [line for line in kept if line[0] < event.step]
            kept += [(event.step, value.tag, value) for value in event.summary.value]
    return kept


def scalars(folder, tag):
    """[(step, value)] of one curve."""
    return [(step, value.simple_value) for step, name, value in shown(folder) if name == tag]
