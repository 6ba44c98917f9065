"""Print the lowest versions that pyproject.toml allows, as constraints for pip: name>=1.2 becomes name==1.2."""

import re
import tomllib
from pathlib import Path

TOOLS = ("test", "docs", "dev")
"""Extras that a change is tested with, and nobody's program."""

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = [wanted for name, wanted in project["optional-dependencies"].items() if name not in TOOLS]
floors = dict(
    re.match(r"([\w.-]+)>=([\w.]+)", requirement).groups()
    for requirement in sum(extras, project["dependencies"])
    if not requirement.startswith("jaxdiff[")
)
for name, version in {**floors, "jaxlib": floors["jax"]}.items():
    print(f"{name}=={version}")
