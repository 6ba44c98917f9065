"""A moving picture of sampling: every example on its way from noise, as GIF or as animated PNG."""

from pathlib import Path

import numpy as np
from PIL import Image

from experiments.harness import generate
from experiments.harness.generate import Request
from experiments.harness.system import System
from jaxdiff.atomic import atomic
from jaxdiff.train import paths
from jaxdiff.types import Params

FORMATS = {".gif": "GIF", ".png": "PNG"}
EXAMPLES, FRAMES = 40, 40
"""At most so many are shown."""
MOST = 2**32
"""Bytes of states that are kept while the way is drawn."""
START, STEP, END = 600, 80, 3_000
"""Milliseconds that the first frame, each frame and the last stand still."""
COLOURS = 32
"""Of a GIF, whose noise compresses badly."""


def check(path: Path) -> None:
    """Raise ValueError for a file of another format, or below something that is no folder."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"--animation must be a file ending in {' or '.join(FORMATS)}, got {path}")
    paths.check_folder(path.parent, "--animation's folder")


def check_memory(system: System, request: Request) -> None:
    """Raise ValueError where the states of the examples that are shown would take more than `MOST` bytes."""
    steps, num = len(request.sigmas) - 1, min(len(request.seeds), EXAMPLES)
    needed = 4 * (steps + 1) * num * int(np.prod(system.shape))
    if needed > MOST:
        raise ValueError(
            f"--animation keeps the states of {num} examples at {steps} steps, {needed / 2**30:.0f} GiB, at most "
            f"{MOST / 2**30:.0f}: ask for fewer --num-steps or --seeds"
        )


def moments(sigmas: np.ndarray) -> np.ndarray:
    """Choose levels between which the picture changes about equally: by the angle between data of std 1/2 and noise.

    Args:
      sigmas: [n + 1], decreasing.
    Returns: indices, the first and the last among them.
    Example:
      >>> moments(np.array([80.0, 79.0, 0.5, 0.0])).tolist()
      [0, 2, 3]
    """
    angle = np.arctan(2 * sigmas)
    wanted = np.linspace(angle[0], angle[-1], FRAMES)
    return np.unique(np.abs(angle[:, None] - wanted).argmin(axis=0))


def write(path: Path, system: System, params: Params, request: Request, about: str, columns: int = 10) -> None:
    """Draw the first examples of a request again and write their way, which repeats for ever.

    A state at level sigma is shown as x / sqrt(1 + sigma^2), so that noise and images have one range.

    Args:
      path: ends in .gif or .png; about: how they are drawn; columns: of images without classes.
    """
    labels = None if request.labels is None else request.labels[:EXAMPLES]
    request = request._replace(seeds=request.seeds[:EXAMPLES], labels=labels)
    xs = generate.trajectories(system, params, request)
    chosen, frames = moments(request.sigmas), []
    for sigma, x in zip(request.sigmas[chosen], xs[chosen], strict=True):
        level = f"{sigma:.2f}" if sigma >= 0.1 else f"{sigma:.3f}"
        examples = system.form.encode(x / np.sqrt(1 + sigma**2))
        frames.append(system.form.picture(examples, columns, labels, f"Noise level sigma = {level}. {about}"))
    save(path, frames)


def save(path: Path, frames: list[np.ndarray]) -> None:
    """Write frames [H, W, 3] uint8 of one size, whole or not at all."""
    grey = all((frame == frame[..., :1]).all() for frame in frames)  # whose colours would be tinted otherwise
    images = [Image.fromarray(frame[..., 0] if grey else frame) for frame in frames]
    if FORMATS[path.suffix.lower()] == "GIF":
        images = [image.quantize(COLOURS, dither=Image.Dither.NONE) for image in images]
    durations = [START, *[STEP] * (len(frames) - 2), END][-len(frames) :]
    with atomic(path, overwrite=True) as part:
        images[0].save(
            part,
            format=FORMATS[path.suffix.lower()],
            save_all=True,
            append_images=images[1:],
            duration=durations,
            loop=0,
            optimize=True,
        )
