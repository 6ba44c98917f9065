"""TensorBoard's event files, written by tensorboardX (the extra `tensorboard`) without TensorFlow."""

import importlib
import json
import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.imports import needs
from jaxdiff.train.monitor import MonitorFactory


def tensorboard(folder: Path) -> MonitorFactory:
    """Make a monitor for `loop.fit`: scalars, images and the config as text, in an event file a process.

    `tensorboard --logdir FOLDER`, or the folder of many runs, shows them.

    Args:
      folder: gets the event files; made when the monitor is opened.
    Raises: MissingExtra where tensorboardX is not installed.
    Example:
      >>> tensorboard(Path("runs/mine/tensorboard")).name
      'TensorBoard'
    """
    with needs("tensorboard", __name__):
        importlib.import_module("tensorboardX")
    return MonitorFactory("TensorBoard", partial(EventFile, folder))


class EventFile:
    """One event file, flushed at every record, so that it is on the disk.

    Args:
      folder: gets the file.
      done: the step that the run goes on from.
      config: is shown as text.
    Raises: OSError when it cannot be written, then or later.
    """

    # Not tensorboardX's SummaryWriter: its thread dies of a full disk, and its queue of ten would then block training.
    def __init__(self, folder: Path, done: int, config: dict[str, Any]) -> None:
        from tensorboardX import RecordWriter, summary
        from tensorboardX.proto.event_pb2 import SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        # In the order of time, as TensorBoard reads them; never a name that another process has.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{done}"
        self.file = RecordWriter(str(folder / name))
        self._write(file_version="brain.Event:2")
        # tensorboardX's purge_step: an earlier process may have written steps that were not saved and come again.
        self._write(step=done + 1, session_log=SessionLog(status=SessionLog.START))
        text = "\n".join("    " + line for line in json.dumps(config, indent=2).splitlines())  # code, in Markdown
        self._write(step=done, summary=summary.text("config", text))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write a point of a curve for each name.

        Args:
          step, values: as `monitor.Monitor` has them.
        """
        from tensorboardX.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=points))

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write an image; TensorBoard shows a slider over the steps.

        Args:
          step, name, image: as `monitor.Monitor` has them.
        """
        from tensorboardX import summary

        self._write(step=step, summary=summary.image(name, image, dataformats="HWC"))

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, **event: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self.file.write(Event(wall_time=time.time(), **event).SerializeToString())
        self.file.flush()
