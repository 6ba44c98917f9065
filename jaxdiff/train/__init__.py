"""Training: one pure step on one explicit state, and the loop, checkpoints and sharding around it.

Steps: `step` (one network), `consistency` (with target and teacher), `loss_aware`, `adversarial` (two networks), all
step(state, key, batch) -> (state, metrics), with `state`, `ema` and `learning_rates`. `loop.fit` calls any of them and
needs the rest: `checkpoint` with `reading`, `checksums`, `preservation` and `paths`; `sharding`, `fully_sharded` and
`hosts`; `metrics_file`, `progress`, `profile`, and `monitor` with `tensorboard` and `weights_and_biases`, which are
extras.

To add a kind of training, write a function that returns such a step, pure, with all randomness folded from the key and
the step; its state is a NamedTuple that has `step` and `ema`. To add a monitor, return a `monitor.MonitorFactory`.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy

if TYPE_CHECKING:
    from jaxdiff.train import (
        adversarial,
        checkpoint,
        checksums,
        consistency,
        ema,
        fully_sharded,
        hosts,
        learning_rates,
        loop,
        loss_aware,
        metrics_file,
        monitor,
        paths,
        preservation,
        profile,
        progress,
        reading,
        sharding,
        state,
        step,
        tensorboard,
        weights_and_biases,
    )
    from jaxdiff.train.checkpoint import Checkpoints
    from jaxdiff.train.loop import TrainSchedule, fit
    from jaxdiff.train.state import TrainState, create
    from jaxdiff.train.step import train_step

__all__ = [
    "Checkpoints",
    "TrainSchedule",
    "TrainState",
    "adversarial",
    "checkpoint",
    "checksums",
    "consistency",
    "create",
    "ema",
    "fit",
    "fully_sharded",
    "hosts",
    "learning_rates",
    "loop",
    "loss_aware",
    "metrics_file",
    "monitor",
    "paths",
    "preservation",
    "profile",
    "progress",
    "reading",
    "sharding",
    "state",
    "step",
    "tensorboard",
    "train_step",
    "weights_and_biases",
]

NAMES = {
    "Checkpoints": "checkpoint",
    "TrainSchedule": "loop",
    "TrainState": "state",
    "create": "state",
    "fit": "loop",
    "train_step": "step",
}
"""What most programs call, by the file that has it."""

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, modules=set(__all__) - set(NAMES), names=NAMES)
