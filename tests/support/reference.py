"""Where the recorded outputs of the reference implementations lie, and how a case is read."""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

ROOT = Path(os.environ.get("JAXDIFF_REFERENCE", Path(__file__).parents[1] / "reference"))


def files(*patterns: str) -> list[Path]:
    """Recorded files that match, e.g. files("edm/net_*.npz")."""
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


class Arrays(dict[str, np.ndarray]):
    """Recorded arrays by name, and the file that they come from."""

    def __init__(self, arrays: Mapping[str, np.ndarray], path: Path):
        super().__init__(arrays)
        self.path = path


def load(path: Path) -> Arrays:
    """Every array of a file."""
    return Arrays(_loaded(path), path)


@lru_cache(maxsize=8)
def _loaded(path: Path) -> dict[str, np.ndarray]:
    """Read once for the cases of a file, which follow each other; not to be written to."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def config(arrays: Mapping[str, np.ndarray], case: str = "") -> dict:
    """The JSON description of a file, or of one case in it; "inf" stands for infinity."""
    parsed = json.loads(str(arrays[f"{case}/config" if case else "config"]))
    return {name: number(value) for name, value in parsed.items()}


def only(options: Mapping, *read: str, **fixed) -> Mapping:
    """The same options, once each is known: a test that drops an option compares another case than was recorded.

    Args:
      read: names that the test honours, or that say nothing of numbers.
      fixed: options of which the test knows these values only, such as dims=(2,).
    """
    unknown = sorted(set(options) - set(read) - set(fixed))
    assert not unknown, f"no test knows {', '.join(f'{name}={options[name]!r}' for name in unknown)}"
    for name, values in fixed.items():
        assert name not in options or options[name] in values, f"no test knows {name}={options[name]!r}"
    return options


def number(value):
    """JSON has no infinity."""
    return float("inf") if value == "inf" else value


def cases(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the cases in a file that holds several."""
    return sorted(name.removesuffix("/config") for name in arrays if name.endswith("/config"))


def subset(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Arrays whose name starts with `prefix/`, without it, of the same file."""
    found = {name.removeprefix(prefix + "/"): a for name, a in arrays.items() if name.startswith(prefix + "/")}
    return Arrays(found, arrays.path) if isinstance(arrays, Arrays) else found


def ids(path: Path) -> str:
    """Test id of a file."""
    return path.stem
