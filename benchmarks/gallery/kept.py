"""Pictures of kept results, so that nothing is measured again."""

from pathlib import Path

import numpy as np

from benchmarks.gallery.strips import rendered
from experiments.comparison import picture
from experiments.harness import workdir


def trilemma(runs: Path) -> np.ndarray:
    """Plot quality, coverage and speed of all systems, as `python -m experiments.trilemma` measured them."""
    kept = workdir.read_json(Path("benchmarks/results/trilemma-cpu-2-cores.json"))["rows"]
    return rendered(picture.draw({data: list(rows.values()) for data, rows in kept.items()}))
