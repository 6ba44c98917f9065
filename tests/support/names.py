"""Dotted names as text gives them, and what they stand for."""

import importlib

from tests.support.commands import ROOT

PARTS = tuple(
    path.stem
    for path in sorted((ROOT / "jaxdiff").iterdir())
    if path.suffix == ".py" or (path / "__init__.py").exists()
)
"""What may begin a name that leaves `jaxdiff.` out: its subpackages and modules."""


def resolve(name):
    """The object of a dotted name, `jaxdiff.samplers.heun` or `samplers.heun`; ImportError where there is none."""
    if name.split(".")[0] in PARTS:
        name = f"jaxdiff.{name}"
    parts = name.split(".")
    found, parts = importlib.import_module(parts[0]), parts[1:]
    for depth, part in enumerate(parts):
        fields = getattr(found, "__annotations__", {})  # a dataclass's, which are no attributes without a default
        if not hasattr(found, part) and part not in fields:
            importlib.import_module(".".join([name.split(".")[0], *parts[: depth + 1]]))
        found = getattr(found, part) if hasattr(found, part) else fields[part]
    return found
