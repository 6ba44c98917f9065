"""Weights & Biases, by its own client (the extra `wandb`)."""

import importlib
import secrets
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.imports import needs
from jaxdiff.train.monitor import MonitorFactory


def weights_and_biases(workdir: Path, project: str) -> MonitorFactory:
    """Make a monitor for `loop.fit`: one run of W&B for all resumptions.

    W&B's own environment variables say the rest: WANDB_MODE=offline needs no network and no account, WANDB_ENTITY,
    WANDB_API_KEY, WANDB_SILENT and so on.

    Args:
      workdir: of the run; W&B's files and the run's id lie in its folder wandb/.
      project: W&B's project.
    Raises: MissingExtra where wandb is not installed.
    Example:
      >>> weights_and_biases(Path("runs/mine"), project="digits").name
      'Weights & Biases'
    """
    with needs("wandb", __name__):
        importlib.import_module("wandb")
    return MonitorFactory("Weights & Biases", partial(Run, workdir, project))


class Run:
    """A run of W&B, the same one after every resumption.

    Args:
      workdir: whose name is the run's.
      project: W&B's.
      done: the step that the run goes on from; W&B keeps what it has of later steps.
      config: shown with the run.
    Raises: wandb.Error, then or later; OSError when the id cannot be kept.
    """

    def __init__(self, workdir: Path, project: str, done: int, config: dict[str, Any]) -> None:
        import wandb

        self.run = wandb.init(
            project=project,
            dir=workdir,
            id=run_id(workdir / "wandb" / "run_id"),
            name=workdir.absolute().name,
            config=config,
            allow_val_change=True,  # flags that came with a newer jaxdiff
            resume="allow",
            reinit="create_new",  # leaves alone a run that the caller has
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Log a point of a chart for each name.

        Args:
          step, values: as `monitor.Monitor` has them.
        """
        self._log(step, values)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Log an image; W&B shows a panel for each name.

        Args:
          step, name, image: as `monitor.Monitor` has them.
        """
        import wandb

        self._log(step, {name: wandb.Image(image)})

    def close(self) -> None:
        """Send what is left."""
        self.run.finish()

    def _log(self, step: int, values: dict[str, Any]) -> None:
        # W&B takes steps in order only. What it has of steps that were not saved, a resumed run finds bit-identical.
        if step >= self.run.step:
            self.run.log(values, step=step)


def run_id(path: Path) -> str:
    """Read a run's id from a file, which is made where there is none yet.

    Random and not made of the path, since W&B never gives an id twice, and a folder may be emptied and used again.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "wandb", "run_id")
      >>> len(run_id(path)), run_id(path) == run_id(path)
      (8, True)
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(4) + "\n")
    return path.read_text().strip()
