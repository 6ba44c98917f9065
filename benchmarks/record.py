"""Where benchmarks leave their numbers: JSON with the date, the device and the versions that made them."""

from datetime import date
from pathlib import Path
from typing import Any

from experiments.harness import workdir


def save(path: Path | None, found: dict[str, Any]) -> None:
    """Write `found` with date, device and versions, whole or not at all; nothing where no path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        workdir.write_json(path, {"date": str(date.today()), **workdir.environment(), **found})
